//! The document as a page: a group per tag, an operation per line that opens, the schemas below.

use serde_json::{Value, json};

use crate::http::html::{escaped, with_code};

/// The page of `document`, what is below its heading.
pub fn content(document: &Value) -> String {
    let info = &document["info"];
    let mut html = format!(
        "<p>{}</p><p>Version {}. As a file for tools: <a href=\"/openapi.json\">/openapi.json</a>. \
         <a href=\"/problems\">All problems</a>.</p>",
        with_code(text(&info["description"])),
        escaped(text(&info["version"])),
    );
    for tag in document["tags"].as_array().into_iter().flatten() {
        html += &format!("<h2>{}</h2><p>{}</p>", escaped(text(&tag["name"])), escaped(text(&tag["description"])));
        for (path, item) in members(&document["paths"]) {
            for (method, operation) in members(item).filter(|(_, operation)| operation["tags"][0] == tag["name"]) {
                html += &operation_html(document, path, method, operation);
            }
        }
    }
    html += "<h2>Schemas</h2>";
    for (name, schema) in members(&document["components"]["schemas"]) {
        let name = escaped(name);
        html += &format!("<details id=\"{name}\"><summary><code>{name}</code></summary>{}</details>", pretty(schema));
    }
    html
}

fn operation_html(document: &Value, path: &str, method: &str, operation: &Value) -> String {
    let mut html = format!(
        "<details id=\"{}\"><summary><b>{}</b> <code>{}</code> {}</summary>",
        escaped(text(&operation["operationId"])),
        method.to_uppercase(),
        escaped(path),
        escaped(text(&operation["summary"])),
    );
    html += &format!("<p>{} {}</p>", with_code(text(&operation["description"])), scope_html(&operation["security"]));
    let parameters = operation["parameters"].as_array().map(Vec::as_slice).unwrap_or_default();
    if !parameters.is_empty() {
        html += "<table><tr><th>Parameter</th><th>In</th><th>Meaning</th></tr>";
        for parameter in parameters.iter().map(|parameter| resolved(document, parameter)) {
            html += &format!(
                "<tr><td><code>{}</code></td><td>{}</td><td>{}</td></tr>",
                escaped(text(&parameter["name"])),
                escaped(text(&parameter["in"])),
                with_code(text(&parameter["description"])),
            );
        }
        html += "</table>";
    }
    for (media, content) in members(&operation["requestBody"]["content"]) {
        html += &format!("<p>Body, <code>{}</code>:</p>{}", escaped(media), schema_html(&content["schema"]));
    }
    html += "<table><tr><th>Status</th><th>Meaning</th></tr>";
    for (status, answer) in members(&operation["responses"]) {
        let schemas: String = members(&answer["content"])
            .filter(|(media, _)| *media != super::schemas::PROBLEM_JSON)
            .map(|(media, content)| format!("<br><code>{}</code> {}", escaped(media), names(&content["schema"])))
            .collect();
        let meaning = with_code(text(&answer["description"]));
        html += &format!("<tr><td>{}</td><td>{meaning}{schemas}</td></tr>", escaped(status));
    }
    html + "</table></details>"
}

fn scope_html(security: &Value) -> String {
    let needed = security.as_array().map(Vec::as_slice).unwrap_or_default();
    let scopes: Vec<String> =
        needed.iter().filter_map(|one| one["token"][0].as_str()).map(|scope| format!("<code>{scope}</code>")).collect();
    let is_open = needed.is_empty() || needed.contains(&json!({}));
    match (is_open, scopes.is_empty()) {
        (true, _) => "No token needed.".to_owned(),
        (_, true) => "Any valid token.".to_owned(),
        _ => format!("Scope {}.", scopes.join(" or ")),
    }
}

/// A schema that has a name as a link to it, another one whole.
fn schema_html(schema: &Value) -> String {
    let named = names(schema);
    if named.is_empty() { pretty(schema) } else { format!("<p>{named}</p>") }
}

/// Links to the schemas that `schema` names.
fn names(schema: &Value) -> String {
    let mut found = Vec::new();
    collect_names(schema, &mut found);
    found.into_iter().map(|name| format!("<a href=\"#{0}\">{0}</a>", escaped(name))).collect::<Vec<_>>().join(" or ")
}

fn collect_names<'a>(schema: &'a Value, found: &mut Vec<&'a str>) {
    match schema {
        Value::Object(members) => {
            for (name, value) in members {
                match value.as_str().and_then(|text| text.strip_prefix("#/components/schemas/")) {
                    Some(target) if name == "$ref" && !found.contains(&target) => found.push(target),
                    _ => collect_names(value, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect_names(item, found)),
        _ => {}
    }
}

fn pretty(schema: &Value) -> String {
    format!("<pre>{}</pre>", escaped(&serde_json::to_string_pretty(schema).unwrap_or_default()))
}

fn resolved<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    let pointer = value["$ref"].as_str().and_then(|text| text.strip_prefix('#'));
    pointer.and_then(|pointer| document.pointer(pointer)).unwrap_or(value)
}

fn members(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    value.as_object().into_iter().flatten().map(|(name, value)| (name.as_str(), value))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
