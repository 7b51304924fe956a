//! The spool by itself: units come back whole and in order, and are here until they are removed.

use std::sync::Arc;
use std::time::Duration;

use gristmill::domain::event::Event;
use gristmill::domain::submission::Submission;
use gristmill::store::{OpenedSpool, Spool, SpoolLimits};

use crate::support::run;

const WAIT: Duration = Duration::from_secs(20);

const LIMITS: SpoolLimits = SpoolLimits { bytes_max: 1 << 20, age_max: Duration::from_secs(3_600) };

fn event(id: i64) -> Arc<Event> {
    let body = format!(r#"{{"event_name":"a","event_type":"b","payload":{{"id" : {id}.50}}}}"#);
    let submission = Submission::read(&body.into()).expect("a readable event");
    Arc::new(Event::new(id, 7, submission, None, gristmill::clock::now()))
}

async fn open(folder: &std::path::Path) -> Spool {
    let opened = Spool::open(folder, "database-a", LIMITS, tokio::runtime::Handle::current()).await;
    let OpenedSpool { spool, set_aside } = opened.expect("it opens");
    assert_eq!(set_aside, None);
    spool
}

fn within(work: impl AsyncFnOnce(std::path::PathBuf)) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    runtime.expect("a runtime starts").block_on(work(run::folder("spool")));
}

#[test]
fn units_come_back_whole_in_order_and_within_bounds() {
    within(async |folder| {
        let spool = open(&folder).await;
        spool
            .append(vec![vec![event(1)], vec![event(9), event(8), event(7)], vec![event(2)]], WAIT)
            .await
            .expect("room");
        let head = async |events, bytes| {
            let units = spool.head(0, events, bytes, WAIT).await.expect("it can be read");
            units.into_iter().map(|unit| unit.events.iter().map(|event| event.id).collect()).collect::<Vec<Vec<i64>>>()
        };
        assert_eq!(head(100, 1 << 20).await, [vec![1], vec![9, 8, 7], vec![2]]);
        assert_eq!(head(3, 1 << 20).await, [vec![1]], "a unit is not split");
        assert_eq!(head(1, 1).await, [vec![1]], "one comes in any case");
        let units = spool.head(0, 100, 1 << 20, WAIT).await.expect("it can be read");
        assert_eq!(units[1].events[0].payload().expect("a payload").as_str(), r#"{"id" : 9.50}"#);
        spool.park(units[0].number, "no reason".to_owned(), WAIT).await.expect("it can be changed");
        assert_eq!(head(100, 1 << 20).await, [vec![9, 8, 7], vec![2]], "what is parked holds up nothing");
        spool.remove(vec![units[1].number], WAIT).await.expect("it can be changed");
        let level = spool.level();
        assert_eq!((level.events, level.parked), (1, 1));
        assert_eq!(spool.find(8, WAIT).await.expect("it can be read"), None);
        assert_eq!(spool.find(2, WAIT).await.expect("it can be read").map(|event| event.id), Some(2));
    });
}

// Guards `CASE WHEN body = excluded.body` in `rows::append`.
#[test]
fn an_event_is_taken_again_but_no_other_one_under_its_id() {
    within(async |folder| {
        let spool = open(&folder).await;
        let first = event(1);
        spool.append(vec![vec![first.clone()]], WAIT).await.expect("room");
        spool.append(vec![vec![first.clone()]], WAIT).await.expect("it is the same event");
        let error = spool.append(vec![vec![event(2)], vec![event(1)]], WAIT).await.expect_err("its id is taken");
        assert_eq!(error.outcome, gristmill::store::StoreOutcome::NotStored, "{error}");
        assert_eq!(spool.find(1, WAIT).await.expect("it can be read").as_ref(), Some(&*first));
        assert_eq!(spool.find(2, WAIT).await.expect("it can be read"), None, "all or none");
    });
}

// Guards `deaths::count`, `least` and `end_all`.
#[test]
fn units_of_which_a_process_died_come_last_and_alone() {
    within(async |folder| {
        let spool = open(&folder).await;
        spool.append(vec![vec![event(1)], vec![event(2)], vec![event(3)]], WAIT).await.expect("room");
        let numbers: Vec<i64> = heads(&spool).await.iter().map(|unit| unit.number).collect();
        spool.begin(numbers[..2].to_vec(), WAIT).await.expect("it can be changed");
        spool.end(vec![numbers[0]], WAIT).await.expect("it can be changed");
        // What is at work when the file is closed in order is none of it.
        let copy = folder.join("died");
        std::fs::create_dir(&copy).expect("a folder");
        for file in ["spool.db", "spool.db-wal"] {
            std::fs::copy(folder.join(file), copy.join(file)).expect("a copy");
        }
        spool.close().await;
        assert!(heads(&open(&folder).await).await.iter().all(|unit| unit.deaths == 0));
        let spool = open(&copy).await;
        let ids = async || -> Vec<i64> { heads(&spool).await.iter().map(|unit| unit.events[0].id).collect() };
        assert_eq!(ids().await, [1, 3]);
        spool.remove(vec![numbers[0], numbers[2]], WAIT).await.expect("it can be changed");
        assert_eq!(heads(&spool).await.iter().map(|unit| unit.deaths).collect::<Vec<_>>(), [1]);
        assert_eq!(ids().await, [2]);
    });
}

async fn heads(spool: &Spool) -> Vec<gristmill::store::SpooledUnit> {
    spool.head(0, 100, 1 << 20, WAIT).await.expect("it can be read")
}

// Guards the numbers that are never used again (`next_number`).
#[test]
fn a_removal_that_is_repeated_removes_nothing_younger() {
    within(async |folder| {
        let spool = open(&folder).await;
        spool.append(vec![vec![event(1)]], WAIT).await.expect("room");
        let number = spool.head(0, 1, 1, WAIT).await.expect("it can be read")[0].number;
        spool.remove(vec![number], WAIT).await.expect("it can be changed");
        spool.append(vec![vec![event(2)]], WAIT).await.expect("room");
        spool.remove(vec![number], WAIT).await.expect("it can be changed");
        assert_eq!(spool.level().events, 1);
    });
}

#[test]
fn what_was_appended_is_there_after_the_file_is_opened_again_and_only_for_its_database() {
    within(async |folder| {
        let spool = open(&folder).await;
        spool.append(vec![vec![event(1), event(2)]], WAIT).await.expect("room");
        let before = spool.level();
        spool.close().await;
        let spool = open(&folder).await;
        assert_eq!((spool.level().events, spool.level().bytes), (before.events, before.bytes));
        assert_eq!(spool.verify(WAIT).await.expect("it can be read"), Vec::<i64>::new());
        let runtime = tokio::runtime::Handle::current();
        let other = Spool::open(&folder, "database-b", LIMITS, runtime).await.expect_err("another database's");
        assert!(other.to_string().contains("holds events of another database"), "{other}");
    });
}

#[test]
fn a_spool_over_its_bounds_refuses() {
    within(async |folder| {
        let spool = open(&folder).await;
        let units = (1..=3_000).map(|id| vec![event(id)]).collect();
        spool.append(units, WAIT).await.expect("the last unit may pass the bound");
        let refused = spool.append(vec![vec![event(9_999)]], WAIT).await.expect_err("over its bound");
        assert!(refused.to_string().contains("limit 1048576"), "{refused}");
        assert_eq!(spool.level().events, 3_000);
    });
}
