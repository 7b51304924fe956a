//! Rule 3: a unit is written whole; what the database refuses fails alone; a lock holds up only its own key.

use std::sync::Barrier;

use gristmill::config::Config;
use gristmill::domain::submission::Submission;
use gristmill::pipeline::{Entry, Handling, Identity, Pipeline, Receipt, Verdict};
use gristmill::store::Principal;
use sea_orm::prelude::Uuid;

use super::Session;
use super::records::{plain, processed, try_flush};
use super::{EVENTS, WAIT, aside, body, event, execute, finished, id_of, number, post, posted, refuse, with_store};
use crate::support::database::Database;
use crate::support::http::{Answer, Client};
use crate::support::server::{Server, Setup};

/// Clients that post at the same moment, so that their events share flushes.
const CLIENTS: usize = 64;

/// Posts the bodies at once, each from a client of its own.
pub fn post_at_once(server: &mut Server, bodies: &[String]) -> Vec<Answer> {
    let token = server.token();
    let address = server.address();
    let barrier = Barrier::new(bodies.len());
    let post = |body: &str| {
        let client = Client::new(address, Some(&token));
        barrier.wait();
        client.post_text(EVENTS, body)
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = bodies.iter().map(|body| scope.spawn(|| post(body))).collect();
        threads.into_iter().map(|thread| thread.join().expect("each client gets an answer")).collect()
    })
}

/// Takes entries through a line of this process whose flushes hold one event at most.
fn receipts_of_a_line(database: &Database, names: &[&str]) -> Vec<Receipt> {
    let data = crate::support::run::folder("line");
    let text = format!("data_dir = {data:?}\n[database]\nurl = {:?}\n[pipeline]\nflush_events = 1", database.url());
    let config = Config::from_toml(&text).expect("an allowed configuration");
    with_store(database, async |store| {
        store
            .create_user("a@example.com", gristmill::clock::now(), &Principal::command("test"), WAIT)
            .await
            .expect("the user is stored");
        let entry = |name: &&str| Entry {
            user_id: 1,
            submission: Submission::read(&body(name, "").into()).expect("a readable event"),
            key: None,
        };
        let entries: Vec<Entry> = names.iter().map(entry).collect();
        let identity = Identity { boot_id: Uuid::new_v4(), node: "mill".to_owned(), folder: Uuid::new_v4() };
        aside(|| {
            actix::System::new().block_on(async {
                let line = Pipeline::start(&config, store, None, identity).await.expect("the line starts");
                let receipts = line
                    .process_events_batch(entries, Handling::Lenient, line.room())
                    .await
                    .expect("the unit is settled");
                line.drain(WAIT).await;
                assert_eq!(line.in_flight(), 0);
                receipts
            })
        })
    })
}

