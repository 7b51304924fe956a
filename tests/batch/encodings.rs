//! `Content-Encoding` of requests and answers.

use std::io::{Read, Write};
use std::net::TcpStream;

use async_compression::tokio::bufread::{
    BrotliDecoder, BrotliEncoder, GzipDecoder, GzipEncoder, ZlibDecoder, ZlibEncoder, ZstdDecoder, ZstdEncoder,
};
use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt};

use super::{BATCH, rows};
use crate::support::database::Database;
use crate::support::events::{EVENTS, event, finished, id_of};
use crate::support::http::{Answer, Client};
use crate::support::server::{Server, Setup};

const CODINGS: [&str; 4] = ["gzip", "br", "zstd", "deflate"];

fn read_all(mut reader: impl AsyncRead + Unpin) -> Vec<u8> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime starts");
    runtime.block_on(async {
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).await.expect("sound bytes");
        bytes
    })
}

fn packed(coding: &str, plain: &[u8]) -> Vec<u8> {
    match coding {
        "gzip" => read_all(GzipEncoder::new(plain)),
        "br" => read_all(BrotliEncoder::new(plain)),
        "zstd" => read_all(ZstdEncoder::new(plain)),
        _ => read_all(ZlibEncoder::new(plain)),
    }
}

fn unpacked(coding: &str, bytes: &[u8]) -> Vec<u8> {
    match coding {
        "gzip" => read_all(GzipDecoder::new(bytes)),
        "br" => read_all(BrotliDecoder::new(bytes)),
        "zstd" => read_all(ZstdDecoder::new(bytes)),
        _ => read_all(ZlibDecoder::new(bytes)),
    }
}

fn post(client: &Client, path: &str, kind: &str, coding: &str, body: &[u8]) -> Answer {
    client.call("POST", path, &[("Content-Type", kind), ("Content-Encoding", coding)], Some(body))
}

