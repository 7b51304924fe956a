//! Pages that need no script: text is escaped, and nothing is loaded.

use std::fmt::Write;

use actix_web::HttpResponse;
use actix_web::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};

/// What a page may load: its own style, and nothing else.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";
const STYLE: &str = "body{font:1rem/1.5 system-ui,sans-serif;max-width:50rem;margin:2rem auto;padding:0 1rem;\
    color:#222;background:#fff}code,pre{font-family:ui-monospace,monospace}a{color:#0a58ca}\
    pre{overflow-x:auto;padding:.5rem;background:#f4f4f4}table{border-collapse:collapse}\
    td,th{text-align:left;vertical-align:top;padding:.2rem 1rem .2rem 0}summary{cursor:pointer}\
    details{margin:.3rem 0}summary b{display:inline-block;min-width:4.8rem}\
    @media(prefers-color-scheme:dark){body{color:#ddd;background:#181818}a{color:#8ab4f8}pre{background:#262626}}";

/// A page with this heading; `content` is HTML already.
pub fn page(title: &str, content: &str) -> HttpResponse {
    let title = escaped(title);
    let text = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{title}</title><style>{STYLE}</style></head>\
         <body><h1>{title}</h1>{content}</body></html>"
    );
    let mut response = HttpResponse::Ok();
    response.insert_header((CONTENT_TYPE, "text/html; charset=utf-8"));
    response.insert_header((CONTENT_SECURITY_POLICY, POLICY));
    response.insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"));
    response.body(text)
}

/// `text` for HTML; what stands between backticks becomes code.
pub fn with_code(text: &str) -> String {
    let mut html = String::new();
    for (index, part) in text.split('`').enumerate() {
        let part = escaped(part);
        // Writing to a string cannot fail.
        let _ = if index % 2 == 1 { write!(html, "<code>{part}</code>") } else { write!(html, "{part}") };
    }
    html
}

/// `text` with nothing that HTML takes for markup.
pub fn escaped(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            c => html.push(c),
        }
    }
    html
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_gets_into_a_page_as_markup() {
        assert_eq!(escaped("<a href=\"x\">&'"), "&lt;a href=&quot;x&quot;&gt;&amp;&#39;");
        assert_eq!(with_code("send `<b>` & `x`."), "send <code>&lt;b&gt;</code> &amp; <code>x</code>.");
    }
}
