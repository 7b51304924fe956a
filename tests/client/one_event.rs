//! Single events, stored ones processed anew, and command lines that name no server.

use serde_json::Value;

use super::{file, run};
use crate::support::database::Database;
use crate::support::server::{Server, Setup};

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

both_databases! {
    fn one_event_is_sent_and_the_exit_code_tells_what_became_of_it(database) {
        let mut server = Server::start(&database);
        let by_name =
            ["send", "--name", "a", "--type", "b", "--payload", "{\"page\": \"/\"}", "--wait", "10"];
        let said = parsed(&run(server.setup(), &by_name, 0).out);
        assert_eq!((&said["status"], &said["event_name"]), (&"success".into(), &"a".into()), "{said}");
        let said = parsed(&run(server.setup(), &["send", "{\"event_name\": \"c\", \"event_type\": \"d\"}"], 0).out);
        assert_eq!(said["status"], "enqueued", "{said}");
        let refused = parsed(&run(server.setup(), &["send", "{\"event_name\": \"c\"}"], 3).out);
        assert_eq!(refused["code"], "missing_field", "{refused}");
        assert!(run(server.setup(), &["send", "{"], 1).err.contains("the event is not JSON"));
        run(server.setup(), &["send"], 2);
        let id = refused["event_id"].to_string();
        let report = run(server.setup(), &["retry", &id, "--json"], 3).out;
        assert_eq!(parsed(&report)["results"][0]["status"], "validation_error", "{report}");
        let table = run(server.setup(), &["retry", "1", "999999"], 3).out;
        assert!(table.contains("processed") && table.contains("not_found"), "{table}");
        run(server.setup(), &["retry", "1"], 0);
        let counted = run(server.setup(), &["retry", "--status", "validation_error", "--dry-run"], 0).out;
        assert!(counted.contains("1 events match") && counted.contains(&id), "{counted}");
        let done = run(server.setup(), &["retry", "--name", "a", "--force", "--patch", "{\"n\": 1.10}", "--json"], 0);
        assert_eq!(parsed(&done.out)["changed"], 1, "{}", done.out);
        assert!(done.out.contains("1.10") && done.err.contains("goes on by itself"), "{}\n{}", done.out, done.err);
        let done = run(server.setup(), &["retry", "--status", "failed"], 0).out;
        assert!(done.contains("done: 0 matched"), "{done}");
        assert!(run(server.setup(), &["retry", "--name", "a", "--patch", "{"], 1).err.contains("the patch is not JSON"));
        for wrong in [&["retry"][..], &["retry", "1", "--name", "a"], &["retry", "1", "--patch", "{}"], &["retry", "--force"]] {
            run(server.setup(), wrong, 2);
        }

        let url = server.url("/");
        let token = server.token();
        let elsewhere = Setup::new(&Database::sqlite()).with_env("GRISTMILL_URL", &url).with_env("GRISTMILL_TOKEN", &token);
        run(&elsewhere, &by_name, 0);
        let path = file(&server, "token", "gm_wrong");
        let path = path.to_str().expect("text");
        let wrong = run(&elsewhere, &["send", "{}", "--token-file", path], 1);
        assert!(wrong.err.contains("401"), "the file is the clearer wish: {}", wrong.err);
        let events = file(&server, "a.ndjson", "{}\n");
        let wrong = run(&elsewhere, &["import", events.to_str().expect("text"), "--token-file", path], 1);
        assert!(wrong.err.contains("401"), "{}", wrong.err);
    }
}

#[test]
fn a_command_line_that_names_no_server_says_what_is_missing() {
    let setup = Setup::new(&Database::sqlite());
    let refused = |arguments: &[&str]| run(&setup, arguments, 1).err;
    let nobody = refused(&["send", "{}"]);
    assert!(nobody.contains("--url") && nobody.contains("ports.json"), "{nobody}");
    let tokenless = refused(&["send", "{}", "--url", "http://localhost:1"]);
    assert!(tokenless.contains("--token-file") && tokenless.contains("GRISTMILL_TOKEN"), "{tokenless}");
    let secure = refused(&["send", "{}", "--url", "https://localhost:1", "--token", "x"]);
    assert!(secure.contains("TLS"), "{secure}");
    let away = refused(&["send", "{}", "--url", "http://127.0.0.1:1", "--token", "x"]);
    assert!(away.contains("no answer from http://127.0.0.1:1"), "{away}");
    let missing = refused(&["import", "nothing.csv", "--url", "http://127.0.0.1:1", "--token", "x"]);
    assert!(missing.contains("nothing.csv"), "{missing}");
    run(&setup, &["import", "a.csv", "--batch", "1001"], 2);
}
