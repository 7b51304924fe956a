//! The stream of outcomes: what happens, in order, to who may see it, and never a silent gap.

use serde_json::{Value, json};

use crate::support::database::{Database, Kind};
use crate::support::events::{EVENTS, accepted, event};
use crate::support::http::Client;
use crate::support::server::{Server, Setup};
use crate::support::session::Session;
use crate::support::wait::SOON;
use crate::support::wire::Connection;

/// As in `src/http/bounds.rs`.
const STREAMS_MAX: usize = 64;

struct Stream(Connection);

/// An event of the stream.
#[derive(Debug)]
struct Told {
    id: String,
    event: String,
    data: Value,
}

impl Stream {
    /// Opens a stream whose first line has come; after it nothing is missed.
    fn open(server: &Server, token: &str, query: &str, last: Option<&str>) -> (Self, Vec<String>) {
        let last = last.map(|id| format!("Last-Event-ID: {id}\r\n")).unwrap_or_default();
        let request = format!(
            "GET {EVENTS}/stream?{query} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n{last}\r\n"
        );
        let mut connection = Connection::open(server.address()).expect("the server takes connections");
        connection.send(request.as_bytes()).expect("it reads requests");
        let head = connection.lines_until("id: ").expect("a first place");
        assert!(head[0].contains(" 200 ") && head.iter().any(|line| line.contains("text/event-stream")), "{head:?}");
        (Self(connection), head)
    }

    fn next(&mut self) -> Told {
        let lines = self.0.lines_until("data: ").expect("an event");
        let member = |name: &str| lines.iter().rev().find_map(|line| line.strip_prefix(name)).unwrap_or("").to_owned();
        let data = serde_json::from_str(&member("data: ")).expect("data is JSON");
        Told { id: member("id: "), event: member("event: "), data }
    }

    fn outcome(&mut self) -> i64 {
        let told = self.next();
        assert_eq!(told.event, "outcome", "{told:?}");
        told.data["id"].as_i64().expect("an id")
    }

    /// Any transaction that was open when the stream began lets it begin a little earlier.
    fn await_outcome(&mut self, id: i64) {
        while self.outcome() != id {}
    }
}

fn reject(client: &Client, name: &str) -> i64 {
    let answer = client.post_json(EVENTS, &json!({"event_name": name}));
    answer.json()["event_id"].as_i64().expect("it is kept")
}

both_databases! {
    fn outcomes_are_told_as_they_happen_to_who_may_see_them(database) {
        let mut server = Server::start(&database);
        let admin_token = server.token();
        let admin = server.client();
        let ana_token = server.setup().create_user_with_token("ana@example.org", "write,read");
        let ana = server.client_with(&ana_token);
        let (mut all, _) = Stream::open(&server, &admin_token, "", None);
        let (mut own, _) = Stream::open(&server, &ana_token, "", None);
        let (mut bad, _) = Stream::open(&server, &admin_token, "status=validation_error&event_name=second", None);
        let first = accepted(&admin, &event("first"));
        let hers = accepted(&ana, &event("second"));
        reject(&admin, "first");
        let rejected = reject(&admin, "second");
        let told = all.next();
        assert_eq!((told.event.as_str(), &told.data["id"], &told.data["status"]), ("outcome", &json!(first), &json!("processed")));
        assert!(told.data["processed_at"].is_string() && told.data.get("payload").is_none(), "{told:?}");
        assert_eq!(all.outcome(), hers);
        assert_eq!(own.outcome(), hers);
        assert_eq!(bad.outcome(), rejected);
        for query in ["user_id=1", "status=done", "limit=1"] {
            assert_eq!(admin.get(&format!("{EVENTS}/stream?{query}")).status, 400, "{query}");
        }
    }

    fn a_stream_goes_on_after_the_last_event_that_was_seen(database) {
        let mut server = Server::start(&database);
        let token = server.token();
        let client = server.client();
        let (mut stream, _) = Stream::open(&server, &token, "", None);
        let posted: Vec<i64> = (0..5).map(|n| accepted(&client, &event(&format!("n{n}")))).collect();
        let first = stream.next();
        assert_eq!((first.event.as_str(), &first.data["id"]), ("outcome", &json!(posted[0])));
        let told: Vec<i64> = (1..5).map(|_| stream.outcome()).collect();
        assert_eq!(told, posted[1..]);
        drop(stream);
        server.restart();
        let later = accepted(&server.client(), &event("later"));
        let (mut resumed, _) = Stream::open(&server, &token, "", Some(&first.id));
        let told: Vec<i64> = (0..5).map(|_| resumed.outcome()).collect();
        assert_eq!(told, [&posted[1..], &[later]].concat());
    }

    fn a_place_that_is_unknown_or_too_old_is_told_as_a_gap(database) {
        let mut server = Server::start(&database);
        let token = server.token();
        let client = server.client();
        let (mut stream, _) = Stream::open(&server, &token, "", None);
        accepted(&client, &event("old"));
        let old = stream.next().id;
        accepted(&client, &event("young"));
        stream.outcome();
        let hour_ago = if database.kind() == Kind::Sqlite { "'2020-01-01T00:00:00+00:00'" } else { "now() - interval '51 min'" };
        database.execute(&format!("UPDATE flushes SET flushed_at = {hour_ago}"));
        for last in [old.as_str(), "0", "9223372036854775807", "nonsense"] {
            let (mut stream, head) = Stream::open(&server, &token, "", Some(last));
            let gap = stream.0.lines_until("data: ").expect("a gap");
            assert!(gap.iter().any(|line| line == "event: gap"), "{last}: {head:?} {gap:?}");
            let next = accepted(&client, &event("next"));
            stream.await_outcome(next);
        }
    }

    fn a_stream_ends_when_the_server_stops_and_streams_are_bounded(database) {
        let mut server = Server::start(Setup::new(&database).with_config("database.pool = 2"));
        let token = server.token();
        let mut streams: Vec<Stream> = (0..STREAMS_MAX).map(|_| Stream::open(&server, &token, "", None).0).collect();
        let refused = server.client().get(&format!("{EVENTS}/stream"));
        assert_eq!((refused.status, refused.json()["code"].clone()), (503, json!("overloaded")), "{refused:?}");
        accepted(&server.client(), &event("meanwhile"));
        for stream in &mut streams {
            stream.outcome();
        }
        server.terminate();
        for stream in &mut streams {
            let end = stream.0.lines_until("data: ");
            assert!(end.is_err(), "{end:?}");
        }
        assert!(server.wait_exit(SOON).success(), "{}", server.log_tail());
    }
}

// Guards `settled` in `store/feed.rs`: what commits later than its successor is not passed over.
#[test]
fn a_transaction_that_is_still_open_is_waited_for() {
    let database = Database::postgres();
    let mut server = Server::start(&database);
    let token = server.token();
    let client = server.client();
    let (mut stream, _) = Stream::open(&server, &token, "", None);
    let early = accepted(&client, &event("early"));
    stream.await_outcome(early);
    let open = Session::begin(
        &database,
        &format!(
            "INSERT INTO flushes (boot_id, seq, node, xid, event_ids, counts, gathered_us, wrote_us, flushed_at) VALUES \
             (gen_random_uuid(), 1, 'slow', pg_current_xact_id()::text::bigint, '[{early}]', '{{}}', 0, 0, now())"
        ),
    );
    let late = accepted(&client, &event("late"));
    open.commit();
    assert_eq!([stream.outcome(), stream.outcome()], [early, late]);
}
