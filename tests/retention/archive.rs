//! The archive: what goes is in a file first, once, and comes back as it was.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{OFTEN, await_removed, exists, make_old, number, refused};
use crate::support::database::Database;
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
        let late = accepted(&client, &json!({"event_name": "late", "event_type": "view", "payload": {}}));
        let is_done = || (stored(&client, late)["status"] == "processed").then_some(());
        wait_for("the event to be processed", SOON, is_done, || server.log_tail());
        let again = refused(&client, "b", 1);
        client.post_json(&format!("{EVENTS}/process"), &json!({"event_ids": [again]}));
        assert_eq!(number(&database, "SELECT COUNT(*) FROM replays"), 1);
        let stays = accepted(&client, &json!({"event_name": "n", "event_type": "c", "payload": {}}));
        let ids = [exact, late, again];
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
        await_gone(&client, &server, &ids);
        assert!(exists(&client, stays));
        assert_eq!(number(&database, "SELECT COUNT(*) FROM attempts"), 0);
        let listed = files(&setup);
        let mut shapes: Vec<_> = listed.iter().map(|file| (&file["day"], &file["event_type"], &file["rows"])).collect();
        shapes.sort_by_key(|shape| shape.1.to_string());
        let day = json!(DAY);
        let (b, odd, view) = (json!("b"), json!("a/b ü"), json!("view"));
        // Beside the event: the note of its replay, two failed attempts.
        assert_eq!(shapes, [(&day, &odd, &json!(1)), (&day, &b, &json!(2)), (&day, &view, &json!(3))]);
        assert!(setup.run(&["archive", "verify"]).matches("ok ").count() == 3);
        setup.run(&["db", "check"]);

        assert!(failure(&setup, &["archive", "restore", "2020-01-02"]).contains("has nothing of 2020-01-02"));
        let one = setup.run(&["archive", "restore", DAY, "--type", "view"]);
        assert!(one.contains("3 rows restored, 0 left out"), "{one}");
        assert!(exists(&client, late) && !exists(&client, exact));
        let all = setup.run(&["archive", "restore", DAY]);
        assert_eq!(all.matches(" rows restored").count(), 2, "{all}");
        setup.run(&["db", "check"]);
        assert!(before[0][0].contains("12345678901234567890"), "{}", before[0][0]);
        assert_eq!(ids.map(told), before);
        assert_eq!(files(&setup), Vec::<Value>::new());
        let kept = fs::read_dir(folder.join(DAY)).expect("the day's folder");
        assert!(kept.flatten().all(|file| file.file_name().to_string_lossy().ends_with(".zst.restored")));
        assert_eq!(client.get("/api/v1/audit?action=rows_restored").json()["data"].as_array().map(Vec::len), Some(3));
    }

    // Guards `file::append` after a crash, `Archive::part` and `file::read`.
    fn a_file_is_true_up_to_what_was_committed(database) {
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
        };
        gone(1);
        let path = path_of(&folder, &files(&setup)[0]);
        let append = |bytes: &[u8]| {
            let mut file = OpenOptions::new().append(true).open(&path).expect("the file is there");
            file.write_all(bytes).expect("the folder is ours");
        };
        append(b"written by a process that died before it removed anything");
        setup.run(&["archive", "verify"]);
        gone(2);
        setup.run(&["archive", "verify", DAY]);
        assert_eq!((files(&setup).len(), rows(&setup)), (1, 2));

        let whole = fs::read(&path).expect("the file is there");
        let mut damaged = whole.clone();
        damaged[20] ^= 1;
        fs::write(&path, &damaged).expect("the folder is ours");
        assert!(failure(&setup, &["archive", "verify"]).contains("wrong  "));
        assert!(failure(&setup, &["archive", "restore", DAY]).contains("nothing of it was restored"));
        fs::write(&path, &whole[..whole.len() - 1]).expect("the folder is ours");
        assert!(failure(&setup, &["archive", "verify"]).contains("bytes"));
        gone(3);
        fs::write(&path, &whole).expect("the folder is ours");
        setup.run(&["archive", "verify"]);
        assert_eq!((files(&setup).len(), rows(&setup)), (2, 3), "what was cut off is left as it is");
        fs::remove_file(&path).expect("the folder is ours");
        assert!(failure(&setup, &["archive", "verify"]).contains("cannot be opened"));
        assert!(setup.run(&["archive", "list"]).contains("not in the folder"));
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
