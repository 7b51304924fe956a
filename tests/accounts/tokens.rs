//! `/api/v1/tokens`.

use serde_json::{Value, json};

use super::{TOKENS, USERS, assert_only_objects_are_taken, assert_refused, body, walk};
use crate::support::accounts::prefix_of;
use crate::support::events::{EVENTS, accepted, event, keys};
use crate::support::http::Client;
use crate::support::server::Server;
use crate::support::wait::{SOON, wait_for};

/// Creates a user and gives its id.
fn user(admin: &Client, email: &str) -> i64 {
    body(&admin.post_json(USERS, &json!({"email": email})), 201)["id"].as_i64().expect("an id")
}

/// What the answer to this wish for a token says.
fn token(admin: &Client, wish: &Value) -> Value {
    body(&admin.post_json(TOKENS, wish), 201)
}

fn secret_of(made: &Value) -> &str {
    made["token"].as_str().unwrap_or_else(|| panic!("no secret: {made}"))
}

fn path_of(made: &Value) -> String {
    format!("{TOKENS}/{}", made["id"])
}

both_databases! {
    fn a_token_is_made_shown_without_its_secret_and_revoked_twice(database) {
        let mut server = Server::start(&database);
        let admin = server.client();
        let ana = user(&admin, "ana@example.org");
        let wish = json!({"user_id": ana, "scopes": ["read", "write"], "name": "shop", "expires_in": "90d", "x": [1e0]});
        let answer = admin.post_json(TOKENS, &wish);
        let made = body(&answer, 201);
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(answer.header("location"), Some(path_of(&made).as_str()));
        let secret = secret_of(&made).to_owned();
        let members = ["created_at", "expires_at", "id", "last_used_at", "name", "prefix", "revoked_at", "scopes", "state"];
        let shown = body(&admin.get(&path_of(&made)), 200);
        assert_eq!(keys(&shown), [&members[..], &["user_id"]].concat(), "no secret");
        for (member, value) in shown.as_object().expect("an object") {
            assert_eq!(&made[member], value, "{member}");
        }
        assert_eq!((&shown["scopes"], &shown["state"]), (&json!(["write", "read"]), &json!("valid")));
        assert_eq!((&shown["name"], &shown["user_id"]), (&json!("shop"), &json!(ana)));
        assert_eq!(shown["prefix"], prefix_of(&secret));
        let stored = database.texts("SELECT COALESCE(name, '') || prefix || scopes FROM api_tokens");
        assert!(stored.iter().all(|row| !row.contains(&secret)), "{stored:?}");

        let client = server.client_with(&secret);
        accepted(&client, &event("a"));
        for _ in 0..2 {
            let revoked = admin.call("DELETE", &path_of(&made), &[], None);
            assert_eq!((revoked.status, revoked.body.as_str()), (204, ""), "{revoked:?}");
            assert_eq!(client.get(EVENTS).status, 401, "at once on the node that was told");
        }
        let shown = body(&admin.get(&path_of(&made)), 200);
        assert_eq!(shown["state"], "revoked");
        assert!(shown["revoked_at"].is_string(), "{shown}");
        assert!(!server.log().contains(&secret), "no secret in the log");
    }

    fn a_rotated_token_overlaps_as_long_as_asked_and_an_ended_one_does_not_rotate(database) {
        let mut server = Server::start(&database);
        let admin = server.client();
        let first = token(&admin, &json!({"scopes": ["read"], "name": "job"}));
        let answer = admin.call("POST", &format!("{}/rotate", path_of(&first)), &[], None);
        let second = body(&answer, 201);
        assert_eq!((&second["replaces"], &second["name"]), (&first["id"], &json!("job")));
        assert_ne!(secret_of(&first), secret_of(&second));
        for made in [&first, &second] {
            assert_eq!(server.client_with(secret_of(made)).get(EVENTS).status, 200, "they overlap for an hour");
        }
        let ends = body(&admin.get(&path_of(&first)), 200)["expires_at"].clone();
        assert!(ends.is_string() && body(&admin.get(&path_of(&second)), 200)["expires_at"].is_null(), "{ends}");

        let rotate = format!("{}/rotate", path_of(&second));
        let third = body(&admin.post_json(&rotate, &json!({"overlap": "0s"})), 201);
        assert_eq!(server.client_with(secret_of(&second)).get(EVENTS).status, 401, "it ended at once");
        assert_eq!(server.client_with(secret_of(&third)).get(EVENTS).status, 200);
        assert_refused("an ended token", &admin.post_json(&rotate, &json!({})), 409, "token_ended", &[]);

        let rotate = format!("{}/rotate", path_of(&third));
        for text in [r#"{"overlap":"soon"}"#, r#"{"overlap":3600}"#, r#"{"overlap":"-1s"}"#] {
            assert_refused(text, &admin.post_text(&rotate, text), 422, "invalid_field", &["/overlap"]);
        }
        assert_refused("no JSON", &admin.post_text(&rotate, "{"), 400, "invalid_json", &[]);
        let endless = format!(r#"{{"overlap":"{}ms"}}"#, u64::MAX);
        let fourth = body(&admin.post_text(&rotate, &endless), 201);
        assert_eq!(server.client_with(secret_of(&third)).get(EVENTS).status, 200);
        assert_eq!(server.client_with(secret_of(&fourth)).get(EVENTS).status, 200);
    }

    fn a_token_ends_when_its_wish_says(database) {
        let mut server = Server::start(&database);
        let admin = server.client();
        let short = token(&admin, &json!({"scopes": ["read"], "expires_in": "1500ms"}));
        let client = server.client_with(secret_of(&short));
        assert_eq!(client.get(EVENTS).status, 200);
        let ended = || Some(client.get(EVENTS)).filter(|answer| answer.status == 401);
        let answer = wait_for("the end", SOON, ended, || server.log());
        assert!(answer.json()["detail"].as_str().is_some_and(|text| text.contains("expired")), "{answer:?}");
        assert_eq!(body(&admin.get(&path_of(&short)), 200)["state"], "expired");
        let late = token(&admin, &json!({"scopes": ["read"], "expires_at": "2099-01-01T01:00:00+01:00"}));
        assert_eq!(late["expires_at"], "2099-01-01T00:00:00.000000Z");
    }

    fn wrong_wishes_for_tokens_are_refused_field_by_field(database) {
        let mut server = Server::start(&database);
        let admin = server.client();
        assert_only_objects_are_taken(|text| admin.post_text(TOKENS, text));
        let long = format!(r#"{{"scopes":["read"],"name":"{}"}}"#, "é".repeat(256));
        let cases: [(&str, &str, &[&str]); 16] = [
            ("{}", "missing_field", &["/scopes"]),
            (r#"{"scopes":null}"#, "missing_field", &["/scopes"]),
            (r#"{"scopes":[]}"#, "invalid_field", &["/scopes"]),
            (r#"{"scopes":"read"}"#, "invalid_field", &["/scopes"]),
            (r#"{"scopes":["read",1,"reed","read write"]}"#, "invalid_field", &["/scopes/1"]),
            (r#"{"scopes":["read","reed","read write"]}"#, "invalid_field", &["/scopes/1", "/scopes/2"]),
            (r#"{"scopes":["read"],"user_id":"1"}"#, "invalid_field", &["/user_id"]),
            (r#"{"scopes":["read"],"user_id":99999}"#, "user_unknown", &["/user_id"]),
            (r#"{"scopes":["read"],"name":"a\nb"}"#, "invalid_field", &["/name"]),
            (r#"{"scopes":["read"],"name":"a\u0000"}"#, "invalid_field", &["/name"]),
            (&long, "field_too_long", &["/name"]),
            (r#"{"scopes":["read"],"expires_in":"0s"}"#, "invalid_field", &["/expires_in"]),
            (r#"{"scopes":["read"],"expires_in":"9999999d"}"#, "invalid_field", &["/expires_in"]),
            (r#"{"scopes":["read"],"expires_at":"2020-01-01T00:00:00Z"}"#, "invalid_field", &["/expires_at"]),
            (r#"{"scopes":["read"],"expires_in":"1d","expires_at":"x"}"#, "invalid_field", &["/expires_in"]),
            (r#"{"user_id":1.5,"name":7,"expires_in":3}"#, "invalid_field",
                &["/user_id", "/name", "/scopes", "/expires_in"]),
        ];
        for (text, code, pointers) in cases {
            assert_refused(text, &admin.post_text(TOKENS, text), 422, code, pointers);
        }
        for id in ["0", "x", "99999"] {
            let path = format!("{TOKENS}/{id}");
            assert_refused(id, &admin.get(&path), 404, "not_found", &[]);
            assert_refused(id, &admin.call("DELETE", &path, &[], None), 404, "not_found", &[]);
            assert_refused(id, &admin.post_json(&format!("{path}/rotate"), &json!({})), 404, "not_found", &[]);
        }
        assert_eq!(walk(&admin, &format!("{TOKENS}?"), 500).len(), 1, "nothing was made");
    }

    fn the_list_of_tokens_has_pages_and_can_be_one_users(database) {
        let mut server = Server::start(&database);
        let admin = server.client();
        let ana = user(&admin, "ana@example.org");
        for number in 0..3 {
            token(&admin, &json!({"scopes": ["read"], "name": format!("own {number}")}));
            token(&admin, &json!({"scopes": ["read"], "user_id": ana}));
        }
        let all = walk(&admin, &format!("{TOKENS}?"), 500);
        assert_eq!(all.len(), 7);
        assert!(all.iter().all(|token| token.get("token").is_none()), "{all:?}");
        // When a token was used last is written some time after its use, maybe between two looks.
        let without_use = |mut tokens: Vec<Value>| {
            tokens.iter_mut().for_each(|token| token["last_used_at"] = Value::Null);
            tokens
        };
        let all = without_use(all);
        for limit in [1, 2, 6, 7] {
            assert_eq!(without_use(walk(&admin, &format!("{TOKENS}?"), limit)), all, "limit {limit}");
        }
        let of_ana: Vec<_> = all.iter().filter(|token| token["user_id"] == ana).cloned().collect();
        assert_eq!(of_ana.len(), 3);
        assert_eq!(walk(&admin, &format!("{TOKENS}?user_id={ana}&"), 2), of_ana);
        let page = body(&admin.get(&format!("{TOKENS}?limit=1")), 200);
        let cursor = page["next_cursor"].as_str().expect("more");
        for path in [format!("{TOKENS}?user_id={ana}&cursor={cursor}"), format!("{USERS}?cursor={cursor}")] {
            assert_refused(&path, &admin.get(&path), 400, "invalid_cursor", &[]);
        }
    }

    fn only_the_scope_admin_manages_users_and_tokens(database) {
        let server = Server::start(&database);
        let setup = server.setup();
        setup.create_user("ana@example.org");
        let others = server.client_with(&setup.create_token("ana@example.org", "write,read,read:all,write:all,operate"));
        let one = format!("{TOKENS}/1");
        let wish = json!({"scopes": ["read"]});
        for (method, path) in [
            ("GET", TOKENS), ("POST", TOKENS), ("GET", &one), ("DELETE", &one), ("POST", &format!("{one}/rotate")),
            ("GET", USERS), ("POST", USERS), ("GET", "/api/v1/users/1"), ("PATCH", "/api/v1/users/1"),
        ] {
            let wish = wish.to_string();
            let sent = (method == "POST" || method == "PATCH").then_some(wish.as_bytes());
            let headers = [("Content-Type", "application/json")];
            let answer = others.call(method, path, &headers, sent);
            assert_refused(path, &answer, 403, "forbidden", &[]);
            let nobody = Client::new(server.address(), None).call(method, path, &headers, sent);
            assert_refused(path, &nobody, 401, "unauthorized", &[]);
        }
    }

    // Else `admin` would be every scope in disguise.
    fn an_admin_gives_no_scope_that_its_own_token_lacks(database) {
        let server = Server::start(&database);
        let setup = server.setup();
        setup.create_user("ana@example.org");
        let bob = setup.create_user_with_token("bob@example.org", "read");
        let admin = server.client_with(&setup.create_token("ana@example.org", "admin,read"));
        let tokens = walk(&admin, &format!("{TOKENS}?"), 500);
        let of = |prefix: &str| tokens.iter().find(|token| token["prefix"] == prefix).expect("a token").clone();
        let of_bob = of(prefix_of(&bob));
        for scopes in ["read", "admin"] {
            token(&admin, &json!({"scopes": [scopes]}));
        }
        token(&admin, &json!({"scopes": ["admin"], "user_id": of_bob["user_id"]}));
        for wish in [
            json!({"scopes": ["write"]}),
            json!({"scopes": ["read", "read:all"]}),
            json!({"scopes": ["operate"]}),
            json!({"scopes": ["read"], "user_id": of_bob["user_id"]}),
        ] {
            let answer = admin.post_json(TOKENS, &wish);
            assert_refused(&wish.to_string(), &answer, 403, "forbidden", &[]);
        }
        let rotate = |token: &Value| admin.post_json(&format!("{}/rotate", path_of(token)), &json!({}));
        assert_refused("bob's token", &rotate(&of_bob), 403, "forbidden", &[]);
        assert_refused("the first token", &rotate(&tokens[0]), 403, "forbidden", &[]);
        let revoked = admin.call("DELETE", &path_of(&of_bob), &[], None);
        assert_eq!(revoked.status, 204, "taking away gives nobody more: {revoked:?}");
    }
}
