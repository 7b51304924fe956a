//! `gristmill db`: what takes how much, and what is wrong.

use serde_json::{Value, json};

use crate::support::database::{Database, Kind};
use crate::support::events::{EVENTS, accepted, event, with_uid};
use crate::support::server::{Server, Setup};

fn checked(setup: &Setup, code: i32) -> Value {
    let output = setup.command(&["db", "check", "--json"]);
    assert_eq!(output.status.code(), Some(code), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// What is wrong there; everything else is well.
fn faults(setup: &Setup, what: &str) -> Vec<String> {
    let checked = checked(setup, 1);
    assert_eq!(checked["ok"], false);
    let checks = checked["checks"].as_array().expect("a list");
    let texts = |check: &Value| -> Vec<String> {
        check["wrong"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|text| text.as_str().expect("a text").to_owned())
            .collect()
    };
    for check in checks.iter().filter(|check| check["what"] != what) {
        assert_eq!(check["wrong"], json!([]), "{checked}");
    }
    texts(checks.iter().find(|check| check["what"] == what).expect("the check"))
}

both_databases! {
    fn a_check_finds_what_the_rows_do_not_bear_out(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        accepted(&client, &event("calm"));
        accepted(&client, &with_uid("a"));
        client.post_json(EVENTS, &json!({"event_name": "bad", "event_type": "b", "payload": [1]}));
        let setup = server.setup().clone();
        assert_eq!(checked(&setup, 0)["ok"], true, "beside a running server");
        assert!(setup.run(&["db", "check"]).starts_with("ok     balance\nok     orphans\n"));
        server.kill9();
        let without = "DELETE FROM events WHERE event_name = 'calm'";
        database.execute(without);
        assert_eq!(
            faults(&setup, "balance"),
            ["statistics count 2 events as processed, and there are 1, beside 0 that were removed"]
        );
        database.execute("UPDATE retention SET removed_total = '{\"processed\": 1}'");
        assert_eq!(checked(&setup, 0)["ok"], true, "it was removed for its age");
        database.execute("UPDATE attempts SET event_id = 1");
        database.execute("INSERT INTO replays (event_id, generation, action, by_user, at, patched) \
                          SELECT 999, 1, 'replayed', 1, created_at, FALSE FROM users");
        assert_eq!(faults(&setup, "orphans"), ["1 rows of replays belong to no event"]);
        database.execute("DELETE FROM replays");
        database.execute("DELETE FROM id_blocks");
        let found = faults(&setup, "identity");
        assert!(found[0].ends_with("and ids were reserved up to 0 only"), "{found:?}");
    }

    fn every_table_and_index_has_its_size(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        (0..20).for_each(|_| {
            accepted(&client, &event("calm"));
        });
        let setup = server.setup().clone();
        let sizes: Value = serde_json::from_str(&setup.run(&["db", "size", "--json"])).expect("JSON");
        let objects = sizes["objects"].as_array().expect("a list");
        let of = |name: &str| objects.iter().find(|object| object["name"] == name).unwrap_or_else(|| panic!("no {name}: {sizes}"));
        let table = if database.kind() == Kind::Postgres { "events_p0" } else { "events" };
        assert_eq!((&of(table)["rows"], &of(table)["table"]), (&json!(20), &json!(table)));
        assert!(of(table)["bytes"].as_u64().expect("a number") >= 4_096);
        assert_eq!((&of("audit_action")["table"], &of("audit_action")["rows"]), (&json!("audit"), &Value::Null));
        let sum: u64 = objects.iter().map(|object| object["bytes"].as_u64().expect("a number")).sum();
        assert_eq!(sizes["bytes"], json!(sum));
        let printed = setup.run(&["db", "size"]);
        assert!(printed.lines().last().is_some_and(|line| line.contains("in all")), "{printed}");
    }
}

#[test]
fn a_damaged_file_is_found() {
    let database = Database::sqlite();
    let setup = Setup::new(&database);
    setup.run(&["migrate"]);
    database.execute("INSERT INTO meta (key, value) VALUES ('filler', hex(zeroblob(400000)))");
    let path = database.url().trim_start_matches("sqlite://").to_owned();
    // The last page of the filler's chain names a page that there is not.
    let mut bytes = std::fs::read(&path).expect("the file");
    let last = bytes.len() - 4_096;
    bytes[last..last + 4].copy_from_slice(&u32::MAX.to_be_bytes());
    std::fs::write(&path, bytes).expect("the file is ours");
    assert!(!faults(&setup, "files").is_empty());
}
