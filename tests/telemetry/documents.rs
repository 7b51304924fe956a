//! The documents name what there is: metrics, facts, and what may fail for a time.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{Page, scrape};
use crate::support::database::Database;
use crate::support::events::{accepted, event};
use crate::support::server::Server;

const METRICS: &str = include_str!("../../docs/metrics.md");
const LOGGING: &str = include_str!("../../docs/logging.md");
const SPANS_PAGE: &str = include_str!("../../docs/spans.md");

/// Where the functions of facts stand.
const FACTS: [&str; 5] = [
    include_str!("../../src/telemetry/facts.rs"),
    include_str!("../../src/telemetry/facts/budget.rs"),
    include_str!("../../src/telemetry/facts/event.rs"),
    include_str!("../../src/telemetry/facts/request.rs"),
    include_str!("../../src/telemetry/audit.rs"),
];

/// Where spans get their attributes.
const SPANS: [&str; 3] = [
    include_str!("../../src/telemetry/spans.rs"),
    include_str!("../../src/telemetry/spans/attempt.rs"),
    include_str!("../../src/telemetry/spans/request.rs"),
];

/// Where their metrics have names.
const CATALOGUE: &str = include_str!("../../src/telemetry/metrics/catalogue.rs");

/// Calls on places that were looked up before.
const RESOLVED: [(&str, &[&str]); 3] = [
    ("PROCESSED.inc()", &["gristmill_events_total"]),
    ("route.answered(", &["gristmill_http_requests_total", "gristmill_http_request_duration_seconds"]),
    ("self.duration.observe(", &["gristmill_stage_duration_seconds", "gristmill_stage_events_total"]),
];

/// A function that looks such a place up: no fact.
const LOOK_UP: &str = "of";

/// Where dashboard and alert rules are.
pub fn ops() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("ops")
}

/// The cells of each row of the first table below this heading.
fn table<'a>(document: &'a str, heading: &str) -> Vec<Vec<&'a str>> {
    let (_, section) = document.split_once(heading).unwrap_or_else(|| panic!("no {heading:?}"));
    let rows = section.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    rows.skip(2).map(cells).collect()
}

/// The cells of a row.
fn cells(line: &str) -> Vec<&str> {
    line.trim_matches('|').split(" | ").map(str::trim).collect()
}

/// A page on which everything has happened that has a series only then.
fn page() -> Page {
    let mut server = Server::start(&Database::postgres());
    accepted(&server.client(), &event("page_view"));
    scrape(&server);
    scrape(&server)
}

/// The rows of a page's tables that describe something of a name that begins so.
fn rows<'a>(document: &'a str, beginnings: &[&str]) -> Vec<Vec<&'a str>> {
    let is_row = |line: &&str| beginnings.iter().any(|beginning| line.starts_with(&format!("| `{beginning}")));
    document.lines().filter(is_row).map(cells).collect()
}

#[test]
fn the_page_on_metrics_has_every_metric_and_no_other() {
    let page = page();
    let rows = rows(METRICS, &["gristmill_", "process_"]);
    let count = rows.len();
    let told: BTreeMap<String, (String, String)> = rows
        .into_iter()
        .map(|cells| {
            let [name, kind, unit, meaning] = cells[..] else { panic!("four cells, not {cells:?}") };
            let name = name.trim_matches('`').to_owned();
            let has_unit = |ending: &str, word: &str| {
                name.split('{').next().is_some_and(|name| name.contains(ending)) == (unit == word)
            };
            assert!(has_unit("_seconds", "seconds") && has_unit("_bytes", "bytes"), "{name} is not in {unit}");
            (name, (kind.to_owned(), meaning.to_owned()))
        })
        .collect();
    let with_labels = |name: &str| {
        let labels = page.labels(name);
        if labels.is_empty() { name.to_owned() } else { format!("{name}{{{}}}", labels.join(",")) }
    };
    let found: BTreeMap<String, (String, String)> =
        page.metrics.iter().map(|(name, described)| (with_labels(name), described.clone())).collect();
    assert_eq!(told.len(), count, "a metric stands there twice");
    for (name, described) in &found {
        assert_eq!(told.get(name), Some(described), "{name} in docs/metrics.md");
    }
    assert_eq!(told.keys().collect::<Vec<_>>(), found.keys().collect::<Vec<_>>());
}