both_databases! {
    fn bodies_are_unpacked_in_each_way_and_on_each_path(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        for coding in CODINGS {
            let one = event("one").to_string();
            let single = post(&client, EVENTS, "application/json", coding, &packed(coding, one.as_bytes()));
            assert_eq!(single.status, 202, "{coding}: {single:?}");
            assert_eq!(finished(&client, id_of(&single))["payload"], json!({"page": "/home", "duration": 45}));
            let batch = json!([event("a"), event("b")]).to_string();
            let batch = post(&client, BATCH, "application/json", coding, &packed(coding, batch.as_bytes()));
            assert_eq!((batch.status, &batch.json()["processed"]), (200, &json!(2)), "{coding}: {batch:?}");
            let lines = format!("{one}\n").repeat(2_000);
            let lines = post(&client, BATCH, "application/x-ndjson", coding, &packed(coding, lines.as_bytes()));
            assert_eq!((lines.status, &lines.json()["processed"]), (200, &json!(2_000)), "{coding}: {lines:?}");
        }
        assert_eq!(rows(&server), 4 * 2_003);
    }

    fn a_bomb_is_stopped_at_the_limit_of_what_comes_out(database) {
        let mut server = Server::start(Setup::new(&database).with_config("limits.batch_bytes = \"1MiB\"\n"));
        let client = server.client();
        let memory = server.rss_bytes();
        for coding in CODINGS {
            let bomb = packed(coding, &vec![b' '; 200 << 20]);
            assert!(bomb.len() < 1 << 20, "{coding}: {} bytes", bomb.len());
            for path in [EVENTS, BATCH] {
                let answer = post(&client, path, "application/json", coding, &bomb);
                assert_eq!((answer.status, &answer.json()["code"]), (413, &json!("body_too_large")), "{coding} {path}");
            }
        }
        let grown = server.rss_bytes().saturating_sub(memory);
        assert!(grown < 64 << 20, "{grown} bytes more");
        assert_eq!(rows(&server), 0);
    }

    fn what_is_not_packed_as_it_says_is_a_400_and_an_unknown_way_a_415(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        let plain = event("a").to_string();
        for coding in CODINGS {
            let answer = post(&client, EVENTS, "application/json", coding, plain.as_bytes());
            assert_eq!((answer.status, &answer.json()["code"]), (400, &json!("invalid_content_encoding")), "{coding}");
            let whole = packed(coding, plain.as_bytes());
            let cut = post(&client, EVENTS, "application/json", coding, &whole[..whole.len() / 2]);
            assert_eq!(cut.status, 400, "{coding}: {cut:?}");
        }
        for coding in ["x", "gzip, gzip", "gzip, br"] {
            let answer = post(&client, EVENTS, "application/json", coding, plain.as_bytes());
            assert_eq!(answer.status, 415, "{coding}: {answer:?}");
            assert_eq!(answer.header("accept-encoding"), Some("gzip, br, zstd, deflate, identity"));
        }
        assert_eq!(rows(&server), 0);
    }

    fn what_follows_a_packed_stream_is_read_or_refused_and_never_lost(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        let one = event("one").to_string();
        let two = event("two").to_string();
        let three_lines = format!("{one}\n").repeat(3);
        let two_lines = format!("{two}\n").repeat(2);
        let mut stored = 0;
        for coding in CODINGS {
            for (what, tail) in [
                ("a second stream", packed(coding, two_lines.as_bytes())),
                ("junk", b"junk".to_vec()),
                ("one byte", b"\x06".to_vec()),
                ("plain text", two_lines.clone().into_bytes()),
                ("zero padding", vec![0; 512]),
            ] {
                let is_stream = what == "a second stream" && ["gzip", "zstd"].contains(&coding);
                let body = [packed(coding, three_lines.as_bytes()), tail.clone()].concat();
                let lines = post(&client, BATCH, "application/x-ndjson", coding, &body);
                let report = lines.json();
                stored += if is_stream { 5 } else { 0 };
                if is_stream {
                    assert_eq!((lines.status, &report["processed"]), (200, &json!(5)), "{coding} {what}: {lines:?}");
                } else if lines.status == 207 {
                    // A piece may have been stored before the end was seen; then the answer says that it is not complete.
                    let found = (&report["complete"], &report["code"]);
                    assert_eq!(found, (&json!(false), &json!("invalid_content_encoding")), "{coding} {what}: {lines:?}");
                    stored += usize::try_from(report["processed"].as_u64().expect("a number")).expect("few");
                } else {
                    assert_eq!((lines.status, &report["code"]), (400, &json!("invalid_content_encoding")), "{coding} {what}");
                }
                for path in [EVENTS, BATCH, "/api/v1/events/validate", "/api/v1/events/retry"] {
                    let plain = if path == BATCH { format!("[{one}]") } else { one.clone() };
                    let body = [packed(coding, plain.as_bytes()), tail.clone()].concat();
                    let answer = post(&client, path, "application/json", coding, &body);
                    // Two streams are one text, which is no JSON.
                    assert_eq!(answer.status, 400, "{coding} {what} {path}: {answer:?}");
                }
            }
        }
        let body = [packed("deflate", one.as_bytes()), b"junk".to_vec()].concat();
        let answer = post(&client, EVENTS, "application/json", "deflate", &body);
        let end = body.len() - 4;
        let expected = format!("the body is not valid deflate: its stream ends at byte {end}, and more bytes follow");
        assert_eq!(answer.json()["detail"], json!(expected));
        assert_eq!(rows(&server), stored);
    }

    fn a_packed_body_that_is_cut_anywhere_is_refused(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        for coding in CODINGS {
            let whole = packed(coding, event("a").to_string().as_bytes());
            for end in 1..whole.len() {
                let answer = post(&client, EVENTS, "application/json", coding, &whole[..end]);
                let code = answer.json()["code"].clone();
                assert_eq!((answer.status, code), (400, json!("invalid_content_encoding")), "{coding} {end}: {answer:?}");
            }
        }
        assert_eq!(rows(&server), 0);
    }

    fn a_window_that_is_too_large_is_refused_with_its_limit(database) {
        let mut server = Server::start(&database);
        let mut packer = zstd::stream::Encoder::new(Vec::new(), 1).expect("a packer");
        packer.window_log(24).expect("a window of 16 MiB");
        packer.write_all(event("a").to_string().as_bytes()).expect("memory takes it");
        let body = packer.finish().expect("memory takes it");
        let answer = post(&server.client(), EVENTS, "application/json", "zstd", &body);
        let detail = "the body is not valid zstd: its window is larger than the 8 MiB of RFC 9659";
        assert_eq!((answer.status, &answer.json()["detail"]), (400, &json!(detail)), "{answer:?}");
    }

    fn long_answers_are_packed_for_who_takes_that(database) {
        let mut server = Server::start(&database);
        let token = server.token();
        let batch: Vec<_> = (0..50).map(|number| event(&format!("event_{number}"))).collect();
        assert_eq!(server.client().post_json(BATCH, &json!(batch)).status, 200);
        for coding in CODINGS {
            let mut connection = TcpStream::connect(server.address()).expect("the server takes connections");
            let request = format!(
                "GET {EVENTS}?limit=50 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAccept-Encoding: {coding}\r\n\
                 Authorization: Bearer {token}\r\n\r\n"
            );
            connection.write_all(request.as_bytes()).expect("it is taken");
            let mut answer = Vec::new();
            connection.read_to_end(&mut answer).expect("an answer");
            let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").expect("a head") + 4;
            let head = String::from_utf8_lossy(&answer[..end]).to_lowercase();
            assert!(head.contains(&format!("content-encoding: {coding}")) && head.contains("vary: accept-encoding"), "{head}");
            let page: serde_json::Value =
                serde_json::from_slice(&unpacked(coding, &unchunked(&answer[end..]))).expect("JSON");
            assert_eq!(page["data"].as_array().map(Vec::len), Some(50), "{coding}");
        }
        let plain = server.client().get(&format!("{EVENTS}?limit=50"));
        assert_eq!(plain.header("content-encoding"), None);
    }
}

/// The body of a chunked answer.
fn unchunked(mut rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(end) = rest.windows(2).position(|bytes| bytes == b"\r\n") {
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..end]).expect("a size"), 16).expect("a size");
        body.extend_from_slice(&rest[end + 2..end + 2 + size]);
        rest = &rest[(end + size + 4).min(rest.len())..];
    }
    body
}

#[test]
fn empty_elements_of_a_content_encoding_say_nothing() {
    let mut server = Server::start(&Database::sqlite());
    let client = server.client();
    let plain = event("one").to_string();
    let packed = packed("gzip", plain.as_bytes());
    for (path, plain) in [(EVENTS, plain.clone()), (BATCH, format!("[{plain}]"))] {
        for coding in ["", ",", "identity,,"] {
            let answer = post(&client, path, "application/json", coding, plain.as_bytes());
            assert!([200, 202].contains(&answer.status), "{coding:?}: {answer:?}");
        }
    }
    for coding in ["gzip,", ",gzip", "identity, ,gzip"] {
        assert_eq!(post(&client, EVENTS, "application/json", coding, &packed).status, 202, "{coding:?}");
        assert_eq!(post(&client, BATCH, "application/x-ndjson", coding, &packed).status, 200, "{coding:?}");
    }
    assert_eq!(post(&client, EVENTS, "application/json", "gzip,,gzip", &packed).status, 415);
}
