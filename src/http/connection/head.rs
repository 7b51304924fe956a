//! The head of a request, and what is changed of it before the HTTP library reads it.

use std::mem::MaybeUninit;

use httparse::{Header, Status};

use crate::http::headers::parts;

/// The header that holds what `Expect` said.
pub const EXPECTATION: &str = "gristmill-expect";

/// Most headers of a request, as many as actix-http takes.
const HEADERS_MAX: usize = 96;

/// The beginning of what a client sends.
#[derive(Debug, PartialEq)]
pub enum Beginning {
    /// Not all of a head yet.
    Partial,
    /// No head that could be understood.
    Unknown,
    /// A head of so many bytes.
    Head(Head),
}

/// A whole head.
#[derive(Debug, PartialEq)]
pub struct Head {
    /// Its bytes.
    pub length: usize,
    /// What is read instead of it, unless it is good as it is.
    pub instead: Option<Vec<u8>>,
    /// What follows it.
    pub body: BodyFraming,
}

/// Where the body ends.
#[derive(Debug, PartialEq)]
pub enum BodyFraming {
    /// After so many bytes.
    Length(u64),
    /// With the last chunk.
    Chunks,
    /// Nobody knows.
    Unknown,
}

impl Beginning {
    /// Reads what `bytes` begin with.
    pub fn of(bytes: &[u8]) -> Self {
        let mut headers = [const { MaybeUninit::uninit() }; HEADERS_MAX];
        let mut request = httparse::Request::new(&mut []);
        let length = match request.parse_with_uninit_headers(bytes, &mut headers) {
            Ok(Status::Complete(length)) => length,
            Ok(Status::Partial) => return Self::Partial,
            Err(_) => return Self::Unknown,
        };
        let (Some(method), Some(path), Some(minor)) = (request.method, request.path, request.version) else {
            return Self::Unknown;
        };
        let headers = &*request.headers;
        let body = if method == "CONNECT" { BodyFraming::Unknown } else { BodyFraming::of(headers, minor) };
        // A body that is not announced is empty (RFC 9112, section 6.3), also that of an old POST.
        let lacks_length = minor == 0 && method == "POST" && !headers.iter().any(announces_body);
        let is_good = !lacks_length && headers.iter().all(|header| rewritten(header, minor) == Rewritten::Same);
        let instead = (!is_good).then(|| {
            let mut text = format!("{method} {path} HTTP/1.{minor}\r\n").into_bytes();
            for header in headers {
                let (name, value) = match rewritten(header, minor) {
                    Rewritten::Same => (header.name, header.value.to_vec()),
                    Rewritten::To(name, value) => (name, value),
                    Rewritten::Gone => continue,
                };
                [name.as_bytes(), b": ", &value, b"\r\n"].iter().for_each(|part| text.extend_from_slice(part));
            }
            text.extend_from_slice(if lacks_length { b"content-length: 0\r\n\r\n" } else { b"\r\n" });
            text
        });
        Self::Head(Head { length, instead, body })
    }
}

impl BodyFraming {
    /// What is ambiguous is left to actix-http, which refuses it.
    fn of(headers: &[Header<'_>], minor: u8) -> Self {
        let mut announced = headers.iter().filter(|header| announces_body(header));
        match (announced.next(), announced.next()) {
            (None, _) => Self::Length(0),
            (Some(header), None) if is(header, "content-length") => {
                length(header.value).map_or(Self::Unknown, Self::Length)
            }
            (Some(_), None) if minor > 0 => Self::Chunks,
            _ => Self::Unknown,
        }
    }
}

fn length(value: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(value).ok()?.trim();
    text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()))
}

