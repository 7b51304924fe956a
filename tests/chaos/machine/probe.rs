//! Single events posted by hand during a fault; the verdict counts them like those of a load.

use crate::support::http::{Answer, Client};
use crate::support::ledger::{Entry, Ledger};
use crate::support::load::{body, note};
use crate::support::run;
use crate::support::server::Server;
use crate::support::wait::{SOON, within};

/// A client that keeps account of what it posts.
pub struct Probe {
    client: Client,
    entries: Vec<Entry>,
}

impl Probe {
    /// Posts as this client does.
    pub fn new(client: Client) -> Self {
        Self { client, entries: Vec::new() }
    }

    /// Posts a new event.
    pub fn post(&mut self) -> Answer {
        self.post_to(&self.client.clone())
    }

    /// Posts a new event through another client.
    pub fn post_to(&mut self, client: &Client) -> Answer {
        let mut entry = Entry::sent(format!("load-probe-{}", run::number()), true);
        let answer = client.post_text("/api/v1/events", &body(&entry.key));
        note(&mut entry, &answer);
        self.entries.push(entry);
        answer
    }

    /// Posts as this client does from now on: the server was restarted.
    pub fn follow(&mut self, client: Client) {
        self.client = client;
    }

    /// Posts the last event once more, through another client.
    pub fn post_again_to(&self, client: &Client) -> Answer {
        let last = self.entries.last().expect("an event was posted");
        client.post_text("/api/v1/events", &body(&last.key))
    }

    /// Posts until an answer has this status.
    pub fn await_status(&mut self, status: u16, server: &Server) -> Answer {
        self.await_answer(server, |answer| answer.status == status)
    }

    /// Posts until an answer is as it is wanted.
    pub fn await_answer(&mut self, server: &Server, is_wanted: impl Fn(&Answer) -> bool) -> Answer {
        let mut last = None;
        let mut told = || is_wanted(last.insert(self.post()));
        let came = within(SOON, || told().then_some(()));
        let last = last.expect("it was posted at least once");
        assert!(came.is_some(), "no answer is as expected; the last one: {last:?}\n{}", server.log_tail());
        last
    }

    /// The ledger of a load with these events in it.
    pub fn added_to(self, ledger: &Ledger) -> Ledger {
        Ledger::new(ledger.entries().iter().cloned().chain(self.entries).collect())
    }
}
