//! What is read of a body, and where it is cut off.

use actix_web::http::header::HeaderValue;
use actix_web::rt::System;
use futures_util::stream;

use super::*;

const LIMITS: BodyLimits =
    BodyLimits { bytes_max: 10, silence_max: Duration::from_millis(20), total_max: Duration::from_millis(60) };

fn run<S>(length: Option<&'static str>, payload: S) -> Result<Bytes, (&'static str, String)>
where
    S: Stream<Item = Result<Bytes, PayloadError>> + Unpin + 'static,
{
    let mut headers = HeaderMap::new();
    if let Some(length) = length {
        headers.insert(CONTENT_LENGTH, HeaderValue::from_static(length));
    }
    System::new()
        .block_on(read(&headers, payload, &LIMITS, |_| Ok(())))
        .map_err(|error| (error.problem().entry().code, error.detail().to_owned()))
}

fn chunks(parts: &[&'static str]) -> impl Stream<Item = Result<Bytes, PayloadError>> + Unpin + use<> {
    stream::iter(parts.iter().map(|part| Ok(Bytes::from_static(part.as_bytes()))).collect::<Vec<_>>())
}

#[test]
fn a_body_is_read_whole_up_to_the_limit() {
    assert_eq!(run(None, chunks(&[])), Ok(Bytes::new()));
    assert_eq!(run(Some("4"), chunks(&["abcd"])).as_deref(), Ok(b"abcd".as_slice()));
    assert_eq!(run(None, chunks(&["abcde", "", "fghij"])).as_deref(), Ok(b"abcdefghij".as_slice()));
}

#[test]
fn an_announced_length_over_the_limit_is_refused_unread() {
    let silent = stream::pending();
    let refused = ("body_too_large", "the body is 10000000000 bytes, limit 10".to_owned());
    assert_eq!(run(Some("10000000000"), silent), Err(refused));
    assert_eq!(run(Some("11"), stream::pending()).map_err(|error| error.0), Err("body_too_large"));
}

#[test]
fn an_unannounced_body_is_stopped_at_the_limit() {
    let endless = stream::repeat_with(|| Ok(Bytes::from_static(b"abc")));
    let refused = ("body_too_large", "the body is over the limit of 10 bytes".to_owned());
    assert_eq!(run(None, endless), Err(refused));
}

#[test]
fn room_is_made_before_anything_is_kept() {
    let requested = |length: Option<&'static str>, parts: &[&'static str]| {
        let mut requested = Vec::new();
        let mut headers = HeaderMap::new();
        if let Some(length) = length {
            headers.insert(CONTENT_LENGTH, HeaderValue::from_static(length));
        }
        let make_room = |bytes| {
            requested.push(bytes);
            if bytes > 5 { Err(ApiError::internal("full")) } else { Ok(()) }
        };
        let read = System::new().block_on(read(&headers, chunks(parts), &LIMITS, make_room));
        (requested, read.is_ok())
    };
    for length in [Some("10"), None] {
        assert_eq!(requested(length, &["ab", "cd"]), (vec![2, 2], true), "as it comes");
        assert_eq!(requested(length, &["ab", "cd", "efghij"]), (vec![2, 2, 6], false));
    }
    assert_eq!(requested(Some("6"), &["abcdef"]), (vec![6], false), "all of it is kept at once");
}

#[test]
fn a_silent_body_and_a_dripping_one_are_cut_off() {
    let silent = chunks(&["ab"]).chain(stream::pending());
    let late = ("request_timeout", "the body was silent for 0.02 s, bytes so far: 2".to_owned());
    assert_eq!(run(None, silent), Err(late));
    let dripping = stream::unfold(None, |drops: Option<tokio::time::Interval>| async {
        let mut drops = drops.unwrap_or_else(|| tokio::time::interval(Duration::from_millis(10)));
        drops.tick().await;
        Some((Ok(Bytes::from_static(b"a")), Some(drops)))
    });
    let (code, detail) = run(None, Box::pin(dripping)).expect_err("must be cut off");
    assert_eq!(code, "request_timeout");
    assert!(detail.starts_with("the body was not complete after 0.06 s"), "{detail}");
}

#[test]
fn a_broken_body_is_the_clients_error() {
    let broken = stream::iter([Err(PayloadError::EncodingCorrupted)]);
    assert_eq!(run(None, broken).map_err(|error| error.0), Err("invalid_request"));
}
