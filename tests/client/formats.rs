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

    fn nothing_of_a_damaged_file_vanishes(database) {
        let server = Server::start(&database);
        let table = format!("event_name,event_type,x\n{}e,t,\"1\n{}", "e,t,1\n".repeat(20), "e,t,2\n".repeat(20));
        file(&server, "a.csv", table);
        let said = run(server.setup(), &["import", "a.csv", "--batch", "10"], 1);
        assert!(said.err.contains("line 22: a quote is opened that is never closed"), "{}", said.err);
        assert_eq!(rows(&server, "processed"), 20);
        let zstd = |text: &str| zstd::encode_all(text.as_bytes(), 0).expect("memory takes it");
        let mut stored = 20;
        for (number, (ending, packed)) in
            [("gz", gzip(&lines(12))), ("zst", zstd(&lines(12)))].into_iter().enumerate()
        {
            let second = if ending == "gz" { gzip(&lines(5)) } else { zstd(&lines(5)) };
            for (what, tail, status) in [
                ("second", second.as_slice(), 0),
                ("junk", b"junk".as_slice(), 1),
                ("text", b"{\"event_name\":\"a\",\"event_type\":\"b\"}\n".as_slice(), 1),
                ("padding", &[0; 512], 1),
            ] {
                let name = format!("{what}{number}.ndjson.{ending}");
                file(&server, &name, [packed.as_slice(), tail].concat());
                let said = run(server.setup(), &["import", &name, "--batch", "500"], status);
                stored += if status == 0 { 17 } else { 0 };
                assert!(status == 0 || said.err.contains("cannot be read further"), "{name}: {}", said.err);
                assert_eq!(rows(&server, "processed"), stored, "{name}");
            }
            for cut in [0, 1, packed.len() / 2, packed.len() - 1] {
                let name = format!("cut{cut}.ndjson.{ending}");
                file(&server, &name, &packed[..cut]);
                run(server.setup(), &["import", &name, "--batch", "500"], 1);
            }
        }
        assert_eq!(rows(&server, "processed"), stored);
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
