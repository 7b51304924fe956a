//! `Content-Encoding` of requests and answers.

use std::io::{Read, Write};
use std::net::TcpStream;

use async_compression::tokio::bufread::{
    BrotliDecoder, BrotliEncoder, GzipDecoder, GzipEncoder, ZlibDecoder, ZlibEncoder, ZstdDecoder, ZstdEncoder,
};
use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt};

use super::{BATCH, rows};
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
