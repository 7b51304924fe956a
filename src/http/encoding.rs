//! `Content-Encoding` both ways: bodies are unpacked as they are read, so that a limit counts what comes out, and
//! answers are packed when the client takes that.

mod single_stream;

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;

use actix_web::HttpResponse;
use actix_web::body::{BoxBody, MessageBody};
use actix_web::error::PayloadError;
use actix_web::http::header::{self, HeaderMap, HeaderValue};
use async_compression::Level;
use async_compression::tokio::bufread::{
    BrotliDecoder, BrotliEncoder, GzipDecoder, GzipEncoder, ZlibDecoder, ZlibEncoder, ZstdDecoder, ZstdEncoder,
};
use bytes::Bytes;
use futures_util::{Stream, StreamExt, TryStreamExt};
use tokio::io::{AsyncRead, BufReader};
use tokio_util::io::{ReaderStream, StreamReader};

use self::single_stream::SingleStream;
use super::error::ApiError;
use super::headers::{elements_of, weighed};

/// What `Accept-Encoding` says of bodies.
const ACCEPT_ENCODING: &str = "gzip, br, zstd, deflate, identity";

/// How much is unpacked at once: a caller that counts sees a bomb after so many bytes.
const UNPACKED_BYTES: usize = 64 * 1_024;

/// Shorter answers are sent as they are: packing costs more than it saves.
const PACKED_FROM: u64 = 1_024;

/// Brotli's best level takes longer than a request should.
const LEVEL: Level = Level::Fastest;

/// Memory that a zstd body may request, as a power of two: 8 MiB, what RFC 9659 lets a body use.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

/// How a body is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// Not at all.
    Identity,
    /// gzip
    Gzip,
    /// zlib, which HTTP calls deflate
    Deflate,
    /// Brotli
    Brotli,
    /// Zstandard
    Zstd,
}

/// A body's bytes, unpacked.
pub type Unpacked = Pin<Box<dyn Stream<Item = Result<Bytes, PayloadError>>>>;

impl Coding {
    /// How the request's body is packed; 415 if it is an unknown way, or several.
    pub fn declared(headers: &HeaderMap) -> Result<Self, ApiError> {
        let refused = |value: &HeaderValue| {
            let detail = format!("the content encoding {value:?} is not taken, expected one of {ACCEPT_ENCODING}");
            ApiError::unsupported_content_encoding(ACCEPT_ENCODING, detail)
        };
        let mut coding = Self::Identity;
        for value in headers.get_all(header::CONTENT_ENCODING) {
            value.to_str().map_err(|_| refused(value))?;
            for name in elements_of(value) {
                match Self::of(name).ok_or_else(|| refused(value))? {
                    Self::Identity => {}
                    _ if coding != Self::Identity => return Err(refused(value)),
                    other => coding = other,
                }
            }
        }
        Ok(coding)
    }

    fn of(name: &str) -> Option<Self> {
        Some(match name.to_ascii_lowercase().as_str() {
            "identity" => Self::Identity,
            "gzip" | "x-gzip" => Self::Gzip,
            "deflate" => Self::Deflate,
            "br" => Self::Brotli,
            "zstd" => Self::Zstd,
            _ => return None,
        })
    }

    fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
            Self::Brotli => "br",
            Self::Zstd => "zstd",
        }
    }

    /// Unpacks `body` to its last byte; what cannot be unpacked is an error of the kind [`io::ErrorKind::InvalidData`],
    /// with a text for the client.
    pub fn unpack(self, body: impl Stream<Item = Result<Bytes, PayloadError>> + Unpin + 'static) -> Unpacked {
        if self == Self::Identity {
            return Box::pin(body);
        }
        let arrived = Rc::new(Cell::new(0));
        let counted = Rc::clone(&arrived);
        let count = move |chunk: &Bytes| counted.set(counted.get() + chunk.len() as u64);
        let packed = StreamReader::new(body.map_err(io::Error::other).inspect_ok(count));
        let unpacked: Pin<Box<dyn AsyncRead>> = match self {
            Self::Identity | Self::Gzip => {
                let mut decoder = GzipDecoder::new(packed);
                decoder.multiple_members(true);
                Box::pin(decoder)
            }
            Self::Deflate => {
                Box::pin(SingleStream { decoder: ZlibDecoder::new(packed), packed: ZlibDecoder::get_mut, arrived })
            }
            Self::Brotli => {
                Box::pin(SingleStream { decoder: BrotliDecoder::new(packed), packed: BrotliDecoder::get_mut, arrived })
            }
            Self::Zstd => {
                let window = async_compression::zstd::DParameter::window_log_max(ZSTD_WINDOW_LOG_MAX);
                let mut decoder = ZstdDecoder::with_params(packed, &[window]);
                decoder.multiple_members(true);
                Box::pin(decoder)
            }
        };
        let chunks = ReaderStream::with_capacity(unpacked, UNPACKED_BYTES);
        Box::pin(chunks.map_err(move |error| {
            // What the connection did wrong is inside; everything else is the packing.
            error.downcast::<PayloadError>().unwrap_or_else(|error| {
                let text = format!("the body is not valid {}: {}", self.name(), reason(&error));
                PayloadError::Io(io::Error::new(io::ErrorKind::InvalidData, text))
            })
        }))
    }
}

/// What is wrong with a packed body, for its sender.
fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    match error.kind() {
        io::ErrorKind::UnexpectedEof => "it ends early".to_owned(),
        _ if text.contains("too much memory") => "its window is larger than the 8 MiB of RFC 9659".to_owned(),
        _ => text,
    }
}

