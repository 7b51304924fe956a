//! Rates per token: 429 with the time to wait, headers while a limit is on, nothing while it is off.

use serde_json::json;

use crate::support::events::{EVENTS, accepted, event};
use crate::support::http::{Answer, Client};
use crate::support::server::{Server, Setup};
use crate::support::wait::{SOON, wait_for};

const LIMITED: &str = "limits.requests_per_second = 1\nlimits.requests_burst = 3";

/// The parameters of a `RateLimit` header: what remains, and the seconds to the reset.
fn standing(answer: &Answer) -> (u64, u64) {
    let text = answer.header("ratelimit").unwrap_or_else(|| panic!("no RateLimit: {answer:?}"));
    let number = |name: &str| {
        let (_, rest) = text.split_once(name).unwrap_or_else(|| panic!("no {name} in {text}"));
        rest.split(';').next().and_then(|digits| digits.parse().ok()).unwrap_or_else(|| panic!("{text}"))
    };
    assert!(text.starts_with("\"requests\";r="), "{text}");
    (number(";r="), number(";t="))
}

/// Asks until the bucket is empty, and gives the refusal.
fn exhaust(client: &Client) -> Answer {
    let refused = || Some(client.get(EVENTS)).filter(|answer| answer.status == 429);
    wait_for("a refusal", SOON, refused, || client.get(EVENTS).status.to_string())
}

fn assert_limited(answer: &Answer) {
    let problem = answer.json();
    assert_eq!((answer.status, &problem["code"]), (429, &json!("rate_limited")), "{problem}");
    assert_eq!(problem["retryable"], true, "{problem}");
    assert_eq!(answer.header("ratelimit-policy"), Some("\"requests\";q=3;w=3"), "{answer:?}");
    let after: u64 = answer.header("retry-after").and_then(|text| text.parse().ok()).expect("whole seconds");
    assert_eq!((standing(answer), after), ((0, 1), 1), "{answer:?}");
}

both_databases! {
    fn a_token_that_asks_too_often_gets_429_and_its_turn_comes(database) {
        let mut server = Server::start(Setup::new(&database).with_config(LIMITED));
        let client = server.client();
        let first = client.post_json(EVENTS, &event("a"));
        assert_eq!(first.status, 202, "{first:?}");
        assert_eq!(first.header("ratelimit-policy"), Some("\"requests\";q=3;w=3"));
        assert_eq!(standing(&first), (2, 1));
        assert_limited(&exhaust(&client));
        for answer in [client.post_json(EVENTS, &event("b")), client.get(&format!("{EVENTS}/1"))] {
            // A second may have gone by on a slow machine; then the request passed.
            if answer.status == 429 {
                assert_limited(&answer);
            }
        }
        let accepted = || Some(client.post_json(EVENTS, &event("c"))).filter(|answer| answer.status == 202);
        wait_for("the next turn", SOON, accepted, || server.log());
    }

    fn each_token_has_a_rate_of_its_own_and_some_paths_have_none(database) {
        let mut server = Server::start(Setup::new(&database).with_config(LIMITED));
        let client = server.client();
        let setup = server.setup();
        setup.create_user("ana@example.org");
        let other = server.client_with(&setup.create_token("ana@example.org", "write"));
        exhaust(&client);
        let answer = other.post_json(EVENTS, &event("a"));
        assert_eq!((answer.status, standing(&answer).0), (202, 2), "{answer:?}");
        let refused = other.get(EVENTS);
        assert_eq!((refused.status, standing(&refused).0 <= 2), (403, true), "what is forbidden counts as well");
        let nobody = Client::new(server.address(), None);
        for answer in [client.get("/health/ready"), nobody.get(EVENTS), client.get("/nothing")] {
            assert_eq!(answer.header("ratelimit"), None, "{answer:?}");
            assert_ne!(answer.status, 429, "{answer:?}");
        }
        let operator = server.dashboard();
        for size in [2, 1, 2, 1, 2] {
            let answer = operator.post_json("/api/pipeline/pools/validators", &json!({"size": size}));
            assert_eq!((answer.status, answer.header("ratelimit")), (200, None), "{answer:?}");
        }
    }

    fn without_a_limit_there_are_no_headers(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        for _ in 0..50 {
            accepted(&client, &event("a"));
        }
        let answer = client.get(EVENTS);
        assert_eq!((answer.header("ratelimit"), answer.header("ratelimit-policy")), (None, None));
    }
}
