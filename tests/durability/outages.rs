//! Rule 4 over a database that goes away and comes back, and clients that do.

use std::io::Write;
use std::net::TcpStream;

use super::lost_answers::assert_not_stored;
use super::{EVENTS, await_in_flight, body, hold_the_persister, id_of, number, post, posted, warm_up};
use crate::support::database::Database;
use crate::support::load::Load;
use crate::support::postgres::Cluster;
use crate::support::server::{Server, Setup};
use crate::support::wait::{SOON, wait_for};

fn await_acknowledgements(load: &Load, count: usize, server: &Server) {
    let enough = || (load.acknowledged() >= count).then_some(());
    wait_for(&format!("{count} acknowledged events"), SOON, enough, || format!("{load:?}\n{}", server.log()));
}

// Guards `Ended::Again` in `Persister::finish` (the unit is put back as it is, its attempts untouched) and the
// identity of repeated writes: rows would be lost, doubled or charged without them.
#[test]
fn an_outage_of_the_database_costs_no_attempt_and_no_acknowledged_event() {
    let cluster = Cluster::start();
    let database = Database::at(cluster.fresh_database());
    let mut server = Server::start(&database);
    let token = server.token();
    let load = Load::start(server.ports(), &token, 8);
    for round in 1..=3 {
        await_acknowledgements(&load, load.acknowledged() + 50, &server);
        cluster.stop_immediate();
        cluster.start_again();
        await_acknowledgements(&load, load.acknowledged() + 50, &server);
        assert!(server.log().contains("database"), "round {round}: nothing was said about the outage");
    }
    let ledger = load.stop();
    assert!(ledger.counts().0 >= 300, "{:?}", ledger.counts());
    ledger.verify(&server.client(), &database);
    assert_eq!(number(&database, "SELECT COUNT(*) FROM events WHERE attempts <> 1"), 0, "an outage was charged");
    assert_eq!(number(&database, "SELECT COUNT(*) FROM attempts"), 0);
}

// Guards `CommitGate` and the bound on `acquire_timeout` in `app::store_options`: a flush that found no connection in
// its time is certainly not stored. Only the first statement on a connection that broke while it was idle leaves that
// open: an event without a key is one statement.
#[test]
fn an_event_posted_while_the_database_is_down_is_not_stored_and_says_so() {
    let cluster = Cluster::start();
    let database = Database::at(cluster.fresh_database());
    let config = "timeouts = { accept = \"2s\", flush = \"1s\" }\nspool.enabled = false";
    let mut server = Server::start(Setup::new(&database).with_config(config));
    let client = server.client();
    warm_up(&client, &database);
    cluster.stop_immediate();
    assert_not_stored(&post(&client, "while_down", "key"));
    let told = || Some(post(&client, "maybe", "")).filter(|answer| answer.status != 504);
    assert_not_stored(&wait_for("an answer that is certain", SOON * 2, told, || server.log()));
    cluster.start_again();
    let taken = || Some(post(&client, "later", "")).filter(|answer| answer.status == 202);
    wait_for("the database to come back", SOON, taken, || server.log());
    assert_eq!(number(&database, "SELECT COUNT(*) FROM events WHERE event_name = 'while_down'"), 0);
}

both_databases! {
    // Guards that the unit is handed to an actor (`self.validators.send` in `Ingress::submit`), which does not look
    // whether anybody still waits for it: in the request's own future the write would end with the connection.
    fn a_client_that_resets_its_connection_does_not_undo_the_write(database) {
        // With one thread, who gets an answer after the reset knows that the server has seen it.
        let mut server = Server::start(Setup::new(&database).with_config("http.workers = 1"));
        let client = server.client();
        posted(&client, "warm");
        let (session, first) = hold_the_persister(&database, &mut server);
        let stream = sent_and_unread(&mut server);
        await_in_flight(&server, 2);
        // With an answer unread, closing resets the connection.
        drop(stream);
        assert_eq!(client.get("/health/live").status, 200);
        session.commit();
        id_of(&first.join().expect("an answer"));
        let stored = "SELECT COUNT(*) FROM events WHERE event_name = 'abandoned' AND status = 'processed'";
        wait_for("the abandoned event", SOON, || (number(&database, stored) == 1).then_some(()), || server.log());
    }
}

/// A connection with an answer that was not read, on which an event was posted.
fn sent_and_unread(server: &mut Server) -> TcpStream {
    let token = server.token();
    let mut stream = TcpStream::connect(server.address()).expect("the server takes connections");
    stream.write_all(b"GET /health/live HTTP/1.1\r\nHost: test\r\n\r\n").expect("the server reads");
    let answered = || stream.peek(&mut [0; 16]).ok().filter(|bytes| *bytes > 0);
    wait_for("an answer to leave unread", SOON, answered, || server.log());
    let body = body("abandoned", "");
    let head = format!(
        "POST {EVENTS} HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).expect("the server reads");
    stream
}