/// What becomes of a header.
#[derive(PartialEq)]
enum Rewritten {
    Same,
    To(&'static str, Vec<u8>),
    Gone,
}

fn rewritten(header: &Header<'_>, minor: u8) -> Rewritten {
    if is(header, "upgrade") {
        return Rewritten::Gone;
    }
    if is(header, "expect") && minor > 0 {
        return Rewritten::To(EXPECTATION, header.value.to_vec());
    }
    let options = std::str::from_utf8(header.value).unwrap_or_default();
    let is_offer = |option: &&str| option.eq_ignore_ascii_case("upgrade");
    if !is(header, "connection") || !parts(options, ',').any(|option| is_offer(&option)) {
        return Rewritten::Same;
    }
    let others: Vec<&str> = parts(options, ',').filter(|option| !is_offer(option)).collect();
    if others.is_empty() { Rewritten::Gone } else { Rewritten::To("connection", others.join(", ").into_bytes()) }
}

fn announces_body(header: &Header<'_>) -> bool {
    is(header, "content-length") || is(header, "transfer-encoding")
}

fn is(header: &Header<'_>, name: &str) -> bool {
    header.name.eq_ignore_ascii_case(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(bytes: &str) -> Head {
        match Beginning::of(bytes.as_bytes()) {
            Beginning::Head(head) => head,
            other => panic!("{bytes:?} is {other:?}"),
        }
    }

    /// The text that is read in place of these headers, without its request line.
    fn changed(line: &str, headers: &str) -> Option<String> {
        let text = head(&format!("{line}\r\n{headers}\r\n")).instead?;
        let text = String::from_utf8(text).expect("ASCII");
        let headers = text.strip_prefix(line).expect("the same request line");
        Some(headers.trim_start_matches("\r\n").trim_end_matches("\r\n").replace("\r\n", "|"))
    }

    #[test]
    fn offers_are_taken_out_and_nothing_else() {
        for (headers, left) in [
            (
                "Host: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n",
                "Host: a|connection: HTTP2-Settings|HTTP2-Settings: AA",
            ),
            ("Connection: Upgrade,\r\nUPGRADE: websocket\r\n", ""),
            ("connection: keep-alive,,upgrade , close\r\n", "connection: keep-alive, close"),
            ("Upgrade: TLS/1.0, h2c\r\nX: \u{e9}\r\n", "X: \u{e9}"),
        ] {
            assert_eq!(changed("GET / HTTP/1.1", headers).as_deref(), Some(left), "{headers}");
            assert_eq!(changed("GET / HTTP/1.0", headers).as_deref(), Some(left), "{headers}");
        }
        for headers in ["", "Connection: close\r\n", "Connection: keep-alive, te\r\nTE: trailers\r\nX-Upgrade: h2c\r\n"]
        {
            assert_eq!(changed("GET /upgrade HTTP/1.1", headers), None, "{headers}");
        }
    }

    #[test]
    fn an_expectation_is_hidden_from_who_would_meet_it_at_once() {
        let expecting = "Expect: 100-continue\r\nContent-Length: 5\r\n";
        let hidden = Some("gristmill-expect: 100-continue|Content-Length: 5");
        assert_eq!(changed("POST / HTTP/1.1", expecting).as_deref(), hidden);
        assert_eq!(changed("POST / HTTP/1.0", expecting), None, "there it means nothing");
    }

    #[test]
    fn an_old_post_without_a_length_has_no_body() {
        assert_eq!(changed("POST / HTTP/1.0", "X: y\r\n").as_deref(), Some("X: y|content-length: 0"));
        assert_eq!(changed("POST / HTTP/1.0", "").as_deref(), Some("content-length: 0"));
        for (line, headers) in [
            ("POST / HTTP/1.0", "Content-Length: 0\r\n"),
            ("POST / HTTP/1.0", "Transfer-Encoding: chunked\r\n"),
            ("POST / HTTP/1.1", ""),
            ("PUT / HTTP/1.0", ""),
        ] {
            assert_eq!(changed(line, headers), None, "{line} {headers}");
        }
    }

    #[test]
    fn a_body_ends_where_its_head_says() {
        let body = |version: &str, headers: &str| head(&format!("POST / HTTP/{version}\r\n{headers}\r\nmore")).body;
        assert_eq!(body("1.1", ""), BodyFraming::Length(0));
        assert_eq!(body("1.1", "content-length:  17 \r\n"), BodyFraming::Length(17));
        assert_eq!(body("1.1", "transfer-encoding: chunked\r\n"), BodyFraming::Chunks);
        assert_eq!(body("1.0", "transfer-encoding: chunked\r\n"), BodyFraming::Unknown);
        for ambiguous in [
            "content-length: +1\r\n",
            "content-length: \r\n",
            "content-length: 1, 1\r\n",
            "content-length: 18446744073709551616\r\n",
            "content-length: 1\r\nContent-Length: 1\r\n",
            "content-length: 1\r\ntransfer-encoding: chunked\r\n",
        ] {
            assert_eq!(body("1.1", ambiguous), BodyFraming::Unknown, "{ambiguous}");
        }
        assert_eq!(head("CONNECT a:1 HTTP/1.1\r\n\r\n").body, BodyFraming::Unknown);
    }

    #[test]
    fn half_a_head_is_waited_for_and_nonsense_is_not() {
        for partial in ["", "GET", "GET / HTTP/1.1\r\n", "\r\nGET / HTTP/1.1\r\nhost: a\r\n"] {
            assert_eq!(Beginning::of(partial.as_bytes()), Beginning::Partial, "{partial:?}");
        }
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(HEADERS_MAX + 1));
        for nonsense in ["\0", "GET / HTTP/2.0\r\n\r\n", "GET / HTTP/1.1\r\n a: b\r\n\r\n", &many] {
            assert_eq!(Beginning::of(nonsense.as_bytes()), Beginning::Unknown, "{nonsense:.40}");
        }
    }
}
