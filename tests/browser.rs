//! The dashboard in a real browser: it shows what happens, its buttons act, nothing from outside becomes markup, and
//! everybody can read it.

use serde_json::json;

use crate::support::browser::{lacks, play, screenshot};
use crate::support::database::Database;
#[cfg(feature = "fault-injection")]
use crate::support::events::stored;
use crate::support::events::{EVENTS, accepted, event, finished};
use crate::support::http::Client;
use crate::support::lacks::skips;
use crate::support::server::{Server, Setup};
use crate::support::wait::{SOON, wait_for};

/// The first attempt of these fails: one is given up at once, one waits for an hour.
#[cfg(feature = "fault-injection")]
const UNLUCKY: &str = "retry = { max_retries = 0 }\n\
    [[faults]]\nstage = \"normalizer\"\nevent_name = \"unlucky\"\naction = \"error\"\ntimes = 1\n";
#[cfg(feature = "fault-injection")]
const PATIENT: &str = "retry = { delay = \"1h\", jitter = 0.0 }\n\
    [[faults]]\nstage = \"normalizer\"\nevent_name = \"patient\"\naction = \"error\"\ntimes = 1\n";

/// Runs a script against a server, with the first token and more variables.
fn act(server: &mut Server, script: &str, more: &[(&str, &str)]) {
    let dashboard = format!("http://{}", server.dashboard_address());
    let api = server.url("");
    let token = server.token();
    let own = [("DASHBOARD", dashboard.as_str()), ("API", api.as_str()), ("TOKEN", token.as_str())];
    play(script, &[&own[..], more].concat());
}

#[test]
fn one_logs_in_and_out() {
    if skips(&[lacks()]) {
        return;
    }
    let mut server = Server::start(&Database::sqlite());
    act(&mut server, "login.mjs", &[]);
}

#[test]
fn events_appear_as_they_are_posted_and_are_found_by_filters() {
    if skips(&[lacks()]) {
        return;
    }
    let mut server = Server::start(&Database::sqlite());
    act(&mut server, "events.mjs", &[]);
}

#[test]
fn a_pool_grows_and_shrinks_and_is_restarted() {
    if skips(&[lacks()]) {
        return;
    }
    let mut server = Server::start(&Database::sqlite());
    act(&mut server, "pipeline.mjs", &[]);
    let view = server.dashboard().get("/api/pipeline").json();
    assert_eq!(view["pools"][0]["actors"].as_array().map(Vec::len), Some(2), "{view}");
}

#[cfg(feature = "fault-injection")]
#[test]
fn a_failed_event_is_retried_and_a_waiting_one_is_called_off() {
    if skips(&[lacks()]) {
        return;
    }
    let mut server = Server::start(Setup::new(&Database::sqlite()).with_config(UNLUCKY));
    let client = server.client();
    let id = accepted(&client, &event("unlucky"));
    assert_eq!(finished(&client, id)["status"], "failed");
    act(&mut server, "retry.mjs", &[("EVENT", &id.to_string())]);
    assert_eq!(finished(&client, id)["status"], "processed");

    let mut server = Server::start(Setup::new(&Database::sqlite()).with_config(PATIENT));
    let client = server.client();
    let id = accepted(&client, &event("patient"));
    assert_eq!(stored(&client, id)["status"], "pending");
    act(&mut server, "cancel.mjs", &[("EVENT", &id.to_string())]);
    assert_eq!(stored(&client, id)["status"], "cancelled");
}

#[test]
fn a_payload_is_mended_and_every_other_digit_stays() {
    if skips(&[lacks()]) {
        return;
    }
    let mut server = Server::start(&Database::sqlite());
    let client = server.client();
    let deep = "[".repeat(12) + &"]".repeat(12);
    let body = format!(
        r#"{{"event_name":"a","event_type":"b","payload":{{"deep":{deep},"big":9007199254740993,"page":"/"}}}}"#
    );
    let answer = client.post_text(EVENTS, &body).json();
    let id = answer["event_id"].as_i64().expect("it is kept");
    act(&mut server, "mend.mjs", &[("EVENT", &id.to_string())]);
    let text = client.get(&format!("{EVENTS}/{id}")).body;
    assert!(text.contains("9007199254740993") && text.contains("\"/mended\"") && !text.contains("\"deep\""), "{text}");
    assert_eq!(finished(&client, id)["status"], "processed");
}

#[test]
fn nothing_from_outside_becomes_markup() {
    if skips(&[lacks()]) {
        return;
    }
    let mut server = Server::start(&Database::sqlite());
    let client = server.client();
    let nasty = "\"><img src=x onerror=window.pwned=1><script>window.pwned=1</script>";
    let body = json!({"event_name": nasty, "event_type": nasty, "event_uid": nasty, "payload": {"page": nasty, nasty: [nasty]}});
    let good = finished(&client, accepted(&client, &body))["id"].to_string();
    let bad = client.post_json(EVENTS, &json!({"event_name": nasty, "payload": {nasty: nasty}})).json()["event_id"]
        .to_string();
    let token = json!({"scopes": ["read"], "name": nasty});
    assert_eq!(client.post_json("/api/v1/tokens", &token).status, 201);
    // The log says by whom something was done, as that one is called.
    let email = "\"><img/src=x/onerror=window.pwned=1>@example.org";
    let user = client.post_json("/api/v1/users", &json!({"email": email})).json()["id"].clone();
    let hers = client.post_json("/api/v1/tokens", &json!({"scopes": ["operate"], "user_id": user})).json();
    let hers = Client::new(server.dashboard_address(), hers["token"].as_str());
    assert_eq!(hers.call("POST", "/api/pipeline/pools/claimer/restart", &[], None).status, 200);
    act(&mut server, "hostile.mjs", &[("GOOD", &good), ("BAD", &bad), ("NASTY", nasty), ("EMAIL", email)]);
}

