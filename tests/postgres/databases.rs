//! What a database or role may have set, and what a server says at connecting.

use std::io::{Read, Write};
use std::net::TcpListener;

use serde_json::json;

use super::{number, refusal};
use crate::support::database::Database;
use crate::support::events::{EVENTS, accepted, finished, id_of, stored};
use crate::support::postgres::Cluster;
use crate::support::server::{Server, Setup};

fn name_of(database: &Database) -> &str {
    database.url().rsplit_once('/').expect("the URL names a database").1
}

/// A fresh database with these settings of its own.
fn database_with(settings: &[&str]) -> Database {
    let database = Database::postgres();
    for setting in settings {
        Cluster::shared().sql("postgres", &format!("ALTER DATABASE {} SET {setting}", name_of(&database)));
    }
    database
}

// Guards `refuse_encoding` in `store/postgres/session.rs`.
#[test]
fn a_database_of_another_encoding_is_refused_before_anything_is_made_in_it() {
    for encoding in ["SQL_ASCII", "LATIN1", "EUC_JP"] {
        let options = format!("ENCODING '{encoding}' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'");
        let database = Database::at(Cluster::shared().fresh_database_with(&options));
        let log = refusal(Setup::new(&database));
        assert!(log.contains(encoding) && log.contains("createdb -E UTF8 -T template0"), "{log}");
        assert_eq!(number(&database, "SELECT COUNT(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace"), 0);
        let migrated = Setup::new(&database).command(&["migrate"]);
        assert_eq!(migrated.status.code(), Some(1), "{migrated:?}");
    }
}

// Guards `session::settings` and `READ_ONLY_DIRECT`.
#[test]
fn what_a_database_has_set_for_its_sessions_changes_nothing() {
    let database = database_with(&[
        "statement_timeout = 1",
        "lock_timeout = 1",
        "idle_in_transaction_session_timeout = 1",
        "idle_session_timeout = 200",
        "default_transaction_isolation = 'serializable'",
        "default_transaction_deferrable = on",
        "standard_conforming_strings = off",
        "bytea_output = 'escape'",
        "datestyle = 'SQL, DMY'",
        "intervalstyle = 'sql_standard'",
        "timezone = 'Asia/Kolkata'",
        "client_encoding = 'LATIN1'",
        "extra_float_digits = -15",
        "array_nulls = off",
        "transform_null_equals = on",
        "quote_all_identifiers = on",
        "row_security = off",
    ]);
    let mut server = Server::start(&database);
    let client = server.client();
    let payload = json!({"page": "C:\\new\\'x' \u{e9}\u{1f600}", "duration": 0.1, "list": [null, "a\\b"]});
    let sent = json!({
        "event_name": "caf\u{e9}\\", "event_type": "it's", "event_uid": "key\\'1",
        "timestamp": "2026-01-02T03:04:05.678901Z", "payload": payload,
    });
    let id = accepted(&client, &sent);
    let event = finished(&client, id);
    for member in ["event_name", "event_type", "event_uid", "timestamp", "payload"] {
        assert_eq!(event[member], sent[member], "{event}");
    }
    assert_eq!(event["properties"]["duration"], json!(0.1), "{event}");
    let again = client.post_json(EVENTS, &sent);
    assert_eq!((again.status, id_of(&again)), (200, id), "{again:?}");
    let refused = client.post_json(EVENTS, &json!({"event_name": "x", "payload": payload}));
    assert_eq!(refused.status, 422, "{refused:?}");
    assert_eq!(stored(&client, id_of(&refused))["status"], "validation_error");
    let listed = client.get(&format!("{EVENTS}?limit=10"));
    assert_eq!(listed.json()["data"].as_array().map(Vec::len), Some(2), "{listed:?}");
    Cluster::shared().sql("postgres", &format!("ALTER DATABASE {} RESET ALL", name_of(&database)));
    let wrong = number(
        &database,
        "SELECT COUNT(*) FROM events WHERE received_at NOT BETWEEN now() - interval '5 min' AND now()",
    );
    assert_eq!(wrong, 0, "times are not shifted");
}

