//! Rule 3 for every class of errors: what the database refuses of one event is that event's end and nobody's outage; what it
//! refuses of all is found out with a handful of tries, and stored when it takes events again.

use super::units::post_at_once;
use super::{EVENTS, allow, await_lines, body, execute, finished, id_of, number, post, warm_up};
use crate::support::database::{Database, Kind};
use crate::support::postgres::Cluster;
use crate::support::server::{Server, Setup};
use crate::support::wait::{SOON, wait_for};

/// A state of each class that says something of the data or of the statement.
const STATES: [&str; 18] = [
    "09000", "0A000", "20000", "21000", "22012", "22P05", "23502", "23505", "23514", "2F000", "38000", "39000",
    "42501", "42703", "42P01", "54000", "P0001", "XX000",
];

const FAILS: &str = "writing events fails";

/// Raises `state` for each event whose payload holds `text`; '' is in every payload.
fn raise(database: &Database, state: &str, text: &str) {
    let function = format!(
        "CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
         IF strpos(COALESCE(NEW.payload, NEW.properties)::text, '{text}') > 0 THEN RAISE EXCEPTION 'refused on purpose' USING ERRCODE = '{state}'; \
         END IF; RETURN NEW; END $$"
    );
    execute(database, &function);
}

// Guards `sqlstate::kind` and `Round::judge`: whatever the state is.
#[test]
fn whatever_the_database_says_of_one_event_is_that_events_end_and_no_outage() {
    let database = Database::postgres();
    let mut server = Server::start(&database);
    let client = server.client();
    warm_up(&client, &database);
    raise(&database, STATES[0], "poisonous");
    execute(&database, "CREATE TRIGGER refuse_events BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION refuse()");
    for state in STATES {
        raise(&database, state, "poisonous");
        let alone = finished(&client, id_of(&post(&client, "poisonous", &format!("key-{state}"))));
        assert_eq!((&alone["status"], &alone["error_code"]), (&"failed".into(), &"refused".into()), "{state}");
        let bodies: Vec<String> =
            (0..8).map(|n| if n == 5 { body("poisonous", "") } else { body(&format!("good_{n}"), "") }).collect();
        for (n, answer) in post_at_once(&mut server, &bodies).iter().enumerate() {
            let status = if n == 5 { "failed" } else { "processed" };
            assert_eq!(finished(&client, id_of(answer))["status"], status, "{state}: {answer:?}");
        }
        assert!(!server.log().contains(FAILS), "{state} is an outage\n{}", server.log());
    }
}

// Guards `Stripped::All`: a name can be what is refused as well.
#[test]
fn an_event_whose_name_is_refused_ends_as_refused_without_it() {
    let database = Database::postgres();
    let mut server = Server::start(&database);
    let client = server.client();
    warm_up(&client, &database);
    execute(&database, "ALTER TABLE events ADD CONSTRAINT no_such_name CHECK (event_name <> 'forbidden')");
    let event = finished(&client, id_of(&post(&client, "forbidden", "")));
    assert_eq!((&event["error_code"], &event["event_name"]), (&"refused".into(), &serde_json::Value::Null), "{event}");
    assert!(!server.log().contains(FAILS), "{}", server.log());
}

/// A database whose owner is no superuser: its rights can be revoked.
fn owned(cluster: &Cluster) -> (Database, Database) {
    let url = cluster.fresh_database();
    let name = url.rsplit('/').next().expect("the URL names a database").to_owned();
    cluster.sql("postgres", &format!("CREATE ROLE keeper LOGIN; ALTER DATABASE {name} OWNER TO keeper"));
    cluster.sql(&name, "ALTER SCHEMA public OWNER TO keeper");
    let as_owner = url.replace("gristmill@", "keeper@");
    (Database::at(as_owner), Database::at(url))
}

