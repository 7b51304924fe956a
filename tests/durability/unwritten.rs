//! Rule 2, the other half: a row is there only if the database says so. What it leaves out without an error, because a
//! trigger suppresses it, is not stored, and nobody is told otherwise.

use gristmill::domain::actor_kind::ActorKind;
use gristmill::domain::scopes::Scopes;
use gristmill::store::{
    Cause, ClaimOrder, ClaimTarget, ControlChange, FlushError, NewToken, Principal, Replay, StoreError, StoreOutcome,
    Target, Written,
};
use sea_orm::prelude::Uuid;

use super::lost_answers::assert_not_stored;
use super::records::{claim, deferred, flush, plain, processed, try_flush, under};
use super::replays::RULES;
use super::{WAIT, execute, execute_either, finished, id_of, number, post, posted, with_store};
use crate::support::database::{Database, Kind};
use crate::support::server::{Server, Setup};
use crate::support::wait::{SOON, wait_for};

/// Makes the database leave out, without an error, what this statement writes of the rows for which `condition` holds.
pub fn suppress(database: &Database, table: &str, statement: &str, condition: &str) {
    if database.kind() == Kind::Sqlite {
        execute(
            database,
            &format!(
                "CREATE TRIGGER suppress BEFORE {statement} ON {table} WHEN {condition} BEGIN SELECT RAISE(IGNORE); END"
            ),
        );
        return;
    }
    execute(
        database,
        &format!(
            "CREATE OR REPLACE FUNCTION suppress() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
             IF {condition} THEN RETURN NULL; END IF; RETURN NEW; END $$"
        ),
    );
    let trigger =
        format!("CREATE TRIGGER suppress BEFORE {statement} ON {table} FOR EACH ROW EXECUTE FUNCTION suppress()");
    execute(database, &trigger);
}

/// Ends what `suppress` began.
pub fn end_suppression(database: &Database, table: &str) {
    execute_either(database, "DROP TRIGGER suppress", &format!("DROP TRIGGER suppress ON {table}"));
}

pub fn assert_unwritten(flushed: Result<Vec<Written>, FlushError>, left_out: usize) {
    match flushed {
        Err(FlushError::Store(error)) => {
            assert_eq!(error.outcome, StoreOutcome::NotStored, "{error}");
            assert!(matches!(error.cause, Cause::Unwritten { missing, .. } if missing == left_out), "{error}");
        }
        other => panic!("rows were left out: {other:?}"),
    }
}

pub fn assert_empty(database: &Database) {
    for table in ["events", "dedupe_keys", "flushes"] {
        assert_eq!(number(database, &format!("SELECT COUNT(*) FROM {table}")), 0, "{table}");
    }
}

/// A server that refuses at once what the database does not take.
fn without_spool(database: &Database) -> Server {
    let config = "spool.enabled = false\ntimeouts = { accept = \"4s\", flush = \"1s\" }";
    Server::start(Setup::new(database).with_config(config))
}

fn assert_left_out<T: std::fmt::Debug>(what: &str, changed: Result<T, StoreError>) {
    let error = changed.expect_err(what);
    assert!(matches!(error.cause, Cause::Unwritten { .. }), "{what}: {error}");
}

