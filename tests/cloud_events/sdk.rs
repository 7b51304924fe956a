//! The SDK of the CloudEvents project posts in each mode; `post.py` is the client.

use serde_json::{Value, json};

use super::assert_kept;
use crate::support::events::finished;
use crate::support::lacks::skips;
use crate::support::python;
use crate::support::server::Server;

/// Kinds of data that `post.py` sends in each mode.
const KINDS: usize = 7;

/// What the SDK sent and was answered, post by post.
fn posts(server: &mut Server) -> Vec<Value> {
    let token = server.token();
    let mut script = python::script("cloud_events/post.py", &[&server.address().to_string()]);
    let output = script.env("TOKEN", token).output().expect("Python starts");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaint}\n{}", server.log_tail());
    let text = String::from_utf8(output.stdout).expect("the script writes UTF-8");
    text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

both_databases! {
    fn the_sdk_posts_in_each_mode_and_finds_every_attribute_again(database) {
        if skips(&[python::lacks()]) {
            return;
        }
        let mut server = Server::start(&database);
        let posts = posts(&mut server);
        assert_eq!(posts.len(), 3 * 3 * KINDS + 3 + 1, "{posts:?}");
        let client = server.client();
        let (single, batched) = posts.split_at(3 * 3 * KINDS);
        for three in single.chunks(3) {
            let told = |post: &Value| (post["status"].clone(), post["answer"]["status"].clone());
            assert_eq!(told(&three[0]), (json!(200), json!("valid")), "{three:?}");
            assert_eq!(told(&three[1]), (json!(202), json!("enqueued")), "{three:?}");
            assert_eq!((&three[2]["status"], &three[2]["answer"]["duplicate"]), (&json!(200), &json!(true)), "{three:?}");
            assert_eq!(three[1]["answer"]["event_id"], three[2]["answer"]["event_id"]);
            let id = three[1]["answer"]["event_id"].as_i64().expect("an id");
            assert_kept(&finished(&client, id), &three[1]["sent"][0]);
        }
        let figures = |post: &Value, key: &str| (post["status"].clone(), post["answer"][key].clone());
        assert_eq!(figures(&batched[0], "valid"), (json!(200), json!(KINDS)), "{batched:?}");
        assert_eq!(figures(&batched[1], "processed"), (json!(200), json!(KINDS)), "{batched:?}");
        assert_eq!(figures(&batched[2], "duplicates"), (json!(200), json!(KINDS)), "{batched:?}");
        assert_eq!(figures(&batched[3], "total_events"), (json!(200), json!(0)), "a batch may be empty: {batched:?}");
        for (result, sent) in batched[1]["answer"]["results"].as_array().expect("results").iter().zip(0..) {
            let id = result["event_id"].as_i64().expect("an id");
            assert_kept(&finished(&client, id), &batched[1]["sent"][sent]);
        }
        let rows = server.database().texts("SELECT CAST(id AS TEXT) FROM events");
        assert_eq!(rows.len(), 4 * KINDS, "each once");
    }
}
