//! Row 21: a node that holds claims is cut off from everything, and comes back.

use std::time::{Duration, Instant};

use super::super::kills::await_more;
use super::super::trial::{LEASE, Trial};
use super::probe::Probe;
use crate::support::database::Database;
use crate::support::load::{Load, Plan};
use crate::support::machine::network::Island;
use crate::support::postgres::Cluster;
use crate::support::run;
use crate::support::server::{Server, Setup};
use crate::support::wait::{SOON, rest, wait_for, within};
use crate::support::wire::Connection;

/// Events that the node holds when it is cut off; each keeps a normalizer of its own busy.
const HELD: usize = 3;

/// Their first attempt fails, so that they are claimed for the second, which lasts longer than the node is away.
const STALL: Duration = Duration::from_secs(8);

/// How long the take-over may take beyond the lease, twice that since the machine may be busy.
const TAKE_OVER: Duration = Duration::from_secs(2 * (2 + 5));

/// Two leases of silence: the other node takes over, and what the first one writes late changes nothing.
pub fn cut_off_with_claims(trial: &mut Trial) {
    let island = Island::new();
    let cluster = Cluster::start_listening_on(island.shore());
    let database = trial.fresh_database_in(&cluster);
    let mut stayed = Server::start(trial.setup(&database));
    let token = stayed.token();
    let mut lost = Server::start(on_island(trial, &island, &cluster, &database));
    lost.share_token(&token);
    // Both would race for the second attempts.
    run::signal(stayed.pid(), "STOP");
    let mut probe = Probe::new(lost.client());
    let held: Vec<i64> = (0..HELD).map(|_| probe.post().json()["event_id"].as_i64().expect("accepted")).collect();
    let held = held.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    await_claims(&database, &held, &lost);
    run::signal(stayed.pid(), "CONT");
    let plan = Plan::new(stayed.ports(), &token, 4).and_to(lost.ports()).keyless(2);
    let load = Load::of(plan.with_deadline(Duration::from_secs(5)));
    await_more(&load, 50, &stayed);

    island.unplug();
    let began = Instant::now();
    let done = format!("SELECT CAST(COUNT(*) AS TEXT) FROM events WHERE id IN ({held}) AND status = 'processed'");
    let taken_over = || (database.texts(&done) == [HELD.to_string()]).then_some(());
    wait_for("the take-over", TAKE_OVER, taken_over, || stayed.log_tail());
    trial.recovered_in(began.elapsed());
    rest((2 * LEASE).saturating_sub(began.elapsed()));
    let finals = rows(&database, &held);
    island.plug_in();

    // Not each of them: one that never reached the database while the connections healed is not there to be rejected.
    let stale = within(SOON, || stale_writes(&mut lost).filter(|count| *count > 0));
    trial.expect(stale.is_some(), || format!("no late write was counted: {:?}", stale_writes(&mut lost)));
    trial.expect(rows(&database, &held) == finals, || format!("late writes changed {finals:?}"));
    await_more(&load, 50, &stayed);
    trial.judge(&database, &mut [&mut stayed, &mut lost], &probe.added_to(&load.stop()));
}

/// A node on the island, where the first attempts at events fail and the second ones take long.
fn on_island(trial: &Trial, island: &Island, cluster: &Cluster, database: &Database) -> Setup {
    let name = database.url().rsplit('/').next().expect("a URL ends in a name");
    let url = cluster.url_at(island.shore(), name);
    let inside = island.inside();
    let config = format!(
        "http.bind = \"{inside}:0\"\ndashboard.bind = \"{inside}:0\"\ndatabase.url = {url:?}\nactors.normalizers = {HELD}\n\
         [[faults]]\nstage = \"validator\"\naction = \"error\"\ntimes = {HELD}\n\
         [[faults]]\nstage = \"normalizer\"\naction = \"stall\"\nduration = \"{}ms\"\ntimes = {HELD}",
        STALL.as_millis()
    );
    trial.setup(database).with_config(&config).with_wrapper(island.wrapper())
}

fn await_claims(database: &Database, held: &str, server: &Server) {
    let sql = format!(
        "SELECT CAST(COUNT(*) AS TEXT) FROM events WHERE id IN ({held}) AND lease_boot IS NOT NULL AND attempts = 1"
    );
    let claimed = || (database.texts(&sql) == [HELD.to_string()]).then_some(());
    wait_for("the claims", SOON, claimed, || format!("{:?}\n{}", rows(database, held), server.log_tail()));
}

fn rows(database: &Database, ids: &str) -> Vec<String> {
    database.texts(&format!(
        "SELECT CAST(id AS TEXT) || ' ' || status || ' after ' || CAST(attempts AS TEXT) || ' at ' || \
         COALESCE(CAST(processed_at AS TEXT), 'no time') FROM events WHERE id IN ({ids}) ORDER BY id"
    ))
}

/// What the node counts; `None` while it cannot be reached.
fn stale_writes(server: &mut Server) -> Option<u64> {
    let token = server.token();
    let mut connection = Connection::open(server.ports().dashboard()?).ok()?;
    let request = format!(
        "GET /api/pipeline HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
    );
    connection.send(request.as_bytes()).ok()?;
    connection.answer().ok()?.json()["stale_writes_rejected"].as_u64()
}
