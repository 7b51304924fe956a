//! A patch on a payload: what it changes, what it leaves, and what it must not make.

use serde_json::{Value, json};

use super::{code, ended, figures, made, misshapen};
use crate::support::database::Kind;
use crate::support::events::{EVENTS, id_of, stored};
use crate::support::http::{Answer, Client};
use crate::support::server::{Server, Setup};

fn retry(client: &Client, id: i64, body: &str) -> Answer {
    client.post_text(&format!("{EVENTS}/{id}/retry"), body)
}

/// An event that is refused for its depth and kept with this payload.
fn too_deep(client: &Client, rest: &str) -> i64 {
    let deep = format!("{}1{}", r#"{"a":"#.repeat(11), "}".repeat(11));
    let text = format!(r#"{{"event_name":"a","event_type":"b","payload":{{"deep":{deep}{rest}}}}}"#);
    let answer = client.post_text(EVENTS, &text);
    assert_eq!(code(&answer), (422, "payload_too_deep".to_owned()), "{answer:?}");
    id_of(&answer)
}

both_databases! {
    fn a_patch_mends_one_event_and_keeps_every_digit_of_the_rest(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        let id = too_deep(&client, r#","price":1.10,"big":9007199254740993,"page":" /a ","gone":1"#);
        let patch = r#"{"patch":{"deep":null,"gone":null,"tiny":1.50e-7,"more":{"n":18446744073709551617,"no":null}}}"#;
        let answer = retry(&client, id, patch);
        assert_eq!((answer.status, &answer.json()["status"]), (200, &json!("success")), "{answer:?}");
        let payload = server.database().texts(&format!("SELECT CAST(COALESCE(payload, properties -> 'original') AS TEXT) FROM events WHERE id = {id}"));
        let on_sqlite = r#"{"price":1.10,"big":9007199254740993,"page":" /a ","tiny":1.50e-7,"more":{"n":18446744073709551617}}"#;
        if database.kind() == Kind::Sqlite {
            assert_eq!(payload, [on_sqlite]);
        }
        for digits in ["1.10", "9007199254740993", "18446744073709551617"] {
            assert!(payload[0].contains(digits), "{digits} in {payload:?}");
        }
        let event = stored(&client, id);
        assert_eq!((&event["properties"]["page"], &event["error_code"]), (&json!("/a"), &Value::Null));
        assert_eq!(event["properties"]["original"], event["payload"]);
        let timeline = client.get(&format!("{EVENTS}/{id}/timeline"));
        let change = &timeline.json()["changes"][0];
        assert_eq!((&change["patched"], &change["payload_before"]["gone"]), (&json!(true), &json!(1)), "{timeline:?}");
        assert!(timeline.body.contains("9007199254740993"), "{timeline:?}");
        assert_eq!(retry(&client, id, "").status, 409, "it is processed");
    }

    fn a_patch_whose_result_is_invalid_changes_nothing(database) {
        let mut server = Server::start(Setup::new(&database).with_config("limits.payload_bytes = \"200B\""));
        let client = server.client();
        let id = too_deep(&client, "");
        let before = stored(&client, id);
        let answer = retry(&client, id, r#"{"patch":{"page":"/a"}}"#);
        assert_eq!(code(&answer), (422, "payload_too_deep".to_owned()), "{answer:?}");
        assert_eq!(answer.json()["errors"][0]["pointer"], format!("/payload/deep{}", "/a".repeat(9)));
        let large = format!(r#"{{"patch":{{"page":"{}"}}}}"#, "x".repeat(150));
        assert_eq!(code(&retry(&client, id, &large)), (413, "payload_too_large".to_owned()));
        assert_eq!(stored(&client, id), before);
        let job = made(&client, "retry", &json!({"filter": {"status": "validation_error"}, "patch": {"page": "/a"}}));
        let expected = json!(["done", 1, 0, 0, {"payload_too_deep": 1}]);
        assert_eq!(figures(&ended(&server, &client, job)), expected);
        assert_eq!(stored(&client, id), before);
        assert_eq!(server.database().texts("SELECT action FROM replays"), Vec::<String>::new());
        assert_eq!(client.get("/api/v1/stats").json()["balance"]["validation_error"], 1);
    }

    fn a_patch_of_what_is_no_object_makes_one_and_an_empty_body_is_no_patch(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        let id = misshapen(&client, "a", None, 7);
        assert_eq!(code(&retry(&client, id, " ")), (400, "invalid_json".to_owned()));
        for body in ["", "{}", r#"{"patch":null}"#] {
            assert_eq!(code(&retry(&client, id, body)), (422, "payload_not_object".to_owned()), "{body:?}");
        }
        assert_eq!(retry(&client, id, r#"{"patch":{}}"#).status, 200);
        assert_eq!(stored(&client, id)["payload"], json!({}));
    }
}
