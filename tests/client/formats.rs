//! Every format and packing, and what becomes of events that are refused.

use std::io::Write;

use serde_json::{Value, json};

use super::{file, lines, rows, run};
use crate::support::server::Server;

fn gzip(text: &str) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packer.write_all(text.as_bytes()).expect("memory takes it");
    packer.finish().expect("memory takes it")
}

both_databases! {
    fn every_format_and_packing_is_imported_and_a_second_run_stores_nothing(database) {
        let server = Server::start(&database);
        let array: Vec<Value> = lines(30).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        let table = "event_name,event_type,event_uid,user_id,page\nclick,e,u1,,/a\nclick,e,,1,\"/b,\"\n";
        let mut stored = 0;
        for (name, content, events) in [
            ("a.json", serde_json::to_vec_pretty(&array).expect("JSON"), 30),
            ("b.ndjson", lines(25).into_bytes(), 25),
            ("c.jsonl.gz", gzip(&lines(41)), 41),
            ("d.ndjson.zst", zstd::encode_all(lines(12).as_bytes(), 0).expect("memory takes it"), 12),
            ("e.csv", table.into(), 2),
        ] {
            file(&server, name, content);
            stored += events;
            let first = run(server.setup(), &["import", name, "--batch", "10"], 0);
            assert!(first.out.contains(&format!("{events} stored (0 were there before), 0 rejected")), "{}", first.out);
            assert_eq!(rows(&server, "processed"), stored, "{name}");
            let again = run(server.setup(), &["import", name, "--batch", "10"], 0);
            assert!(again.out.contains(&format!("({events} were there before)")), "{}", again.out);
            assert_eq!(rows(&server, "processed"), stored, "{name} again");
            let left: Vec<_> = std::fs::read_dir(server.data()).expect("ours").flatten().map(|f| f.file_name()).collect();
            let is_ours = |name: &&std::ffi::OsString| {
                let name = name.to_string_lossy();
                name.contains("gristmill-import") || name.contains("rejects")
            };
            assert_eq!(left.iter().find(is_ours), None, "nothing is left behind");
        }
        let uids = "SELECT event_uid FROM events WHERE event_uid IS NOT NULL AND event_name = 'click'";
        assert_eq!(server.database().texts(uids), ["u1"]);
    }

    fn refused_events_are_kept_with_their_line_and_reason(database) {
        let server = Server::start(&database);
        let good = lines(1);
        file(&server, "a.ndjson", format!("{good}{{\"event_name\":\n\n{{\"event_name\": \"a\"}}\n{good}7\n"));
        let said = run(server.setup(), &["import", "a.ndjson", "--batch", "2", "--rejects", "no.ndjson"], 3);
        assert!(said.out.contains("2 stored") && said.out.contains("3 rejected"), "{}", said.out);
        let text = std::fs::read_to_string(server.data().join("no.ndjson")).expect("it was written");
        let rejects: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        let found: Vec<_> = rejects.iter().map(|r| (r["line"].clone(), r["event"].clone(), r["code"].clone())).collect();
        let expected = [
            (2, json!("{\"event_name\":"), "invalid_json"),
            (4, json!({"event_name": "a"}), "missing_field"),
            (6, json!(7), "event_not_object"),
        ];
        assert_eq!(found, expected.map(|(line, event, code)| (json!(line), event, json!(code))));
        assert!(rejects.iter().all(|reject| reject["error"].as_str().is_some_and(|error| !error.is_empty())), "{text}");
        assert_eq!(rows(&server, "processed"), 2);
    }

    fn a_file_that_breaks_off_ends_with_its_line_and_its_whole_batches_are_stored(database) {
        let server = Server::start(&database);
        let array = lines(25).trim_end().replace('\n', ",\n");
        file(&server, "a.json", format!("[{array}"));
        let said = run(server.setup(), &["import", "a.json", "--batch", "10"], 1);
        assert!(said.err.contains("the file ends in line 25"), "{}", said.err);
        assert!(server.data().join("a.json.gristmill-import").exists(), "the state is kept");
        file(&server, "a.json", format!("[{array}]"));
        let other = run(server.setup(), &["import", "a.json", "--batch", "10"], 1);
        assert!(other.err.contains("belongs to another file"), "{}", other.err);
    }
}
