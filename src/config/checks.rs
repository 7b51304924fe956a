//! Rules over several keys: what is allowed for one depends on another.

use std::net::SocketAddr;

use super::Config;
use super::database_url::{self, DatabaseKind};
use super::postgres_url::PostgresUrl;
use super::reader::ConfigReader;
use super::units::{duration_text, size_text};

pub(super) fn check(config: &Config, r: &mut ConfigReader) {
    check_addresses(config, r);
    check_database(config, r);
    check_sizes(config, r);
    check_counts(config, r);
    check_times(config, r);
}

fn check_addresses(config: &Config, r: &mut ConfigReader) {
    let api = config.http.bind;
    let dashboard = config.dashboard.bind;
    let allowed = format!("an address other than http.bind ({api})");
    r.require(!collide(api, dashboard), "dashboard.bind", &["http.bind"], &allowed);
}

/// Port 0 is a free port; an address of all interfaces collides with each of them.
fn collide(a: SocketAddr, b: SocketAddr) -> bool {
    let same_ip = a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified();
    a.port() != 0 && a.port() == b.port() && same_ip
}

fn check_database(config: &Config, r: &mut ConfigReader) {
    let url = config.database_url();
    let direct = config.direct_database_url();
    r.require(
        database_url::kind(&url) == database_url::kind(&direct),
        "database.direct_url",
        &["database.url"],
        "the same kind of database as database.url",
    );
    for (key, url) in [("database.url", &url), ("database.direct_url", &config.database.direct_url)] {
        if database_url::kind(url) == Some(DatabaseKind::Postgres)
            && let Err(allowed) = PostgresUrl::parse(url)
        {
            r.require(false, key, &[], &allowed);
        }
    }
    let lock = config.database.lock_timeout;
    let statement = config.database.statement_timeout;
    r.require(
        lock <= statement,
        "database.lock_timeout",
        &["database.statement_timeout"],
        &at_most("database.statement_timeout", &duration_text(statement)),
    );
}

fn check_sizes(config: &Config, r: &mut ConfigReader) {
    let payload = config.limits.payload_bytes;
    let body = config.limits.body_bytes;
    let flush = config.pipeline.flush_bytes;
    let in_flight = config.pipeline.in_flight_bytes;
    let at_least = |key: &str, bytes: usize| format!("at least {key} ({})", size_text(bytes as u64));
    r.require(
        body >= payload,
        "limits.body_bytes",
        &["limits.payload_bytes"],
        &at_least("limits.payload_bytes", payload),
    );
    r.require(
        flush <= in_flight,
        "pipeline.flush_bytes",
        &["pipeline.in_flight_bytes"],
        &at_most("pipeline.in_flight_bytes", &size_text(in_flight as u64)),
    );
    // One request must fit, or it would be refused for ever.
    r.require(
        in_flight >= body,
        "pipeline.in_flight_bytes",
        &["limits.body_bytes"],
        &at_least("limits.body_bytes", body),
    );
}

fn check_counts(config: &Config, r: &mut ConfigReader) {
    let in_flight = config.pipeline.in_flight_events;
    let allowed = at_most("pipeline.in_flight_events", &in_flight.to_string());
    let others = &["pipeline.in_flight_events"];
    let flush = config.pipeline.flush_events;
    r.require(flush <= in_flight, "pipeline.flush_events", others, &allowed);
    let claim = config.lease.claim_events;
    r.require(claim <= in_flight, "lease.claim_events", others, &allowed);
}

fn check_times(config: &Config, r: &mut ConfigReader) {
    let http = &config.http;
    let timeouts = &config.timeouts;
    let retry = &config.retry;
    let lease = &config.lease;
    let rules = [
        (("http.body_timeout", http.body_timeout), ("http.request_timeout", http.request_timeout)),
        (("timeouts.flush", timeouts.flush), ("timeouts.accept", timeouts.accept)),
        (("retry.delay", retry.delay), ("retry.delay_max", retry.delay_max)),
    ];
    for ((short_key, short), (long_key, long)) in rules {
        let allowed = at_most(long_key, &duration_text(long));
        r.require(short <= long, short_key, &[long_key], &allowed);
    }
    // An invalid address is reported by itself.
    if config.spool.enabled && database_url::kind(&config.database_url()) == Some(DatabaseKind::Postgres) {
        let window = config.dedupe.window;
        let allowed = at_most("dedupe.window", &duration_text(window));
        r.require(config.spool.age <= window, "spool.age", &["dedupe.window"], &allowed);
    }
    let allowed = format!("less than lease.duration ({})", duration_text(lease.duration));
    r.require(lease.poll < lease.duration, "lease.poll", &["lease.duration"], &allowed);
}

fn at_most(key: &str, value: &str) -> String {
    format!("at most {key} ({value})")
}
