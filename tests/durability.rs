//! The promises that survive crashes, lost answers and late writers, rule by rule: each test names the lines of the
//! product without which it fails.

mod records;

mod feed;
mod file;
mod flush_counts;
mod identity;
mod ids;
mod keys;
mod leases;
mod locks;
mod lost_answers;
mod many;
mod outages;
mod refusals;
mod replays;
mod times;
mod traces;
mod units;
mod unwritten;

#[cfg(feature = "fault-injection")]
mod deaths;
#[cfg(feature = "fault-injection")]
mod transient;

use std::thread::JoinHandle;
use std::time::Duration;

use gristmill::store::{Store, migrate};

use super::store::options;
use super::support::database::{Database, Kind};
use super::support::http::{Answer, Client};
use super::support::server::Server;
use super::support::session::Session;
use super::support::wait::{SOON, wait_for};

/// Longest wait of one operation of the store.
pub const WAIT: Duration = Duration::from_secs(20);

/// Where events are posted.
const EVENTS: &str = "/api/v1/events";

/// Runs `work` on the store of this database, which is migrated if needed.
pub fn with_store<T>(database: &Database, work: impl AsyncFnOnce(Store) -> T) -> T {
    let options = options(database.url());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("a runtime starts");
    runtime.block_on(async {
        migrate::run(&options).await.expect("the migration runs");
        let store = Store::open(&options, runtime.handle().clone()).await.expect("a migrated database opens");
        let result = work(store.clone()).await;
        store.close().await;
        result
    })
}

/// One number from the database.
fn number(database: &Database, sql: &str) -> i64 {
    let texts = aside(|| database.texts(&format!("SELECT CAST(({sql}) AS TEXT)")));
    texts[0].parse().unwrap_or_else(|error| panic!("{sql}: {texts:?}: {error}"))
}

/// Runs a statement; the number of rows that it changed.
fn execute(database: &Database, sql: &str) -> u64 {
    aside(|| database.execute(sql))
}

/// Runs the statement that is for this kind of database.
fn execute_either(database: &Database, on_sqlite: &str, on_postgres: &str) -> u64 {
    execute(database, if database.kind() == Kind::Sqlite { on_sqlite } else { on_postgres })
}

/// In a thread without a runtime: a look at the database starts one of its own.
fn aside<T: Send>(look: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| scope.spawn(look).join()).expect("the look succeeds")
}

/// Makes the database refuse every new row of `table` in which `column` holds `text`; '' is in every text.
fn refuse(database: &Database, table: &str, column: &str, text: &str) {
    let name = format!("refuse_{table}");
    let value = match column {
        // Where the payload of a processed event is.
        "payload" => "COALESCE(NEW.payload, NEW.properties)".to_owned(),
        _ => format!("NEW.{column}"),
    };
    match database.kind() {
        Kind::Sqlite => execute(
            database,
            &format!(
                "CREATE TRIGGER {name} BEFORE INSERT ON {table} WHEN instr({value}, '{text}') > 0 \
                 BEGIN SELECT RAISE(ABORT, 'refused on purpose'); END"
            ),
        ),
        Kind::Postgres => {
            execute(
                database,
                &format!(
                    "CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
                     IF strpos(({value})::text, '{text}') > 0 THEN RAISE EXCEPTION 'refused on purpose'; END IF; \
                     RETURN NEW; END $$"
                ),
            );
            let on = format!("BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION {name}()");
            execute(database, &format!("CREATE TRIGGER {name} {on}"))
        }
    };
}

/// Ends what `refuse` began.
fn allow(database: &Database, table: &str) {
    let drop = format!("DROP TRIGGER refuse_{table}");
    execute_either(database, &drop, &format!("{drop} ON {table}"));
}

/// An event with this name and, unless empty, this key.
fn body(name: &str, uid: &str) -> String {
    let uid = if uid.is_empty() { String::new() } else { format!(r#","event_uid":"{uid}""#) };
    format!(r#"{{"event_name":"{name}","event_type":"engagement","payload":{{"page":"/{name}"}}{uid}}}"#)
}

fn post(client: &Client, name: &str, uid: &str) -> Answer {
    client.post_text(EVENTS, &body(name, uid))
}

/// Posts one event, which has to be taken, and gives its id.
fn posted(client: &Client, name: &str) -> i64 {
    id_of(&post(client, name, ""))
}

/// The id in an answer that says that the event was taken.
fn id_of(answer: &Answer) -> i64 {
    assert!(matches!(answer.status, 200 | 202), "{answer:?}");
    answer.json()["event_id"].as_i64().unwrap_or_else(|| panic!("no event_id: {answer:?}"))
}

/// Posts until the server remembers token, user and ids, and needs the database for the event alone.
fn warm_up(client: &Client, database: &Database) {
    posted(client, "warm");
    // Written at the end of a round of the watch over tokens, whose first round forgets all tokens.
    let used = "SELECT COUNT(*) FROM api_tokens WHERE last_used_at IS NOT NULL";
    wait_for("a round of the watch", SOON, || (number(database, used) == 1).then_some(()), String::new);
    posted(client, "warm");
}

/// Waits until the log has had `line` so many times, and not more often.
fn await_lines(server: &Server, line: &str, count: usize) {
    let times = || server.log().matches(line).count();
    wait_for(&format!("{line:?} {count} times"), SOON, || (times() >= count).then_some(()), || server.log_tail());
    assert_eq!(times(), count, "{line:?}\n{}", server.log_tail());
}

/// The event as GET shows it.
fn event(client: &Client, id: i64) -> serde_json::Value {
    let answer = client.get(&format!("{EVENTS}/{id}"));
    assert_eq!(answer.status, 200, "event {id}: {answer:?}");
    answer.json()
}

/// The event once it is no longer pending.
fn finished(client: &Client, id: i64) -> serde_json::Value {
    wait_for(
        &format!("event {id} to be final"),
        SOON * 2,
        || Some(event(client, id)).filter(|event| event["status"] != "pending"),
        || event(client, id).to_string(),
    )
}

/// Holds every write of events up until the session ends; the Persister is stuck at work on a first event then.
fn hold_the_persister(database: &Database, server: &mut Server) -> (Session, JoinHandle<Answer>) {
    let lock = match database.kind() {
        // Its writing transaction is the lock.
        Kind::Sqlite => "SELECT 1",
        Kind::Postgres => "LOCK TABLE events IN SHARE ROW EXCLUSIVE MODE",
    };
    let session = Session::begin(database, lock);
    let client = server.client();
    let first = std::thread::spawn(move || post(&client, "first", ""));
    await_in_flight(server, 1);
    (session, first)
}

/// Waits until so many events are in the line.
fn await_in_flight(server: &Server, events: u64) {
    let dashboard = server.dashboard();
    let view = || dashboard.get("/api/pipeline").json();
    let there = || (view()["in_flight"]["events"] == events).then_some(());
    wait_for(&format!("{events} events in the line"), SOON, there, || format!("{}\n{}", view(), server.log()));
}