// Guards `refuse_by_role` in `store/postgres/session.rs`.
#[test]
fn a_database_whose_sessions_cannot_write_or_check_nothing_is_refused() {
    for (setting, told) in [
        ("default_transaction_read_only = on", "default_transaction_read_only is on for this role or database"),
        ("session_replication_role = 'replica'", "session_replication_role is replica"),
        ("synchronous_commit = off", "synchronous_commit = off"),
    ] {
        let log = refusal(Setup::new(&database_with(&[setting])));
        assert!(log.contains(told), "{setting}: {log}");
    }
}

// Guards `may_pass` in `store/error/at_connecting.rs`.
#[test]
fn what_a_server_refuses_at_connecting_is_no_outage() {
    let cluster = Cluster::shared();
    let database = Database::postgres();
    let name = name_of(&database);
    for sql in [
        "CREATE ROLE outsider LOGIN".to_owned(),
        "CREATE ROLE locked_out NOLOGIN".to_owned(),
        format!("REVOKE CONNECT ON DATABASE {name} FROM PUBLIC"),
    ] {
        cluster.sql("postgres", &sql);
    }
    let as_user = |user: &str| database.url().replacen("gristmill", user, 1);
    let foreign = foreign_server();
    for (url, told) in [
        (cluster.url("no_such_database"), "no_such_database"),
        (as_user("nobody"), "nobody"),
        (as_user("locked_out"), "locked_out"),
        (as_user("outsider"), "permission denied"),
        (format!("postgres://u@{foreign}/db"), "no protocol of ours"),
    ] {
        let log = refusal(Setup::new(&Database::at(url)));
        let errors = log.lines().filter(|line| line.contains(told)).count();
        assert_eq!(errors, 1, "{told}: {log}");
    }
}

/// Something that answers each start of a session with `08P01`.
fn foreign_server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let address = listener.local_addr().expect("it is bound").to_string();
    std::thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let mut request = [0; 1024];
            // No TLS, then the start of the session.
            let _ =
                client.read(&mut request).and_then(|_| client.write_all(b"N")).and_then(|()| client.read(&mut request));
            let fields = b"SFATAL\0VFATAL\0C08P01\0Mno protocol of ours\0\0";
            let length = u32::try_from(fields.len() + 4).expect("it is short").to_be_bytes();
            let _ = client.write_all(&[&b"E"[..], &length, fields].concat());
        }
    });
    address
}

// Guards `PostgresUrl::parse` in `config/checks.rs`, and `StoreOptions::check`.
#[test]
fn an_address_that_the_driver_would_read_otherwise_is_named_without_its_password() {
    for (rest, told) in [
        ("h/db?sslmode=nonsense", "sslmode is disable, allow, prefer, require, verify-ca, verify-full"),
        ("h/db?sslmod=require", "no parameter sslmod"),
        ("h/db?connect_timeout=10", "no parameter connect_timeout"),
        ("h/db?target_session_attrs=standby", "target_session_attrs"),
        ("h1:5432,h2:x/db", "ports from 1 to 65535"),
        ("h:70000/db", "ports from 1 to 65535"),
        ("[::1/db", "database.url"),
    ] {
        for key in ["database.url", "database.direct_url"] {
            let url = format!("postgres://ana:s3cret@{rest}");
            let setup = Setup::new(&Database::postgres()).with_config(&format!("{key} = {url:?}"));
            let check = setup.command(&["config", "check"]);
            let text = String::from_utf8_lossy(&check.stderr).into_owned();
            assert!(!check.status.success(), "{url}: {text}");
            assert!(text.contains(told) && !text.contains("s3cret"), "{key} = {url}: {text}");
        }
    }
    let url = "postgres://ana:s3cret@h1:5432,h2:5432/db?target_session_attrs=read-write&sslmode=require";
    let setup = Setup::new(&Database::postgres()).with_config(&format!("database.url = {url:?}"));
    assert!(setup.run(&["config", "check"]).contains("valid"));
}
