//! Damaged packed bodies: an error of the client or the bytes that other programs unpack too, and never more than the limit.

use std::io::Read;
use std::time::Duration;

use futures_util::stream;
use tokio::io::AsyncReadExt;
use tokio::runtime::{Builder, Runtime};

use super::*;
use crate::fuzz::{BATCHES, CLOUD_EVENTS, EVENTS, LINES, damaged, each, parts};
use crate::http::body::{self, BodyLimits};

/// Cases of the short form.
const CASES: u64 = 4_000;

const LIMITS: BodyLimits =
    BodyLimits { bytes_max: 256 << 10, silence_max: Duration::from_secs(5), total_max: Duration::from_secs(5) };

const CODINGS: [Coding; 4] = [Coding::Gzip, Coding::Deflate, Coding::Brotli, Coding::Zstd];

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_time().build().expect("a runtime starts")
}

async fn packed_as(coding: Coding, plain: &[u8]) -> Vec<u8> {
    let mut packed = Vec::new();
    let read = match coding {
        Coding::Identity | Coding::Gzip => GzipEncoder::with_quality(plain, LEVEL).read_to_end(&mut packed).await,
        Coding::Deflate => ZlibEncoder::with_quality(plain, LEVEL).read_to_end(&mut packed).await,
        Coding::Brotli => BrotliEncoder::with_quality(plain, LEVEL).read_to_end(&mut packed).await,
        Coding::Zstd => ZstdEncoder::with_quality(plain, LEVEL).read_to_end(&mut packed).await,
    };
    read.expect("memory takes it");
    packed
}

/// What another implementation makes of it; `None` if there is none here.
fn unpacked_by_another(coding: Coding, packed: &[u8]) -> Option<io::Result<Vec<u8>>> {
    let mut plain = Vec::new();
    let mut all = |mut reader: Box<dyn Read + '_>| reader.read_to_end(&mut plain).map(|_| ());
    let read = match coding {
        Coding::Gzip => all(Box::new(flate2::read::MultiGzDecoder::new(packed))),
        Coding::Deflate => {
            let mut rest = packed;
            let read = all(Box::new(flate2::bufread::ZlibDecoder::new(&mut rest)));
            read.and_then(|()| if rest.is_empty() { Ok(()) } else { Err(io::Error::other("more bytes follow")) })
        }
        Coding::Zstd => {
            // A frame that is seen whole is checked for its announced length too, one that comes in pieces is not.
            let pieces = std::io::BufReader::with_capacity(1, packed);
            zstd::stream::read::Decoder::with_buffer(pieces).and_then(|decoder| all(Box::new(decoder)))
        }
        Coding::Identity | Coding::Brotli => return None,
    };
    Some(read.map(|()| plain))
}

/// The body as a request brings it, in these parts.
async fn read(coding: Coding, parts: Vec<Vec<u8>>) -> Result<Bytes, &'static str> {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
    let payload = stream::iter(parts.into_iter().map(|part| Ok(Bytes::from(part))));
    let read = body::read(&headers, payload, &LIMITS, |bytes| {
        assert!(bytes <= UNPACKED_BYTES, "{bytes} bytes at once");
        Ok(())
    });
    read.await.map_err(|error| error.problem().entry().code)
}

#[test]
fn a_damaged_packed_body_is_refused_or_what_others_make_of_it() {
    let bodies = [&EVENTS[..], &BATCHES, &LINES, &CLOUD_EVENTS].concat();
    let runtime = runtime();
    each("packed bodies", CASES, |dice| {
        let plain = damaged(dice, &bodies);
        let coding = dice.one_of(&CODINGS);
        let whole = runtime.block_on(packed_as(coding, &plain));
        let packed = damaged(dice, &[&whole]);
        let read = runtime.block_on(read(coding, parts(dice, &packed)));
        let shown = || format!("{coding:?} {}", packed.escape_ascii());
        match read {
            Ok(body) if packed == whole => assert!(body == plain, "{}", shown()),
            Ok(body) if packed.is_empty() => assert!(body.is_empty(), "{}", shown()),
            Ok(body) => match unpacked_by_another(coding, &packed) {
                Some(Ok(other)) => assert!(body == other, "{}", shown()),
                // Bits that mean nothing are let through here, and the data behind them has its checksum.
                Some(Err(error)) if error.to_string() == "invalid gzip header" => {}
                Some(Err(error)) => panic!("others say {error}: {}", shown()),
                None => {}
            },
            Err(code) => {
                assert!(packed != whole, "{code}: {}", shown());
                assert!(["invalid_content_encoding", "body_too_large"].contains(&code), "{code}: {}", shown());
            }
        }
    });
}
