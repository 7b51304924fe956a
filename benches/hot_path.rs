//! What one event costs the processor between the socket and the database: reading, checking, normalising, encoding.
//!
//! `cargo bench --bench hot_path`; criterion compares with the run before. For whole servers there is `gristmill bench`.

use bytes::Bytes;
use chrono::DateTime;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use gristmill::domain::event::validate;
use gristmill::domain::json::write_line;
use gristmill::domain::normalize::normalize_event_payload;
use gristmill::domain::payload::PayloadLimits;
use gristmill::domain::submission::Submission;
use serde_json::value::RawValue;

/// A body whose payload has about so many bytes of text and numbers.
fn body(bytes: usize) -> Bytes {
    let items: Vec<String> =
        (0..bytes.div_ceil(48)).map(|n| format!(r#"{{"sku":"item-{n:08}","count":{n},"price":{n}.25}}"#)).collect();
    let payload = format!(r#"{{"page":"/cart","duration":1520,"scroll_depth":0.75,"items":[{}]}}"#, items.join(","));
    format!(r#"{{"event_name":"page_view","event_type":"engagement","event_uid":"u-1","payload":{payload}}}"#).into()
}

fn hot_path(criterion: &mut Criterion) {
    let limits = PayloadLimits { bytes_max: 1 << 20, depth_max: 10, number_chars_max: 1_000 };
    let now = DateTime::UNIX_EPOCH;
    for bytes in [300, 10_000, 500_000] {
        let body = body(bytes);
        let submission = Submission::read(&body).expect("an event");
        let payload = submission.payload.clone().expect("a payload");
        let normalized = RawValue::from_string(normalize_event_payload(Some(&payload), now)).expect("JSON");
        let mut group = criterion.benchmark_group("event");
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_function(BenchmarkId::new("read", bytes), |bencher| bencher.iter(|| Submission::read(&body)));
        group.bench_function(BenchmarkId::new("check", bytes), |bencher| {
            bencher.iter(|| validate(&submission, &limits));
        });
        group.bench_function(BenchmarkId::new("normalise", bytes), |bencher| {
            bencher.iter(|| normalize_event_payload(Some(&payload), now));
        });
        group.bench_function(BenchmarkId::new("encode", bytes), |bencher| {
            bencher.iter_batched(Vec::new, |mut lines| write_line(&mut lines, &normalized), BatchSize::SmallInput);
        });
        group.finish();
    }
}

criterion_group!(benches, hot_path);
criterion_main!(benches);