#[test]
fn the_dashboards_of_two_nodes_show_the_same_events_and_each_others_line() {
    if skips(&[lacks()]) {
        return;
    }
    let database = Database::postgres();
    let mut one = Server::start(Setup::new(&database).with_config("node.name = \"node-1\""));
    let setup = Setup::new(&database).with_config("node.name = \"node-2\"");
    let mut other = Server::start(setup);
    let dashboard = format!("http://{}", other.dashboard_address());
    let api = other.url("");
    act(&mut one, "nodes.mjs", &[("OTHER_DASHBOARD", &dashboard), ("OTHER_API", &api)]);
    other.terminate();
    assert!(other.wait_exit(SOON).success());
    database.execute("UPDATE snapshots SET told_at = told_at - interval '1 minute'");
    act(&mut one, "gone.mjs", &[]);
}

#[test]
fn the_log_shows_who_paused_and_is_found_by_filters() {
    if skips(&[lacks()]) {
        return;
    }
    let mut server = Server::start(&Database::sqlite());
    let operator = server.setup().create_user_with_token("ana@example.org", "operate");
    let client = Client::new(server.dashboard_address(), Some(&operator));
    for what in ["pause", "resume"].iter().cycle().take(60) {
        assert_eq!(client.call("POST", &format!("/api/pipeline/pools/claimer/{what}"), &[], None).status, 200);
    }
    act(&mut server, "audit.mjs", &[]);
}

#[test]
fn a_user_is_made_and_disabled_and_then_its_token_no_longer_works() {
    if skips(&[lacks()]) {
        return;
    }
    let mut server = Server::start(&Database::sqlite());
    act(&mut server, "users.mjs", &[]);
    let audit = server.client().get("/api/v1/audit?action=user_disabled").json();
    assert_eq!((&audit["data"][0]["object"], &audit["data"][0]["by_user"]), (&json!("users/2"), &json!(1)), "{audit}");
}

#[test]
fn charts_are_still_there_after_a_restart() {
    if skips(&[lacks()]) {
        return;
    }
    let mut server = Server::start(&Database::sqlite());
    let client = server.client();
    for number in 0..20 {
        accepted(&client, &event(&format!("event-{number}")));
    }
    act(&mut server, "charts.mjs", &[("PROCESSED", "20")]);
    server.restart();
    act(&mut server, "charts.mjs", &[("PROCESSED", "20")]);
}

#[test]
fn a_token_is_made_shown_once_and_revoked() {
    if skips(&[lacks()]) {
        return;
    }
    let mut server = Server::start(&Database::sqlite());
    act(&mut server, "tokens.mjs", &[]);
}

#[test]
fn a_token_that_only_reads_is_shown_no_buttons_that_act() {
    if skips(&[lacks()]) {
        return;
    }
    let mut server = Server::start(&Database::sqlite());
    let reader = server.setup().create_user_with_token("ana@example.org", "read,write");
    let id = accepted(&server.client_with(&reader), &event("hers"));
    act(&mut server, "reader.mjs", &[("READER", &reader), ("EVENT", &id.to_string())]);
}

#[test]
fn every_page_is_light_readable_for_all_and_fits_a_phone() {
    if skips(&[lacks()]) {
        return;
    }
    let mut server = Server::start(&Database::sqlite());
    let client = server.client();
    for number in 0..12 {
        finished(&client, accepted(&client, &event(["page_view", "signup", "purchase"][number % 3])));
        client
            .post_json(EVENTS, &json!({"event_name": "page_view", "payload": {"page": "/pricing", "number": number}}));
    }
    client.post_json(EVENTS, &json!({"event_name": "checkout", "event_type": "sales", "payload": [1, 2]}));
    let job = json!({"filter": {"status": "validation_error", "event_name": "page_view"}});
    assert_eq!(client.post_json("/api/v1/events/retry", &job).status, 202);
    let boot = server.dashboard().get("/api/pipeline").json()["node"]["boot_id"].as_str().expect("a boot").to_owned();
    let told = || (server.database().texts("SELECT line FROM snapshots").len() == 1).then_some(());
    wait_for("what the line looks like to be told", SOON, told, || server.log());
    server.restart();
    let id = accepted(&server.client(), &event("page_view")).to_string();
    act(&mut server, "looks.mjs", &[("BOOT", &boot), ("EVENT", &id)]);
    assert!(screenshot("overview-light.png").exists());
}