both_databases! {
    // Guards `Queue::take`, which takes whole units however small a flush may be.
    fn the_events_of_one_request_share_a_transaction_even_when_flushes_are_smaller(database) {
        let receipts = receipts_of_a_line(&database, &["one", "two", "three"]);
        assert!(receipts.iter().all(|receipt| matches!(receipt.verdict, Verdict::Processed { .. })), "{receipts:?}");
        assert_eq!(number(&database, "SELECT COUNT(*) FROM flushes"), 1);
        let length = match database.kind() {
            crate::support::database::Kind::Sqlite => "SELECT json_array_length(event_ids) FROM flushes",
            crate::support::database::Kind::Postgres => "SELECT jsonb_array_length(event_ids) FROM flushes",
        };
        assert_eq!(number(&database, length), 3);
    }

    // Guards `Writer::without_refused`: inside its unit the refused event is marked, and the unit stays whole.
    fn an_event_refused_inside_a_request_leaves_the_others_of_it_processed(database) {
        with_store(&database, async |_| {});
        refuse(&database, "events", "payload", "poisonous");
        let receipts = receipts_of_a_line(&database, &["one", "poisonous", "three"]);
        let is_processed = |receipt: &Receipt| matches!(receipt.verdict, Verdict::Processed { .. });
        assert!(is_processed(&receipts[0]) && is_processed(&receipts[2]), "{receipts:?}");
        assert!(matches!(receipts[1].verdict, Verdict::Failed { code: "refused", .. }), "{receipts:?}");
        assert_eq!(number(&database, "SELECT COUNT(*) FROM flushes"), 1, "the unit was split");
        assert_eq!(number(&database, "SELECT COUNT(*) FROM events"), 3);
    }

    // Guards `begin_write` and `roll_back` in `Store::flush`: without the transaction the first row and the key stay.
    fn a_flush_with_a_refused_event_writes_nothing_of_it(database) {
        with_store(&database, async |store| {
            refuse(&database, "events", "payload", "poisonous");
            let records = vec![processed(plain(1, "good", "key")), processed(plain(2, "poisonous", ""))];
            let error = try_flush(&store, records).await.expect_err("one of them is refused");
            assert!(error.to_string().contains("refused on purpose"), "{error}");
            assert_eq!(number(&database, "SELECT COUNT(*) FROM events"), 0);
            assert_eq!(number(&database, "SELECT COUNT(*) FROM dedupe_keys"), 0, "a key without its event");
            assert_eq!(number(&database, "SELECT COUNT(*) FROM flushes"), 0);
        });
    }

    // Guards the arms for a refusal in `Writer::after_error`: without them every event of the flush gets its error.
    fn one_event_that_the_database_refuses_fails_alone_among_its_neighbours(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        posted(&client, "warm");
        refuse(&database, "events", "payload", "poisonous");
        let mut bodies: Vec<String> = (0..CLIENTS).map(|n| body(&format!("good_{n}"), "")).collect();
        bodies[CLIENTS / 2] = body("poisonous", "");
        for (place, answer) in post_at_once(&mut server, &bodies).iter().enumerate() {
            let stored = finished(&client, id_of(answer));
            if place == CLIENTS / 2 {
                assert_eq!((&stored["status"], &stored["error_code"]), (&"failed".into(), &"refused".into()));
                assert!(!stored.to_string().contains("on purpose"), "the database's words are shown: {stored}");
            } else {
                assert_eq!(stored["status"], "processed", "a neighbour: {stored}");
            }
        }
        let flushes = number(&database, "SELECT COUNT(*) FROM flushes");
        assert!(flushes < 1 + CLIENTS as i64, "no flush was shared, nothing was shown");
    }
}

// Guards `Kind::Conflict if tries < CONFLICT_TRIES => self.apart(…)` in `Writer::after_error`, and that a wait for a
// lock ends before a flush does: neighbours of a locked key would wait for its lock, and get 503 in the end.
#[test]
fn a_locked_key_holds_up_only_its_own_event() {
    let database = Database::postgres();
    let mut server = Server::start(Setup::new(&database));
    let client = server.client();
    let first = id_of(&post(&client, "held", "held-key"));
    // Expired and locked: whoever takes the key must wait for the lock.
    execute(&database, "UPDATE dedupe_keys SET created_at = created_at - interval '8 days'");
    let session = Session::begin(&database, "SELECT * FROM dedupe_keys WHERE key = 'held-key' FOR UPDATE");
    let token = server.token();
    let address = server.address();
    let held = std::thread::spawn(move || {
        let client = Client::new(address, Some(&token));
        post(&client, "held", "held-key")
    });
    let bodies: Vec<String> = (0..CLIENTS).map(|n| body("neighbour", &format!("key-{n}"))).collect();
    let answers = post_at_once(&mut server, &bodies);
    assert!(answers.iter().all(|answer| answer.status == 202), "{answers:?}");
    session.commit();
    let answer = held.join().expect("the locked one gets an answer");
    let second = id_of(&answer);
    assert_ne!(second, first, "its key was free again");
    assert_eq!(event(&client, second)["attempts"], 1, "a lock was charged");
}