/// The names of metrics in a text, parts of histograms as the whole.
fn names(text: &str, page: &Page) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let named = words.filter(|word| word.starts_with("gristmill_") || word.starts_with("process_"));
    let whole = |word: &str| {
        let parts = ["_bucket", "_sum", "_count"].into_iter().filter_map(|part| word.strip_suffix(part));
        parts.filter(|name| page.metrics.contains_key(*name)).map(str::to_owned).next().unwrap_or(word.to_owned())
    };
    named.map(whole).collect()
}

#[test]
fn dashboard_and_alert_rules_name_only_metrics_that_there_are() {
    let page = page();
    for file in ["dashboard.json", "alerts.yml", "alerts-test.yml"] {
        let text = fs::read_to_string(ops().join(file)).unwrap_or_else(|error| panic!("ops/{file}: {error}"));
        let named = names(&text, &page);
        assert!(named.len() >= 5, "{file} was not read: {named:?}");
        let missing: Vec<&String> = named.iter().filter(|name| !page.metrics.contains_key(*name)).collect();
        assert!(missing.is_empty(), "ops/{file} names {missing:?}");
    }
}

#[test]
fn the_page_on_metrics_has_every_alert_and_no_other() {
    let rules = fs::read_to_string(ops().join("alerts.yml")).expect("ops/alerts.yml is there");
    let after = |word: &str| {
        let values = rules.split(word).skip(1).filter_map(|rest| rest.split(['\n', '}']).next());
        values.map(|value| value.trim().to_owned()).collect::<Vec<_>>()
    };
    let found: BTreeMap<String, String> = after("- alert:").into_iter().zip(after("{severity:")).collect();
    let documented: BTreeMap<String, String> = rows(METRICS, &["Gristmill"])
        .into_iter()
        .map(|cells| (cells[0].trim_matches('`').to_owned(), cells[1].to_owned()))
        .collect();
    assert!(found.len() > 10, "the rules were not read: {found:?}");
    assert_eq!(documented, found, "in docs/metrics.md, in ops/alerts.yml");
}

