//! `GET /api/v1/limits`: what is told is what holds.

use serde_json::{Value, json};

use crate::support::events::{EVENTS, event, post_and_wait};
use crate::support::http::Client;
use crate::support::server::{Server, Setup};

const LIMITS: &str = "/api/v1/limits";

both_databases! {
    fn the_limits_in_effect_are_told_to_any_token(database) {
        let setup = Setup::new(&database)
            .with_config("[limits]\npayload_bytes = \"1KiB\"\npayload_depth = 3\nnumber_chars = 40")
            .with_config("[limits]\nrequests_per_second = 1000\nrequests_burst = 2000");
        let server = Server::start(setup);
        let token = server.setup().create_user_with_token("ana@example.org", "operate");
        let answer = server.client_with(&token).get(LIMITS);
        assert_eq!(answer.status, 200, "{answer:?}");
        let limits = answer.json();
        for (name, value) in [
            ("payload_bytes", json!(1024)), ("payload_depth", json!(3)), ("body_bytes", json!(2 << 20)),
            ("number_chars", json!(40)), ("name_chars", json!(255)),
            ("batch_events", json!(1000)), ("batch_bytes", json!(20 << 20)),
            ("requests_per_second", json!(1000)), ("requests_burst", json!(2000)),
        ] {
            assert_eq!(limits[name], value, "{name} in {limits}");
        }
        assert!(answer.header("ratelimit").is_some(), "{answer:?}");
        let nobody = Client::new(server.address(), None).get(LIMITS);
        assert_eq!(nobody.status, 401, "{nobody:?}");
    }

    // No other test compares these numbers with those of the lists, the door and the waits.
    fn the_limits_that_are_told_are_those_that_hold(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        let limits = client.get(LIMITS).json();
        assert_eq!((&limits["requests_per_second"], &limits["requests_burst"]), (&Value::Null, &Value::Null));
        let number = |name: &str| limits[name].as_u64().unwrap_or_else(|| panic!("no {name} in {limits}"));
        for list in [EVENTS, "/api/v1/users", "/api/v1/tokens"] {
            let status = |limit: u64| client.get(&format!("{list}?limit={limit}")).status;
            assert_eq!((status(number("page_max")), status(number("page_max") + 1)), (200, 400), "{list}");
        }
        for name in 0..=number("page_default") {
            assert_eq!(client.post_json(EVENTS, &event(&name.to_string())).status, 202);
        }
        let page = client.get(EVENTS).json();
        assert_eq!(page["data"].as_array().map(Vec::len), usize::try_from(number("page_default")).ok());
        let wait = u32::try_from(number("wait_seconds")).expect("seconds");
        for asked in [wait, wait + 1] {
            let answer = post_and_wait(&client, &event("a"), asked);
            let granted = format!("wait={wait}");
            assert_eq!((answer.status, answer.header("preference-applied")), (200, Some(granted.as_str())), "{asked}");
        }
        let name = |chars: u64| client.post_json(EVENTS, &event(&"a".repeat(usize::try_from(chars).expect("few")))).status;
        assert_eq!((name(number("name_chars")), name(number("name_chars") + 1)), (202, 422));
    }
}