// Guards `Round::takes_neutral_rows`: without it the flush is halved down to each event, and every half is refused.
#[test]
fn what_is_refused_of_all_costs_a_handful_of_tries_and_is_stored_afterwards() {
    let cluster = Cluster::start();
    let (database, behind) = owned(&cluster);
    let mut server = Server::start(&database);
    let client = server.client();
    warm_up(&client, &behind);
    let faults = [
        ("REVOKE INSERT ON events FROM keeper", "GRANT INSERT ON events TO keeper"),
        ("ALTER TABLE flushes RENAME TO gone", "ALTER TABLE gone RENAME TO flushes"),
        ("ALTER TABLE events RENAME COLUMN node TO host", "ALTER TABLE events RENAME COLUMN host TO node"),
        (
            "ALTER TABLE flushes ADD COLUMN tenant int; ALTER TABLE flushes ADD CHECK (tenant IS NOT NULL) NOT VALID",
            "ALTER TABLE flushes DROP COLUMN tenant",
        ),
    ];
    let name = behind.url().rsplit('/').next().expect("the URL names a database");
    for (fault, mend) in faults {
        cluster.sql(name, fault);
        let before = cluster.log().matches("ERROR:").count();
        let bodies: Vec<String> = (0..64)
            .map(|n| body("meanwhile", &if n % 2 == 0 { format!("{fault}-{n}") } else { String::new() }))
            .collect();
        let answers = post_at_once(&mut server, &bodies);
        for answer in &answers {
            assert_eq!((answer.status, &answer.json()["durability"]), (202, &"spool".into()), "{fault}: {answer:?}");
        }
        // The tries go on, one unit at a time and with pauses; halving 64 events would be twice as many at once.
        let errors = cluster.log().matches("ERROR:").count() - before;
        assert!((1..64).contains(&errors), "{fault}: {errors} statements were refused");
        cluster.sql(name, mend);
        for answer in &answers {
            assert_eq!(finished(&client, id_of(answer))["status"], "processed", "{fault}");
        }
        let direct = || (post(&client, "after", "").json()["durability"] == "database").then_some(());
        wait_for("an event in the database", SOON, direct, || server.log());
    }
}

both_databases! {
    // Guards the end of `Round::end` where there is no spool: 503 and never 500, a line, and all well afterwards.
    fn what_is_refused_of_all_is_503_without_a_spool(database) {
        let config = "spool.enabled = false\ntimeouts = { accept = \"20s\", flush = \"1s\" }";
        let mut server = Server::start(Setup::new(&database).with_config(config));
        let client = server.client();
        warm_up(&client, &database);
        for (table, column) in [("flushes", "node"), ("events", "status")] {
            let before = server.log().matches(FAILS).count();
            super::refuse(&database, table, column, "");
            for uid in ["", "key"] {
                super::lost_answers::assert_not_stored(&post(&client, "meanwhile", uid));
            }
            await_lines(&server, FAILS, before + 1);
            allow(&database, table);
            if database.kind() == Kind::Postgres {
                execute(&database, &format!("DROP FUNCTION refuse_{table}"));
            }
            let taken = || (post(&client, "after", "").status == 202).then_some(());
            wait_for("events to be taken", SOON, taken, || server.log());
        }
        assert_eq!(number(&database, "SELECT COUNT(*) FROM events WHERE status = 'failed'"), 0);
    }

    // Guards `SEARCHES_MAX` and that what was found stays found: many at fault are told apart in several rounds.
    fn of_a_request_with_many_refused_events_each_other_one_is_processed(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        warm_up(&client, &database);
        super::refuse(&database, "events", "payload", "poisonous");
        let name = |n: usize| if n.is_multiple_of(2) { "poisonous".to_owned() } else { format!("good_{n}") };
        let events: Vec<String> = (0..100).map(|n| body(&name(n), "")).collect();
        let answer = client.post_text(&format!("{EVENTS}/batch"), &format!("[{}]", events.join(",")));
        assert!(answer.status < 300, "{answer:?}");
        let of = |status: &str| number(&database, &format!("SELECT COUNT(*) FROM events WHERE status = '{status}'"));
        assert_eq!((of("failed"), of("processed")), (50, 52));
        assert!(!server.log().contains(FAILS), "{}", server.log());
    }
}