/// The best way that the client takes, as `Accept-Encoding` weighs them; of equals the one that packs fastest.
fn wanted(headers: &HeaderMap) -> Coding {
    let offers: Vec<(&str, u16)> = weighed(headers, header::ACCEPT_ENCODING).collect();
    let weight = |coding: &Coding| {
        let offer = |matches: &dyn Fn(&str) -> bool| offers.iter().find(|(name, _)| matches(name));
        let any = || offer(&|name| *coding == Coding::Gzip && name == "*");
        offer(&|name| Coding::of(name) == Some(*coding)).or_else(any).map_or(0, |(_, weight)| *weight)
    };
    let slow_to_fast = [Coding::Identity, Coding::Deflate, Coding::Brotli, Coding::Gzip, Coding::Zstd];
    let taken = slow_to_fast.into_iter().filter(|coding| weight(coding) > 0);
    taken.max_by_key(weight).unwrap_or(Coding::Identity)
}

/// Packs the answer if the client wants that and it is worth it.
pub fn pack(request: &HeaderMap, response: HttpResponse) -> HttpResponse {
    if request.get(header::ACCEPT_ENCODING).is_none() || !is_packable(&response) {
        return response;
    }
    let coding = wanted(request);
    let mut response = if coding == Coding::Identity {
        response
    } else {
        response.map_body(|head, body| {
            head.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
            packed(coding, body)
        })
    };
    response.headers_mut().append(header::VARY, HeaderValue::from_static("accept-encoding"));
    response
}

fn is_packable(response: &HttpResponse) -> bool {
    use actix_web::body::BodySize;
    let is_text = response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| {
        let kind = kind.to_str().unwrap_or_default();
        (kind.contains("json") || kind.starts_with("text/")) && kind != "text/event-stream"
    });
    let is_long = match response.body().size() {
        BodySize::None => false,
        BodySize::Sized(bytes) => bytes >= PACKED_FROM,
        BodySize::Stream => true,
    };
    is_text && is_long && !response.headers().contains_key(header::CONTENT_ENCODING)
}

fn packed(coding: Coding, body: BoxBody) -> BoxBody {
    let chunks = Chunks(body).map_err(|error| io::Error::other(error.to_string()));
    let plain = BufReader::new(StreamReader::new(chunks));
    match coding {
        Coding::Identity | Coding::Gzip => streamed(GzipEncoder::with_quality(plain, LEVEL)),
        Coding::Deflate => streamed(ZlibEncoder::with_quality(plain, LEVEL)),
        Coding::Brotli => streamed(BrotliEncoder::with_quality(plain, LEVEL)),
        Coding::Zstd => streamed(ZstdEncoder::with_quality(plain, LEVEL)),
    }
}

fn streamed(reader: impl AsyncRead + 'static) -> BoxBody {
    BoxBody::new(actix_web::body::BodyStream::new(ReaderStream::new(reader).boxed_local()))
}

/// A body as a stream of its chunks.
struct Chunks(BoxBody);

impl Stream for Chunks {
    type Item = Result<Bytes, <BoxBody as MessageBody>::Error>;

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        self.0.as_pin_mut().poll_next(context)
    }
}

#[cfg(test)]
mod fuzz;

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn headers(name: &'static str, value: &str) -> HeaderMap {
        TestRequest::default().insert_header((name, value)).to_http_request().headers().clone()
    }

    #[test]
    fn one_known_encoding_is_taken() {
        assert_eq!(Coding::declared(&HeaderMap::new()).ok(), Some(Coding::Identity));
        for (text, coding) in [
            ("Identity", Coding::Identity),
            ("gzip", Coding::Gzip),
            ("identity, br", Coding::Brotli),
            ("gzip,", Coding::Gzip),
            (", ,gzip", Coding::Gzip),
            ("", Coding::Identity),
            (",", Coding::Identity),
            ("ZSTD", Coding::Zstd),
            ("deflate", Coding::Deflate),
        ] {
            assert_eq!(Coding::declared(&headers("content-encoding", text)).ok(), Some(coding), "{text}");
        }
        for text in ["gzip, br", "gzip,, gzip", "x", "gzip x", "gzip;q=1", "\"gzip\""] {
            let error = Coding::declared(&headers("content-encoding", text)).expect_err("must be refused");
            assert_eq!(error.problem().entry().code, "unsupported_content_encoding", "{text}");
        }
    }

    #[test]
    fn the_client_weighs_encodings_and_the_faster_of_equals_wins() {
        for (text, coding) in [
            ("gzip, deflate, br, zstd", Coding::Zstd),
            ("gzip, deflate, br", Coding::Gzip),
            ("zstd;q=0.5, br;q=0.8", Coding::Brotli),
            ("gzip;q=0", Coding::Identity),
            ("identity", Coding::Identity),
            ("*", Coding::Gzip),
            ("gzip;q=0, *", Coding::Identity),
            ("identity, gzip;q=0.5", Coding::Identity),
            ("identity;q=0.5, gzip;q=0.5", Coding::Gzip),
            (",gzip,,", Coding::Gzip),
            (", gzip ; Q=0.2 ,br;q=.3", Coding::Brotli),
            ("gzip;q=inf", Coding::Identity),
            ("nonsense;q=x", Coding::Identity),
        ] {
            assert_eq!(wanted(&headers("accept-encoding", text)), coding, "{text}");
        }
    }
}
