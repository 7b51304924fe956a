//! What operators want of the line lasts: pauses, sizes and restarts are stored, and every start keeps to them.

mod pauses;
mod sizes;

use gristmill::domain::actor_kind::ActorKind;
use serde_json::{Value, json};

use crate::support::database::Database;
use crate::support::http::{Answer, Client};
use crate::support::server::Server;
use crate::support::wait::{SOON, wait_for};

/// Every pool that can be paused, and its place beside the whole line.
fn paths() -> impl Iterator<Item = String> {
    let pools = ActorKind::controlled().map(|kind| format!("/pools/{}", kind.pool_name()));
    std::iter::once(String::new()).chain(pools)
}

/// POST to the operations port, below `/api/pipeline`; panics unless it is done.
pub fn control(server: &mut Server, path: &str) -> Value {
    done(&asked(&server.dashboard(), path))
}

/// POST without a body.
pub fn asked(client: &Client, path: &str) -> Answer {
    client.call("POST", &format!("/api/pipeline{path}"), &[], None)
}

fn done(answer: &Answer) -> Value {
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

fn resized(server: &mut Server, pool: &str, size: &Value) -> Value {
    done(&server.dashboard().post_json(&format!("/api/pipeline/pools/{pool}"), &json!({"size": size})))
}

/// `GET /api/pipeline`.
pub fn line(server: &mut Server) -> Value {
    server.dashboard().get("/api/pipeline").json()
}

/// One pool of it.
pub fn pool(view: &Value, name: &str) -> Value {
    let pools = view["pools"].as_array().unwrap_or_else(|| panic!("no pools: {view}"));
    pools.iter().find(|pool| pool["name"] == name).unwrap_or_else(|| panic!("no {name}: {view}")).clone()
}

/// What `/health/ready` says is wrong; nothing if it is 200.
fn reasons(server: &mut Server) -> Vec<String> {
    let answer = server.client().get("/health/ready");
    assert_eq!(answer.status == 200, answer.json().get("reasons").is_none(), "{answer:?}");
    let reasons = answer.json()["reasons"].as_array().cloned().unwrap_or_default();
    reasons.iter().map(|reason| reason.as_str().expect("a text").to_owned()).collect()
}

#[test]
fn only_the_scope_operate_controls_and_only_what_is_there() {
    let mut server = Server::start(&Database::sqlite());
    let nobody = Client::new(server.dashboard_address(), None);
    let reader = server.setup().create_user_with_token("reader@example.org", "read:all,write:all,admin");
    let reader = Client::new(server.dashboard_address(), Some(&reader));
    let operator = server.setup().create_user_with_token("operator@example.org", "operate");
    let operator = Client::new(server.dashboard_address(), Some(&operator));
    for path in paths() {
        for what in ["pause", "resume"] {
            let path = format!("{path}/{what}");
            assert_eq!(asked(&nobody, &path).status, 401, "{path}, also from this machine");
            assert_eq!(asked(&reader, &path).status, 403, "{path}");
        }
    }
    assert_eq!(asked(&nobody, "/pools/validators/restart").status, 401);
    assert_eq!(asked(&reader, "/pools/validators/restart").status, 403);
    assert_eq!(line(&mut server)["control_generation"], 0, "nothing was changed");
    for path in ["/pools/retry/pause", "/pools/nonsense/resume", "/pools/pipeline/pause", "/pools/drainer/restart"] {
        let answer = asked(&operator, path);
        assert_eq!((answer.status, &answer.json()["code"]), (404, &json!("not_found")), "{path}: {answer:?}");
    }
    assert_eq!(asked(&operator, "/restart").status, 404, "the line has no restart");
    assert_eq!(operator.get("/api/pipeline/pause").status, 405);
    assert_eq!(asked(&operator, "/pools/claimer/pause").status, 200);
    assert_eq!(line(&mut server)["control_generation"], 1);
}

#[test]
fn a_wrong_body_changes_nothing() {
    let mut server = Server::start(&Database::sqlite());
    let operations = server.dashboard();
    let refused = |path: &str, body: &str, status: u16, code: &str| {
        let answer = operations.post_text(&format!("/api/pipeline{path}"), body);
        assert_eq!((answer.status, &answer.json()["code"]), (status, &json!(code)), "{path} {body}: {answer:?}");
    };
    for (body, status, code) in [
        ("", 400, "invalid_json"),
        ("size=2", 400, "invalid_json"),
        ("{", 400, "invalid_json"),
        ("{}", 400, "invalid_request"),
        ("4", 400, "invalid_request"),
        (r#"{"size":0}"#, 400, "invalid_request"),
        (r#"{"size":65}"#, 400, "invalid_request"),
        (r#"{"size":"4"}"#, 400, "invalid_request"),
        (r#"{"size":2.5}"#, 400, "invalid_request"),
        (r#"{"size":99999999999999999999}"#, 400, "invalid_request"),
        (r#"{"size":3,"for":"1h"}"#, 400, "invalid_request"),
    ] {
        refused("/pools/validators", body, status, code);
    }
    for path in ["/pause", "/resume", "/pools/persisters/pause", "/pools/persisters/restart"] {
        refused(path, "[]", 422, "invalid_field");
        refused(path, "{", 400, "invalid_json");
        refused(path, r#"{"for":"1h"}"#, 422, "invalid_field");
    }
    refused("/pools/claimer", r#"{"size":2}"#, 404, "not_found");
    assert_eq!(line(&mut server)["control_generation"], 0);
    assert_eq!(reasons(&mut server), [""; 0]);
    assert_eq!(
        operations.post_text("/api/pipeline/pools/persisters/pause", "{}").status,
        200,
        "no member is none too many"
    );
}

both_databases! {
    fn what_is_wanted_already_is_no_change_and_each_change_is_one_row_of_the_audit_log(database) {
        let mut server = Server::start(&database);
        for _ in 0..2 {
            assert_eq!(control(&mut server, "/pools/claimer/pause")["control_generation"], 1);
        }
        assert_eq!(control(&mut server, "/pools/claimer/resume")["control_generation"], 2);
        for generation in [3, 4] {
            assert_eq!(control(&mut server, "/pools/claimer/restart")["control_generation"], generation);
        }
        for (size, generation) in [(json!(3), 5), (json!(3), 5), (Value::Null, 6), (Value::Null, 6)] {
            assert_eq!(resized(&mut server, "validators", &size)["control_generation"], generation);
        }
        assert_eq!(control(&mut server, "/pause")["state"]["value"], "paused");
        assert_eq!(control(&mut server, "/resume")["state"]["value"], "running");
        let rows = database.texts("SELECT action || ' ' || object FROM audit WHERE object LIKE '%p%ls/%' OR object = 'pipeline' ORDER BY id");
        assert_eq!(rows, [
            "pipeline_paused pools/claimer", "pipeline_resumed pools/claimer", "pool_restarted pools/claimer",
            "pool_restarted pools/claimer", "pool_resized pools/validators", "pool_resized pools/validators",
            "pipeline_paused pipeline", "pipeline_resumed pipeline",
        ]);
        let acknowledged = || {
            let view = line(&mut server);
            (view["nodes"][0]["control_generation"] == 8 && view["control_generation"] == 8).then_some(())
        };
        wait_for("the node to acknowledge", SOON, acknowledged, String::new);
    }
}
