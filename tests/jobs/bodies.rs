//! Wishes that are refused, each with its reason.

use serde_json::json;

use super::{JOBS, code, made, misshapen};
use crate::support::events::EVENTS;
use crate::support::server::Server;

both_databases! {
    fn wrong_filters_and_patches_are_named(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        let id = misshapen(&client, "a", None, 0);
        let deep = (0..11).fold(json!(null), |inner, _| json!({ "a": inner }));
        let filter = json!({"event_name": "a"});
        for (body, status, code_of, detail) in [
            (json!({}), 422, "missing_field", "filter is missing"),
            (json!({"filter": null}), 422, "missing_field", "filter is missing"),
            (json!({"filter": {}}), 422, "invalid_field", "the filter is empty, expected at least one of status, "),
            (json!({"filter": {"status": null}}), 422, "invalid_field", "the filter is empty"),
            (json!({"filter": []}), 422, "invalid_field", "filter is an array, expected an object"),
            (json!({"filter": {"event": "a"}}), 422, "invalid_field", "the member \"event\" is unknown, expected status, "),
            (json!({"filter": {"event_name": 1}}), 422, "invalid_field", "filter/event_name is a number, expected a string"),
            (json!({"filter": {"user_id": "1"}}), 422, "invalid_field", "filter/user_id is a string, expected a number"),
            (json!({"filter": {"user_id": 1.5}}), 422, "invalid_field", "user_id is \"1.5\", expected a positive integer"),
            (json!({"filter": {"status": "done"}}), 422, "invalid_field", "status is \"done\", expected a status of events"),
            (json!({"filter": {"error_code": "refused"}}), 422, "invalid_field", "no index fits these filters"),
            (json!({"filter": {"received_before": "2026-01-01T00:00:00Z"}}), 422, "invalid_field", "received_before stands alone"),
            (
                json!({"filter": {"status": "duplicate", "received_after": "2999-01-01T00:00:00Z"}}), 422, "invalid_field",
                "filter/status is \"duplicate\", expected failed, "
            ),
            (
                json!({"filter": {"status": "processed", "received_after": "2999-01-01T00:00:00Z"}}), 422, "invalid_field",
                "filter/status is \"processed\", expected failed, "
            ),
            (json!({"filter": filter, "dryrun": true}), 422, "invalid_field", "dryrun is unknown, expected filter, "),
            (json!({"filter": filter, "dry_run": "yes"}), 422, "invalid_field", "dry_run is a string, expected a boolean"),
            (json!({"filter": filter, "force": 1}), 422, "invalid_field", "force is a number, expected a boolean"),
            (json!({"filter": filter, "patch": [1]}), 422, "invalid_field", "patch is an array, expected an object"),
            (
                json!({"filter": filter, "patch": {"a": "\0"}}), 422, "payload_not_encodable",
                "patch as a payload: payload has the character \\u0000"
            ),
            (json!({"filter": filter, "patch": deep}), 422, "payload_too_deep", "patch as a payload: payload is 11 levels deep"),
            (json!([1]), 422, "invalid_field", "the body is an array, expected an object"),
        ] {
            let answer = client.post_json(&format!("{EVENTS}/retry"), &body);
            assert_eq!(code(&answer), (status, code_of.to_owned()), "{body} gets {answer:?}");
            let told = answer.json()["detail"].as_str().expect("a detail").to_owned();
            assert!(told.starts_with(detail), "{body} gets {told:?}");
        }
        for body in [json!({"filter": filter, "patch": {}}), json!({"filter": {"status": "failed"}})] {
            let answer = client.post_json(&format!("{EVENTS}/cancel"), &body);
            assert_eq!(code(&answer), (422, "invalid_field".to_owned()), "{answer:?}");
        }
        let large = json!({"filter": filter, "patch": {"a": "x".repeat(64 * 1_024)}});
        assert_eq!(code(&client.post_json(&format!("{EVENTS}/retry"), &large)), (413, "body_too_large".to_owned()));
        assert_eq!(code(&client.post_text(&format!("{EVENTS}/retry"), "{")), (400, "invalid_json".to_owned()));
        for body in [json!({"patch": 1}), json!({"patches": {}}), json!({"patch": {"a": "\0"}})] {
            assert_eq!(client.post_json(&format!("{EVENTS}/{id}/retry"), &body).status, 422, "{body}");
        }
        assert_eq!(client.get(JOBS).json()["data"], json!([]), "none was made");
        assert_eq!(server.database().texts("SELECT action FROM replays"), Vec::<String>::new());
    }

    fn jobs_that_are_none_are_not_found(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        for id in ["0", "01", "x", "999"] {
            assert_eq!(code(&client.get(&format!("{JOBS}/{id}"))), (404, "not_found".to_owned()), "{id}");
        }
        assert_eq!(client.post_text(&format!("{JOBS}/999/cancel"), "").status, 404);
        let id = made(&client, "cancel", &json!({"filter": {"event_name": "a"}}));
        assert_eq!(client.post_text(&format!("{JOBS}/{id}"), "{}").header("allow"), Some("GET, HEAD"));
        assert_eq!(code(&client.get(&format!("{JOBS}?user_id=1"))), (400, "invalid_request".to_owned()));
        assert_eq!(client.get(&format!("{EVENTS}/retry")).header("allow"), Some("POST"));
    }
}
