//! The CloudEvents project's SDKs for JavaScript and Rust, and the older one for Python, as clients: each builds the event that it
//! is given anew for every post, and sends it with the HTTP client that it brings along or names.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::support::events::finished;
use crate::support::lacks::{self, Lack, skips};
use crate::support::python;
use crate::support::server::Server;

/// Where `./test` puts the SDKs for JavaScript and Rust.
const FOLDER: &str = "target/cloud_events";

const SUBJECTS: [&str; 3] = ["Gr\u{fc}\u{df}e \u{20ac}", "Gr\u{fc}\u{df}e", "50%+5 off"];

struct Sdk {
    /// Starts its client, without arguments.
    program: fn() -> Command,
    modes: &'static [&'static str],
    /// What it can send in a header.
    can_send: fn(char) -> bool,
}

fn in_root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn file(file: &str) -> Option<Lack> {
    let is_there = in_root(FOLDER).join(file).exists();
    (!is_there).then(|| Lack::Tool(format!("{FOLDER}/{file}")))
}

fn is_latin_1(character: char) -> bool {
    u32::from(character) <= 0xff
}

/// What the SDK is given: `time` and `datacontenttype` are left to it.
fn event(first: &str, number: usize) -> Value {
    json!({
        "specversion": "1.0", "type": "com.example.someevent", "source": "/clients", "id": format!("{first}-{number}"),
        "subject": SUBJECTS[number], "comexampleextension1": "gr\u{f6}\u{df}er als 50%",
        "data": {"page": "/home", "name": "J\u{fc}rgen \u{20ac}", "duration": 45.5}
    })
}

/// What became of the event, post by post.
fn outcomes(server: &mut Server, sdk: &Sdk, event: &Value, modes: &[&str]) -> Vec<Value> {
    let mut program = (sdk.program)();
    program.args([server.address().to_string(), event.to_string()]).args(modes).env("TOKEN", server.token());
    let output = program.output().expect("the client starts");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{modes:?} {event}: {complaint}\n{}", server.log_tail());
    let text = String::from_utf8(output.stdout).expect("the client writes UTF-8");
    let answers = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("a line of JSON"));
    // A batch is answered by a list of outcomes.
    answers.map(|answer| answer.pointer("/results/0").unwrap_or(&answer).clone()).collect()
}

/// Every event is taken in each mode, is a duplicate when it is built anew and in the other modes, and is kept as it was given.
fn takes_what_it_posts(server: &mut Server, sdk: &Sdk) {
    let client = server.client();
    for first in sdk.modes {
        for (number, subject) in SUBJECTS.into_iter().enumerate() {
            let fits = |mode: &&str| *mode != "binary" || subject.chars().all(sdk.can_send);
            if !fits(first) {
                continue;
            }
            let others = sdk.modes.iter().copied().filter(fits).filter(|mode| mode != first);
            let modes: Vec<_> = [*first, *first].into_iter().chain(others).collect();
            let mut given = event(first, number);
            let outcomes = outcomes(server, sdk, &given, &modes);
            assert_eq!(outcomes.len(), modes.len(), "{outcomes:?}");
            let id = outcomes[0]["event_id"].as_i64().unwrap_or_else(|| panic!("{modes:?} {given}: {outcomes:?}"));
            for (outcome, index) in outcomes.iter().zip(0..) {
                let is_duplicate = outcome["duplicate"] == true || outcome["status"] == "duplicate";
                assert_eq!(
                    (&outcome["event_id"], is_duplicate),
                    (&json!(id), index > 0),
                    "{modes:?} {given}: {outcomes:?}"
                );
            }
            let mut payload = finished(&client, id)["payload"].clone();
            let mut attributes =
                payload.as_object_mut().and_then(|payload| payload.remove("ce_attributes")).expect("attributes");
            let data = given.as_object_mut().and_then(|given| given.remove("data"));
            attributes
                .as_object_mut()
                .expect("an object")
                .retain(|name, _| !["time", "datacontenttype"].contains(&name.as_str()));
            assert_eq!((Some(payload), attributes), (data, given), "{modes:?}");
        }
    }
}

both_databases! {
    fn the_older_python_sdk_is_taken_in_each_mode_and_known_again(database) {
        if skips(&[python::lacks()]) {
            return;
        }
        let program = || python::script("cloud_events/post_1.py", &[]);
        let sdk = Sdk { program, modes: &["binary", "structured"], can_send: is_latin_1 };
        takes_what_it_posts(&mut Server::start(&database), &sdk);
    }

    fn the_javascript_sdk_is_taken_in_each_mode_and_known_again(database) {
        if skips(&[lacks::program("node"), file("js/installed")]) {
            return;
        }
        let program = || {
            let mut node = Command::new("node");
            node.arg(in_root("tests/cloud_events/js/post.mjs")).env("LIBRARIES", in_root(FOLDER).join("js"));
            node
        };
        let sdk = Sdk { program, modes: &["binary", "structured"], can_send: is_latin_1 };
        takes_what_it_posts(&mut Server::start(&database), &sdk);
    }

    fn the_rust_sdk_is_taken_in_each_mode_and_known_again(database) {
        if skips(&[file("rust/debug/post")]) {
            return;
        }
        let program = || Command::new(in_root(FOLDER).join("rust/debug/post"));
        let sdk = Sdk { program, modes: &["binary", "structured", "batched"], can_send: |_| true };
        takes_what_it_posts(&mut Server::start(&database), &sdk);
    }
}