both_databases! {
    // Guards `StoreError::unless_written` in `tokens.rs`, `users.rs`, `controls.rs` and `audit.rs`: a token that is called
    // revoked and is not, a change that no other node hears of, one without its row in the audit log.
    fn a_change_that_is_left_out_is_no_change_and_told_as_an_error(database) {
        with_store(&database, async |store| {
            let by = Principal::command("test");
            let now = gristmill::clock::now();
            let user = store.create_user("a@example.com", now, &by, WAIT).await.expect("made").expect("the first");
            let new = NewToken { user_id: user.id, name: "t".to_owned(), scopes: Scopes::all(), expires_at: None };
            let (token, _) = store.create_token(new.clone(), now, &by, WAIT).await.expect("made");
            for (table, statement) in [("api_tokens", "UPDATE"), ("auth_changes", "UPDATE"), ("audit", "INSERT")] {
                suppress(&database, table, statement, "1 = 1");
                assert_left_out(table, store.revoke_token(token.id, now, &by, WAIT).await);
                assert_left_out(table, store.rotate_token(token.id, WAIT, now, &by, WAIT).await);
                end_suppression(&database, table);
            }
            for (table, statement) in [("users", "UPDATE"), ("auth_changes", "UPDATE"), ("audit", "INSERT")] {
                suppress(&database, table, statement, "1 = 1");
                assert_left_out(table, store.set_user_disabled(user.id, true, &by, WAIT).await);
                end_suppression(&database, table);
            }
            for (table, statement) in [("control_changes", "UPDATE"), ("controls", "UPDATE"), ("audit", "INSERT")] {
                suppress(&database, table, statement, "1 = 1");
                let change = store.change_controls(Target::Pool(ActorKind::Validator), ControlChange::Pause, by.clone(), WAIT);
                assert_left_out(table, change.await);
                end_suppression(&database, table);
            }
            suppress(&database, "id_blocks", "INSERT", "1 = 1");
            assert_left_out("id_blocks", store.reserve_ids(Uuid::new_v4(), 10, 0, WAIT).await);
            end_suppression(&database, "id_blocks");
            let changed = "SELECT COUNT(*) FROM audit WHERE action NOT IN ('user_created', 'token_created')";
            assert_eq!(number(&database, changed), 0, "half of a change was kept");
            assert!(store.revoke_token(token.id, now, &by, WAIT).await.expect("revoked"));
            assert!(!store.revoke_token(token.id, now, &by, WAIT).await.expect("it is revoked already"));
            assert!(!store.revoke_token(999, now, &by, WAIT).await.expect("there is none"));
        });
    }

    // Guards the condition in `counts::insert_sql` on the short way, and `missing` in `inserts::insert` on the long one.
    fn a_flush_of_which_rows_are_left_out_is_not_stored(database) {
        with_store(&database, async |store| {
            suppress(&database, "events", "INSERT", "NEW.event_name = 'dropped'");
            for key in ["", "key"] {
                for names in [&["dropped"][..], &["a", "dropped", "b"], &["dropped", "a", "b", "c", "dropped"]] {
                    let records = (1..).zip(names).map(|(id, name)| (id, name, format!("{key}-{id}")));
                    let uid = |uid: String| if key.is_empty() { String::new() } else { uid };
                    let records = records.map(|(id, name, key)| processed(plain(id, name, &uid(key)))).collect();
                    let left_out = names.iter().filter(|name| **name == "dropped").count();
                    assert_unwritten(try_flush(&store, records).await, left_out);
                    assert_empty(&database);
                }
            }
        });
    }

    // Guards the last line of `keys::take_all`: an event without its key would be stored again when it is sent again.
    fn a_key_that_is_left_out_stores_no_event(database) {
        with_store(&database, async |store| {
            suppress(&database, "dedupe_keys", "INSERT", "NEW.key = 'dropped'");
            let records = vec![processed(plain(1, "a", "kept")), processed(plain(2, "b", "dropped"))];
            assert_unwritten(try_flush(&store, records).await, 1);
            assert_empty(&database);
        });
    }

    // Guards `orphaned` in `keys::take_all`.
    fn a_key_whose_event_is_gone_is_free(database) {
        with_store(&database, async |store| {
            flush(&store, vec![processed(plain(1, "a", "key")), processed(plain(2, "b", "other"))]).await;
            execute(&database, "DELETE FROM events WHERE id = 1");
            let written = flush(&store, vec![processed(plain(3, "a", "key")), processed(plain(4, "b", "other"))]).await;
            assert!(matches!(&written[..], [Written::Stored, Written::Duplicate(first)] if first.id == 2), "{written:?}");
            let again = flush(&store, vec![processed(plain(5, "a", "key"))]).await;
            assert!(matches!(&again[..], [Written::Duplicate(first)] if first.id == 3), "{again:?}");
        });
    }

    // Guards `is_leased_as` in `claimed::update`: the event would be called fenced, and its outcome forgotten.
    fn an_outcome_that_is_left_out_is_not_taken_for_a_late_one(database) {
        with_store(&database, async |store| {
            flush(&store, vec![deferred(plain(1, "a", "")), deferred(plain(2, "b", ""))]).await;
            let claimed = claim(&store, Uuid::new_v4(), ClaimTarget::Waiting).await;
            suppress(&database, "events", "UPDATE", "NEW.status = 'processed' AND NEW.id = 2");
            let outcomes: Vec<_> =
                claimed.into_iter().map(|claimed| under(claimed.lease_token, processed(claimed.event))).collect();
            assert_unwritten(try_flush(&store, outcomes.clone()).await, 1);
            assert_eq!(number(&database, "SELECT COUNT(*) FROM events WHERE status = 'pending'"), 2);
            end_suppression(&database, "events");
            assert_eq!(flush(&store, outcomes).await, [Written::Stored, Written::Stored]);
        });
    }

    // Guards `all_written` in `replay/rows.rs`: the balance would take back, or count, what did not change.
    fn a_replay_or_a_cancellation_that_is_left_out_changes_and_counts_nothing(database) {
        with_store(&database, async |store| {
            let by = Principal::command("test");
            flush(&store, vec![processed(plain(1, "a", "")), deferred(plain(2, "b", ""))]).await;
            for (table, statement) in [("events", "UPDATE"), ("replays", "INSERT")] {
                suppress(&database, table, statement, "1 = 1");
                let ids = vec![1, 2];
                let replay = Replay { ids, visible_to: None, is_forced: true, patch: None, by: by.clone() };
                let order = ClaimOrder { boot_id: Uuid::new_v4(), limit: 2, bytes: 1 << 20, lease: WAIT };
                let reopened = store.reopen(replay, RULES, order, WAIT).await.map(|reopened| reopened.claimed.len());
                let cancelled = store.cancel(2, None, &by, WAIT).await.map(usize::from);
                for changed in [reopened, cancelled] {
                    let error = changed.expect_err("rows are left out");
                    assert!(error.to_string().contains("left out") && !error.is_transient(), "{table}: {error}");
                }
                end_suppression(&database, table);
            }
            assert_eq!(number(&database, "SELECT COUNT(*) FROM replays"), 0);
            assert_eq!(number(&database, "SELECT COUNT(*) FROM flushes"), 1, "what did not change was counted");
            assert_eq!(number(&database, "SELECT COUNT(*) FROM events WHERE lease_boot IS NULL AND generation = 0"), 2);
        });
    }

    // Guards `Ended::Refused` and the condition in `Round::end`: 503, a line, not ready, and all well afterwards.
    fn while_every_row_is_left_out_nobody_is_told_that_it_is_stored(database) {
        let mut server = without_spool(&database);
        let client = server.client();
        posted(&client, "warm");
        suppress(&database, "events", "INSERT", "NEW.id > 0");
        for uid in ["", "key"] {
            assert_not_stored(&post(&client, "page_view", uid));
        }
        assert_eq!(number(&database, "SELECT COUNT(*) FROM events"), 1);
        assert_eq!(number(&database, "SELECT COUNT(*) FROM dedupe_keys"), 0);
        super::await_lines(&server, "writing events fails", 1);
        assert!(server.log().contains("left out 1 of 1 rows of events"), "{}", server.log());
        end_suppression(&database, "events");
        let taken = || Some(post(&client, "page_view", "key")).filter(|answer| answer.status == 202);
        finished(&client, id_of(&wait_for("events to be taken", SOON, taken, || server.log())));
        super::await_lines(&server, "writing events works again", 1);
    }

    // Guards `Round::judge`: who is left out alone is refused alone.
    fn an_event_that_is_left_out_costs_its_neighbours_nothing(database) {
        let mut server = without_spool(&database);
        let client = server.client();
        posted(&client, "warm");
        suppress(&database, "events", "INSERT", "NEW.event_name = 'dropped'");
        let names = (0..32).map(|n| if n % 8 == 3 { "dropped".to_owned() } else { format!("good_{n}") });
        let bodies: Vec<String> = names.map(|name| super::body(&name, "")).collect();
        for (n, answer) in super::units::post_at_once(&mut server, &bodies).iter().enumerate() {
            if n % 8 == 3 {
                assert_not_stored(answer);
            } else {
                assert_eq!(finished(&client, id_of(answer))["status"], "processed");
            }
        }
        assert_eq!(number(&database, "SELECT COUNT(*) FROM events"), 1 + 28);
        assert!(!server.log().contains("writing events fails"), "one event is no outage\n{}", server.log());
    }
}
