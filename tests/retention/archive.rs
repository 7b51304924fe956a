//! The archive: what goes is in a file first, once, and comes back as it was.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{OFTEN, await_removed, exists, make_old, number, refused};
use crate::support::database::{Database, Kind};
use crate::support::events::{EVENTS, accepted, id_of, stored};
use crate::support::http::Client;
use crate::support::run;
use crate::support::server::{Server, Setup};
use crate::support::wait::{SOON, wait_for};

/// The day of everything that is old.
const DAY: &str = "2020-01-01";

pub(super) fn with_archive(database: &Database, config: &str) -> (Setup, PathBuf) {
    let folder = run::folder("archive");
    let config = format!("{OFTEN}retention.archive = '{}'\n{config}", folder.display());
    (Setup::new(database).with_config(&config), folder)
}

/// The files of the archive.
fn files(setup: &Setup) -> Vec<Value> {
    let list: Value = serde_json::from_str(&setup.run(&["archive", "list", "--json"])).expect("JSON");
    list["files"].as_array().expect("a list").clone()
}

pub(super) fn rows(setup: &Setup) -> i64 {
    files(setup).iter().map(|file| file["rows"].as_i64().expect("a number")).sum()
}

fn path_of(folder: &Path, file: &Value) -> PathBuf {
    folder.join(file["path"].as_str().expect("a path"))
}

fn failure(setup: &Setup, arguments: &[&str]) -> String {
    let output = setup.command(arguments);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}");
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn await_gone(client: &Client, server: &Server, ids: &[i64]) {
    let are_gone = || ids.iter().all(|id| !exists(client, *id)).then_some(());
    wait_for("the events to go", SOON, are_gone, || server.log_tail());
}

