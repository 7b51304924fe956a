//! The page of `GET /metrics`: what facts have counted, and what is looked at only when it is scraped.

use std::time::Duration;

use super::metrics::{Exposition, catalogue, write_process};

/// The media type of the page.
pub const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What is looked at for one scrape. What could not be learnt is left out of the page.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures {
    /// Kind of the database.
    pub database: &'static str,
    /// Whether an event that is posted now would be accepted durably.
    pub is_ready: bool,
    /// Whether the last heartbeat reached the database.
    pub is_database_up: bool,
    /// How long this node has not been able to claim; zero if it can.
    pub claims_fail_for: Duration,
    /// The line, if its Supervisor answered.
    pub line: Option<LineFigures>,
    /// What this node has accepted and the database has not, once that is known.
    pub spool: Option<SpoolFigures>,
    /// What waits in the database, if it answered.
    pub backlog: Option<BacklogFigures>,
    /// Connections to the database.
    pub connections: Vec<ConnectionFigures>,
}

/// The line of actors.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LineFigures {
    /// How often it was built.
    pub generation: u64,
    /// Actors by kind.
    pub actors: Vec<ActorFigures>,
    /// Events between admission and the answer, and the most that there may be.
    pub events: (usize, usize),
    /// Their bytes, and the most.
    pub bytes: (usize, usize),
    /// Events that wait for a timer.
    pub retries_waiting: usize,
    /// Events that are claimed.
    pub claims_held: usize,
}

/// The actors of one kind.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ActorFigures {
    /// The kind.
    pub stage: &'static str,
    /// How many run.
    pub running: usize,
    /// Messages that wait at all of them.
    pub mailbox: usize,
}

/// The spool of the node; all zero where there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SpoolFigures {
    /// Events that wait.
    pub events: u64,
    /// Their bytes, and the most that there may be.
    pub bytes: (u64, u64),
    /// Events set apart.
    pub parked: u64,
    /// Age of the oldest that waits.
    pub oldest: Duration,
}

/// Pending events of all nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct BacklogFigures {
    /// How many.
    pub events: u64,
    /// Age of the oldest.
    pub oldest: Duration,
}

/// A pool of connections.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ConnectionFigures {
    /// What it is for.
    pub pool: &'static str,
    /// Open ones that work.
    pub used: u64,
    /// Open ones that wait for work.
    pub idle: u64,
    /// The most that there may be.
    pub most: u64,
}

/// The page.
pub fn page(figures: &Figures) -> String {
    let mut page = Exposition::default();
    write_node(&mut page, figures);
    if let Some(line) = &figures.line {
        write_line(&mut page, line);
    }
    if let Some(spool) = figures.spool {
        write_spool(&mut page, spool);
    }
    if let Some(BacklogFigures { events, oldest }) = figures.backlog {
        page.gauge("gristmill_pending_events", "Pending events in the database, of all nodes.", events as f64);
        let help = "Age of the oldest pending event since it was received; 0 if there is none.";
        page.gauge("gristmill_pending_oldest_age_seconds", help, oldest.as_secs_f64());
    }
    write_connections(&mut page, &figures.connections);
    catalogue::write_all(&mut page);
    write_process(&mut page);
    page.into_text()
}

fn write_node(page: &mut Exposition, figures: &Figures) {
    let help = "1, with the version and the kind of the database.";
    let labels = [env!("CARGO_PKG_VERSION"), figures.database];
    page.gauges("gristmill_build_info", help, ["version", "database"], [(labels, 1.0)]);
    let help = "1 if an event that is posted now can be stored durably, as /health/ready says.";
    page.gauge("gristmill_ready", help, f64::from(figures.is_ready));
    let help = "1 if the last heartbeat reached the database, which is at most some seconds ago.";
    page.gauge("gristmill_database_up", help, f64::from(figures.is_database_up));
    let help = "How long this node has failed to claim pending events; 0 if it can.";
    page.gauge("gristmill_claims_failing_seconds", help, figures.claims_fail_for.as_secs_f64());
}

fn write_line(page: &mut Exposition, line: &LineFigures) {
    page.gauge("gristmill_line_generation", "How often the line of actors was built.", line.generation as f64);
    page.gauge("gristmill_in_flight_events", "Events between the door and the answer.", line.events.0 as f64);
    page.gauge("gristmill_in_flight_events_limit", "Above it requests get 503.", line.events.1 as f64);
    page.gauge("gristmill_in_flight_bytes", "Bytes of bodies and events in flight.", line.bytes.0 as f64);
    page.gauge("gristmill_in_flight_bytes_limit", "Above it requests get 503.", line.bytes.1 as f64);
    page.gauge(
        "gristmill_retries_waiting_events",
        "Events that wait for a timer of this node.",
        line.retries_waiting as f64,
    );
    page.gauge(
        "gristmill_claims_held_events",
        "Events of the database that this node has claimed.",
        line.claims_held as f64,
    );
    let running = line.actors.iter().map(|actors| ([actors.stage], actors.running as f64));
    page.gauges("gristmill_actors", "Actors that run, by kind.", ["stage"], running);
    let mailbox = line.actors.iter().map(|actors| ([actors.stage], actors.mailbox as f64));
    page.gauges("gristmill_mailbox_messages", "Messages that wait at actors, by kind.", ["stage"], mailbox);
}

fn write_spool(page: &mut Exposition, spool: SpoolFigures) {
    page.gauge("gristmill_spool_events", "Events that wait in the spool of this node.", spool.events as f64);
    page.gauge("gristmill_spool_bytes", "Bytes of all events in the spool, parked ones too.", spool.bytes.0 as f64);
    page.gauge(
        "gristmill_spool_bytes_limit",
        "At this size the spool takes no more; 0 without one.",
        spool.bytes.1 as f64,
    );
    page.gauge("gristmill_spool_parked_events", "Events of the spool that were set apart.", spool.parked as f64);
    let help = "Age of the oldest event that waits in the spool; 0 if there is none.";
    page.gauge("gristmill_spool_oldest_age_seconds", help, spool.oldest.as_secs_f64());
}

fn write_connections(page: &mut Exposition, pools: &[ConnectionFigures]) {
    let of =
        |pool: &ConnectionFigures| [([pool.pool, "used"], pool.used as f64), ([pool.pool, "idle"], pool.idle as f64)];
    let help = "Open connections to the database, by pool and state.";
    page.gauges("gristmill_database_connections", help, ["pool", "state"], pools.iter().flat_map(of));
    let most = pools.iter().map(|pool| ([pool.pool], pool.most as f64));
    page.gauges("gristmill_database_connections_limit", "Most connections of each pool.", ["pool"], most);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_not_be_learnt_is_left_out_and_the_rest_is_there() {
        let text = page(&Figures::default());
        assert!(
            text.contains("gristmill_database_up 0\n") && text.contains("gristmill_events_received_total"),
            "{text}"
        );
        assert!(!text.contains("gristmill_pending_events") && !text.contains("gristmill_in_flight"), "{text}");
        let backlog = Some(BacklogFigures { events: 3, oldest: Duration::from_millis(1_500) });
        let text = page(&Figures { backlog, line: Some(LineFigures::default()), ..Figures::default() });
        assert!(text.contains("gristmill_pending_events 3\n"), "{text}");
        assert!(text.contains("gristmill_pending_oldest_age_seconds 1.5\n"), "{text}");
        assert!(text.contains("gristmill_in_flight_events 0\n"), "{text}");
    }
}
