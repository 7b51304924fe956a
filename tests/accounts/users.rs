//! `/api/v1/users`.

use serde_json::json;

use super::{USERS, assert_only_objects_are_taken, assert_refused, body, patch, walk};
use crate::support::events::{EVENTS, accepted, event, keys};
use crate::support::server::Server;

both_databases! {
    fn a_user_is_created_shown_disabled_and_enabled(database) {
        let mut server = Server::start(&database);
        let admin = server.client();
        let answer = admin.post_json(USERS, &json!({"email": "ana@example.org", "disabled": true, "unknown": {"a": 1}}));
        let user = body(&answer, 201);
        assert_eq!(keys(&user), ["created_at", "disabled", "email", "id"]);
        assert_eq!((&user["email"], &user["disabled"]), (&json!("ana@example.org"), &json!(false)), "unknown members");
        let path = answer.header("location").expect("a location").to_owned();
        assert_eq!(path, format!("{USERS}/{}", user["id"]));
        assert_eq!(body(&admin.get(&path), 200), user);

        let token = server.setup().create_token("ana@example.org", "write,read");
        let ana = server.client_with(&token);
        accepted(&ana, &event("before"));
        let disabled = body(&patch(&admin, &path, r#"{"disabled":true,"email":"ignored@example.org"}"#), 200);
        assert_eq!((&disabled["disabled"], &disabled["email"]), (&json!(true), &json!("ana@example.org")));
        assert_eq!(body(&patch(&admin, &path, r#"{"disabled":true}"#), 200), disabled, "again");
        assert_eq!(ana.get(EVENTS).status, 401, "at once on the node that was told");
        assert_eq!(body(&patch(&admin, &path, r#"{"disabled":false}"#), 200)["disabled"], false);
        assert_eq!(ana.get(EVENTS).status, 200);
        for line in ["user created user_id=", "user changed user_id="] {
            assert!(server.log().contains(line), "{}", server.log());
        }
        assert!(!server.log().contains("ana@example.org"), "no email in the log");
    }

    fn an_email_is_one_users(database) {
        let mut server = Server::start(&database);
        let admin = server.client();
        body(&admin.post_json(USERS, &json!({"email": "ana@example.org"})), 201);
        let again = admin.post_json(USERS, &json!({"email": "ana@example.org"}));
        assert_refused("the same email", &again, 409, "email_taken", &[]);
        assert_eq!(walk(&admin, &format!("{USERS}?"), 500).len(), 2);
    }

    fn wrong_bodies_of_users_are_refused_field_by_field(database) {
        let mut server = Server::start(&database);
        let admin = server.client();
        assert_only_objects_are_taken(|text| admin.post_text(USERS, text));
        let email = ["/email"];
        let long = format!(r#"{{"email":"{}@example.org"}}"#, "a".repeat(250));
        for (text, code) in [
            ("{}", "missing_field"),
            (r#"{"email":null}"#, "missing_field"),
            (r#"{"email":7}"#, "invalid_field"),
            (r#"{"email":""}"#, "invalid_field"),
            (r#"{"email":"ana"}"#, "invalid_field"),
            (r#"{"email":"a b@c"}"#, "invalid_field"),
            (r#"{"email":"a\u0000@c"}"#, "invalid_field"),
            (r#"{"email":"\ud800@c"}"#, "invalid_field"),
            (&long, "invalid_field"),
        ] {
            assert_refused(text, &admin.post_text(USERS, text), 422, code, &email);
        }
        let first = format!("{USERS}/1");
        assert_only_objects_are_taken(|text| patch(&admin, &first, text));
        for (text, code) in [("{}", "missing_field"), (r#"{"disabled":"true"}"#, "invalid_field")] {
            assert_refused(text, &patch(&admin, &first, text), 422, code, &["/disabled"]);
        }
        for id in ["0", "-1", "01", "x", "999", "9223372036854775808"] {
            let path = format!("{USERS}/{id}");
            assert_refused(id, &admin.get(&path), 404, "not_found", &[]);
            assert_refused(id, &patch(&admin, &path, r#"{"disabled":true}"#), 404, "not_found", &[]);
        }
        let refused = admin.call("DELETE", &first, &[], None);
        assert_refused("DELETE", &refused, 405, "method_not_allowed", &[]);
        assert_eq!(refused.header("allow"), Some("GET, HEAD, PATCH"), "users are never deleted");
    }

    fn the_list_of_users_has_pages(database) {
        let mut server = Server::start(&database);
        let admin = server.client();
        for name in 0..5 {
            body(&admin.post_json(USERS, &json!({"email": format!("user-{name}@example.org")})), 201);
        }
        let all = walk(&admin, &format!("{USERS}?"), 500);
        let ids: Vec<i64> = all.iter().filter_map(|user| user["id"].as_i64()).collect();
        assert!(ids.len() == 6 && ids.is_sorted(), "{all:?}");
        for limit in [1, 2, 3, 6] {
            assert_eq!(walk(&admin, &format!("{USERS}?"), limit), all, "limit {limit}");
        }
        for query in ["limit=0", "limit=501", "offset=1", "limit=1&limit=1", "user_id=1"] {
            assert_refused(query, &admin.get(&format!("{USERS}?{query}")), 400, "invalid_request", &[]);
        }
        assert_refused("a cursor", &admin.get(&format!("{USERS}?cursor=x")), 400, "invalid_cursor", &[]);
    }
}