#[test]
fn the_dashboard_is_whole() {
    let text = fs::read_to_string(ops().join("dashboard.json")).expect("ops/dashboard.json is there");
    let dashboard: Value = serde_json::from_str(&text).expect("it is JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let mut ids = BTreeSet::new();
    for panel in panels {
        assert!(ids.insert(panel["id"].as_u64().expect("an id")), "the id of {panel} is taken");
        if panel["type"] == "row" {
            continue;
        }
        assert_eq!(panel["datasource"]["uid"], "${datasource}", "{panel}");
        let targets = panel["targets"].as_array().expect("targets");
        assert!(!targets.is_empty() && targets.iter().all(|target| target["expr"].is_string()), "{panel}");
        let place = &panel["gridPos"];
        assert!(place["x"].as_u64().zip(place["w"].as_u64()).is_some_and(|(x, w)| x + w <= 24), "{panel}");
    }
    assert!(panels.len() > 10);
}

/// A function of facts: its lines, and the metrics that it counts.
type Fact = (BTreeSet<Line>, BTreeSet<String>);

/// A log line: level, message, fields.
type Line = (String, String, Vec<String>);

/// The facts of the code, by name.
fn facts() -> BTreeMap<String, Fact> {
    let mut facts = BTreeMap::new();
    for source in FACTS {
        let source = source.split("#[cfg(test)]").next().unwrap_or_default();
        for function in source.split("fn ").skip(1) {
            let name: String = function.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            let lines = lines(function);
            let metrics = counted(function);
            if name != LOOK_UP && !(lines.is_empty() && metrics.is_empty()) {
                assert!(facts.insert(name.clone(), (lines, metrics)).is_none(), "two facts are called {name}");
            }
        }
    }
    facts
}

/// The line of each call that writes one.
fn lines(function: &str) -> BTreeSet<Line> {
    let mut lines = BTreeSet::new();
    for level in ["error", "warn", "info", "debug"] {
        for call in function.split(&format!("{level}!(")).skip(1) {
            let call = call.split(");\n").next().unwrap_or_default();
            // The message is the first text that is no field's value.
            let values: Vec<&str> = call.split(" = \"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
            let mut texts = call.split('"').skip(1).step_by(2);
            let message = texts.find(|text| !values.contains(text)).unwrap_or_default();
            let before = call.split(&format!("\"{message}\"")).next().unwrap_or_default();
            lines.insert((level.to_ascii_uppercase(), in_words(&message.replace('`', "")), fields(before)));
        }
    }
    lines
}

/// The names of the fields in `a, %b, c = d.e(),`.
fn fields(arguments: &str) -> Vec<String> {
    let mut depth = 0;
    let between = |c: char| {
        depth += i32::from("([{".contains(c)) - i32::from(")]}".contains(c));
        c == ',' && depth == 0
    };
    let names = arguments.split(between).map(|field| field.split('=').next().unwrap_or_default());
    let names = names.map(|name| name.trim().trim_start_matches(['%', '?']).to_owned());
    names.filter(|name| !name.is_empty()).collect()
}

/// What is put into a line is shown as `…`.
fn in_words(message: &str) -> String {
    let mut words = String::new();
    let mut depth = 0;
    for c in message.chars() {
        match c {
            '{' => {
                depth += 1;
                words.push('…');
            }
            '}' => depth -= 1,
            c if depth == 0 => words.push(c),
            _ => {}
        }
    }
    words
}

/// The names of the metrics that a function counts.
fn counted(function: &str) -> BTreeSet<String> {
    let mut counted = BTreeSet::new();
    for used in function.split("metrics::").skip(1) {
        let constant: String = used.chars().take_while(|c| c.is_ascii_uppercase() || *c == '_').collect();
        counted.extend(name_of(&constant));
    }
    let resolved = RESOLVED.into_iter().filter(|(call, _)| function.contains(call));
    counted.extend(resolved.flat_map(|(_, names)| names.iter().map(|name| (*name).to_owned())));
    counted
}

fn name_of(constant: &str) -> Option<String> {
    let (_, rest) = CATALOGUE.split_once(&format!("pub static {constant}: "))?;
    rest.starts_with("LazyLock<").then(|| rest.split('"').nth(1).expect("a name").to_owned())
}

/// The facts of the page on logging, by name: a row per line.
fn facts_of_the_page() -> BTreeMap<String, Fact> {
    let words = |cell: &str, between: &str| -> Vec<String> {
        cell.split(between).filter(|word| *word != "–").map(|word| word.replace('`', "")).collect()
    };
    let mut facts: BTreeMap<String, Fact> = BTreeMap::new();
    for cells in table(LOGGING, "## Facts") {
        let [name, level, message, fields, metrics] = cells[..] else { panic!("five cells, not {cells:?}") };
        let (lines, counted) = facts.entry(name.replace('`', "")).or_default();
        if level != "–" {
            lines.insert((level.to_owned(), message.replace('`', ""), words(fields, ", ")));
        }
        counted.extend(words(metrics, "<br>"));
    }
    facts
}

#[test]
fn the_table_of_facts_is_the_code() {
    let documented = facts_of_the_page();
    let found = facts();
    assert!(found.len() > 40, "the code was not read: {found:?}");
    for (name, fact) in &found {
        assert_eq!(documented.get(name), Some(fact), "{name} in docs/logging.md");
    }
    assert_eq!(documented.keys().collect::<Vec<_>>(), found.keys().collect::<Vec<_>>());
}

#[test]
fn the_page_on_spans_names_every_attribute_and_no_other() {
    let (_, section) = SPANS_PAGE.split_once("\n## Table\n").expect("the section");
    let words = section.split("\n## ").next().unwrap_or_default().split('`').skip(1).step_by(2);
    let documented: BTreeSet<&str> = words.filter(|word| word.contains('.')).collect();
    let attributes = SPANS.iter().flat_map(|source| source.split("KeyValue::new(\"").skip(1));
    let found: BTreeSet<&str> = attributes.filter_map(|rest| rest.split('"').next()).collect();
    assert!(found.len() > 20, "the code was not read: {found:?}");
    assert_eq!(documented, found);
}

#[test]
fn everything_that_may_fail_for_a_time_has_a_label_of_its_own() {
    let (_, list) = CATALOGUE.split_once("const CONDITIONS: ").expect("the list");
    let known: BTreeSet<&str> = list.split("];").next().unwrap_or_default().split('"').skip(1).step_by(2).collect();
    let mut found = BTreeSet::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("the tree is readable") {
            let path = entry.expect("the tree is readable").path();
            if path.is_dir() {
                folders.push(path);
            } else if !path.ends_with("condition.rs") {
                let text = fs::read_to_string(&path).expect("it is text");
                for call in ["Condition::new(\"", "Condition::grave(\""] {
                    found.extend(text.split(call).skip(1).filter_map(|rest| rest.split('"').next()).map(str::to_owned));
                }
            }
        }
    }
    assert_eq!(found.iter().map(String::as_str).collect::<BTreeSet<_>>(), known);
}