both_databases! {
    // Guards `ArchivedLine` in both directions, `GoingRows`, and the counts of what was removed.
    fn a_day_comes_back_as_it_was(database) {
        let rules = "[[faults]]\nstage = \"validator\"\nevent_name = \"late\"\naction = \"error\"\ntimes = 2\n";
        let types = "retention.types = { \"a/b ü\" = \"1h\", view = \"1h\" }\nretention.attempts = \"off\"\nretry.delay = \"10ms\"\n";
        let (setup, folder) = with_archive(&database, &format!("{types}{rules}"));
        let mut server = Server::start(setup.clone());
        let client = server.client();
        let exact = r#"{"event_name": "n", "event_type": "a/b ü", "event_uid": "u", "timestamp": "2026-01-02T03:04:05.678901Z",
            "payload": {"z": 1.10, "a": 12345678901234567890, "text": "line\nbreak \u2028 ü", "n": null}}"#;
        let headers = [("content-type", "application/json")];
        let exact = id_of(&client.call("POST", EVENTS, &headers, Some(exact.as_bytes())));
        let pretty = "{\"event_name\": \"n\", \"event_type\": \"view\", \"payload\": {\r\n  \"a\": [\n1.50]}}";
        let pretty = id_of(&client.call("POST", EVENTS, &headers, Some(pretty.as_bytes())));
        let late = accepted(&client, &json!({"event_name": "late", "event_type": "view", "payload": {}}));
        let is_done = || (stored(&client, late)["status"] == "processed").then_some(());
        wait_for("the event to be processed", SOON, is_done, || server.log_tail());
        let again = refused(&client, "b", 1);
        client.post_json(&format!("{EVENTS}/process"), &json!({"event_ids": [again]}));
        assert_eq!(number(&database, "SELECT COUNT(*) FROM replays"), 1);
        let stays = accepted(&client, &json!({"event_name": "n", "event_type": "c", "payload": {}}));
        let ids = [exact, late, again];
        let properties = stored(&client, pretty)["properties"].clone();
        let pruner = |what: &str| {
            let path = format!("/api/pipeline/pools/pruner/{what}");
            assert_eq!(server.dashboard().call("POST", &path, &[], None).status, 200);
        };
        pruner("pause");
        // Keys go before their events.
        database.execute("DELETE FROM dedupe_keys");
        make_old(&database);
        let told = |id: i64| {
            let path = format!("{EVENTS}/{id}");
            [path.clone(), format!("{path}/timeline")].map(|path| client.get(&path).body)
        };
        let before = ids.map(told);
        pruner("resume");
        await_gone(&client, &server, &[exact, late, again, pretty]);
        assert!(exists(&client, stays));
        assert_eq!(number(&database, "SELECT COUNT(*) FROM attempts"), 0);
        let listed = files(&setup);
        let mut shapes: Vec<_> = listed.iter().map(|file| (&file["day"], &file["event_type"], &file["rows"])).collect();
        shapes.sort_by_key(|shape| shape.1.to_string());
        let day = json!(DAY);
        let (b, odd, view) = (json!("b"), json!("a/b ü"), json!("view"));
        // Beside their events: the note of a replay, two failed attempts.
        assert_eq!(shapes, [(&day, &odd, &json!(1)), (&day, &b, &json!(2)), (&day, &view, &json!(4))]);
        assert!(setup.run(&["archive", "verify"]).matches("ok ").count() == 3);
        setup.run(&["db", "check"]);

        assert!(failure(&setup, &["archive", "restore", "2020-01-02"]).contains("no such events of 2020-01-02"));
        let one = setup.run(&["archive", "restore", DAY, "--type", "view"]);
        assert!(one.contains("4 rows restored"), "{one}");
        assert!(exists(&client, late) && !exists(&client, exact));
        let all = setup.run(&["archive", "restore", DAY]);
        assert_eq!(all.matches(" rows restored").count(), 2, "{all}");
        assert_eq!(stored(&client, pretty)["properties"], properties);
        setup.run(&["db", "check"]);
        assert!(before[0][0].contains("12345678901234567890"), "{}", before[0][0]);
        assert_eq!(ids.map(told), before);
        assert_eq!(files(&setup), Vec::<Value>::new());
        let kept = fs::read_dir(folder.join(DAY)).expect("the day's folder");
        assert!(kept.flatten().all(|file| file.file_name().to_string_lossy().ends_with(".zst.restored")));
        assert_eq!(client.get("/api/v1/audit?action=rows_restored").json()["data"].as_array().map(Vec::len), Some(3));
    }

    // Guards `Archive::part`, `file::append` and `file::read`: no byte is ever written over.
    fn a_file_that_ends_otherwise_than_known_is_left_as_it_is(database) {
        let (setup, folder) = with_archive(&database, "");
        let mut server = Server::start(setup.clone());
        let client = server.client();
        let gone = |n| {
            let id = refused(&client, "b", n);
            make_old(&database);
            let is_gone = || {
                // The walk of the run before has gone past it.
                database.execute("DELETE FROM retention_walks");
                (!exists(&client, id)).then_some(())
            };
            wait_for("the event to go", SOON, is_gone, || server.log_tail());
            id
        };
        let first = gone(1);
        let path = path_of(&folder, &files(&setup)[0]);
        let second = gone(2);
        assert_eq!((files(&setup).len(), rows(&setup)), (1, 2), "frame after frame");
        let whole = fs::read(&path).expect("the file is there");
        let longer = [whole.as_slice(), b"of a process that died before it removed anything"].concat();
        fs::write(&path, &longer).expect("the folder is ours");
        setup.run(&["archive", "verify"]);
        gone(3);
        setup.run(&["archive", "verify", DAY]);
        assert_eq!((files(&setup).len(), rows(&setup)), (2, 3));
        assert_eq!(fs::read(&path).expect("the file is there"), longer);

        let mut damaged = whole.clone();
        damaged[20] ^= 1;
        fs::write(&path, &damaged).expect("the folder is ours");
        assert!(failure(&setup, &["archive", "verify"]).contains("wrong  "));
        fs::write(&path, &whole[..whole.len() - 1]).expect("the folder is ours");
        assert!(failure(&setup, &["archive", "verify"]).contains("bytes"));
        let partly = failure(&setup, &["archive", "restore", DAY]);
        assert!(partly.contains("nothing more of it was restored") && partly.contains("1 of 2 files"), "{partly}");
        assert_eq!(rows(&setup), 2, "what is sound is back");
        fs::remove_file(&path).expect("the folder is ours");
        assert!(setup.run(&["archive", "list"]).contains("not in the folder"));
        assert!(failure(&setup, &["archive", "verify"]).contains("cannot be opened"));

        fs::write(&path, &whole).expect("the folder is ours");
        database.execute("UPDATE archive_files SET restored = 1");
        assert!(setup.run(&["archive", "restore", DAY]).contains("1 rows restored"));
        assert!(exists(&client, second) && !exists(&client, first), "an earlier command had the first row");
    }

    // Guards `ReadRows::unreadable`: one row that somebody else wrote stops nothing.
    fn an_event_that_cannot_be_read_stays(database) {
        let (setup, _folder) = with_archive(&database, "");
        let mut server = Server::start(setup.clone());
        let client = server.client();
        let ids = [1, 2, 3, 4].map(|n| refused(&client, "b", n));
        let odd = if database.kind() == Kind::Postgres { "infinity" } else { "some day" };
        database.execute(&format!("UPDATE events SET timestamp = '{odd}' WHERE id = {}", ids[0]));
        database.execute(&format!(
            "INSERT INTO attempts (event_id, generation, attempt, started_at, ended_at, node, stage, error_code, error) \
             SELECT id, 9, 9, '{odd}', received_at, 'n', 's', 'c', 'e' FROM events WHERE id = {}",
            ids[1]
        ));
        make_old(&database);
        await_removed(&server, &json!({"validation_error": 2}));
        setup.run(&["archive", "verify"]);
        let left: Vec<i64> = ids.into_iter().filter(|id| number(&database, &format!("SELECT COUNT(*) FROM events WHERE id = {id}")) > 0).collect();
        assert_eq!(left, ids[..2]);
        assert!(server.log().contains("an old row cannot be archived, and stays"), "{}", server.log_tail());
    }

    // Guards the order: nothing goes that could not be written.
    fn without_room_for_the_archive_nothing_goes(database) {
        let (setup, folder) = with_archive(&database, "");
        fs::remove_dir(&folder).expect("it is empty");
        fs::write(&folder, "no folder").expect("the folder above is ours");
        let mut server = Server::start(setup.clone());
        let client = server.client();
        let id = refused(&client, "b", 1);
        make_old(&database);
        let is_told = || server.log().contains("retention fails").then_some(());
        wait_for("the failure to be told", SOON, is_told, || server.log_tail());
        assert!(exists(&client, id));
        fs::remove_file(&folder).expect("it is ours");
        await_removed(&server, &json!({"validation_error": 1}));
        setup.run(&["archive", "verify"]);
    }
}
