//! What can be done to a scene: each disturbance begins, lasts, and ends.

use std::time::Duration;

use super::scene::Scene;
use super::trial::Trial;
use crate::support::dice::Dice;
use crate::support::proxy::Way;
use crate::support::run;
use crate::support::session::Session;
use crate::support::wait::{rest, within};

/// Something that goes wrong for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disturbance {
    /// `kill -9` of the server.
    ServerKilled,
    /// `pg_ctl stop -m immediate`.
    DatabaseStopped,
    /// `kill -9` of the postmaster.
    DatabaseKilled,
    /// `kill -9` of one session's process: PostgreSQL restarts by itself.
    SessionKilled,
    /// SIGSTOP of all of PostgreSQL.
    DatabaseFrozen,
    /// Somebody holds the table of events.
    TableLocked,
    /// The network takes everything and forwards nothing.
    Swallowed,
    /// The network is cut.
    Cut,
    /// The network takes 100 ms each way.
    Slow,
    /// Every connection is reset.
    Reset,
}

/// Those that happen to PostgreSQL.
const OF_DATABASE: [Disturbance; 5] = [
    Disturbance::DatabaseStopped,
    Disturbance::DatabaseKilled,
    Disturbance::SessionKilled,
    Disturbance::DatabaseFrozen,
    Disturbance::TableLocked,
];

/// Those that happen on the wire.
const OF_NETWORK: [Disturbance; 4] = [Disturbance::Swallowed, Disturbance::Cut, Disturbance::Slow, Disturbance::Reset];

/// One way through the network when it is slow.
const DELAY: Duration = Duration::from_millis(100);

/// The processes of the service's sessions.
pub const SESSIONS: &str = "SELECT pid FROM pg_stat_activity WHERE application_name = 'gristmill'";

impl Disturbance {
    /// Two at a time: one of the wire and one of a process, or the server's own end and one of the database.
    pub fn pair(dice: &mut Dice) -> [Self; 2] {
        let processes = [&[Self::ServerKilled], &OF_DATABASE[..]].concat();
        match dice.below(3) {
            0 => [Self::ServerKilled, dice.one_of(&OF_DATABASE)],
            _ => [dice.one_of(&processes), dice.one_of(&OF_NETWORK)],
        }
    }

    /// Begins it.
    pub fn begin(self, scene: &mut Scene) {
        match self {
            Self::ServerKilled => scene.server.kill9(),
            Self::DatabaseStopped => scene.cluster.stop_immediate(),
            Self::DatabaseKilled => scene.cluster.kill_postmaster(),
            Self::SessionKilled => {
                // PostgreSQL may still recover from the last time; a server that was killed has no session left.
                let session =
                    || scene.cluster.try_sql("postgres", &format!("{SESSIONS} LIMIT 1")).ok()?.trim().parse().ok();
                if let Some(pid) = within(Duration::from_secs(3), session) {
                    run::try_signal(pid, "KILL");
                }
            }
            Self::DatabaseFrozen => scene.cluster.freeze(),
            Self::TableLocked => scene.lock = Some(Session::lock_events(&scene.database)),
            Self::Swallowed => scene.proxy.set(Way::Swallow),
            Self::Cut => scene.proxy.refuse(),
            Self::Slow => scene.proxy.set(Way::Delay(DELAY)),
            Self::Reset => scene.proxy.reset(),
        }
    }

    /// Ends it; the server can only come up when all others have ended.
    pub fn end(self, scene: &mut Scene) {
        match self {
            Self::ServerKilled => scene.server.restart(),
            Self::DatabaseStopped | Self::DatabaseKilled => scene.cluster.start_again(),
            Self::SessionKilled | Self::Reset => {}
            Self::DatabaseFrozen => scene.cluster.thaw(),
            Self::TableLocked => drop(scene.lock.take().map(Session::commit)),
            Self::Swallowed | Self::Cut | Self::Slow => scene.proxy.restore(),
        }
    }

    /// Begins it, lets it last, ends it and waits for the recovery.
    pub fn happen(self, scene: &mut Scene, trial: &mut Trial, length: Duration) {
        self.begin(scene);
        rest(length);
        self.end(scene);
        scene.recover(trial);
    }
}
