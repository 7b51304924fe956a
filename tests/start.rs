//! Starting, stopping, and the commands around the server.

mod commands;
mod inspection;
mod output;
mod printing;
mod refusals;
mod stopping;

use std::os::unix::fs::PermissionsExt;
use std::sync::Barrier;

use crate::support::database::Database;
use crate::support::events::{EVENTS, accepted, event, finished};
use crate::support::http::Client;
use crate::support::load::Load;
use crate::support::run;
use crate::support::server::{Server, Setup};
use crate::support::wait::{SOON, wait_for};

// Guards `name_thread`: without it `top -H` shows "actix-rt|system" for each.
#[test]
fn threads_have_the_names_of_what_they_do() {
    let database = Database::sqlite();
    let config = "actors = { validators = 3 }\nhttp = { workers = 2 }";
    let mut server = Server::start(Setup::new(&database).with_config(config));
    accepted(&server.client(), &event("page_view"));
    let one_each = ["normalizer-2", "persister-1", "retry", "claimer", "replayer", "supervisor", "operations-1"];
    for (prefix, count) in [("validator-", 3), ("http-", 2), ("sqlite-writer", 1), ("log", 1)]
        .into_iter()
        .chain(one_each.map(|name| (name, 1)))
    {
        assert_eq!(server.threads(prefix), count, "{prefix}");
    }
}

both_databases! {
    fn the_first_start_makes_an_admin_with_a_token_and_later_ones_say_where_it_is(database) {
        let mut server = Server::start(&database);
        let token = server.token();
        assert!(token.starts_with("gm_") && token.len() == 46, "gm_ and 43 characters, not {}", token.len());
        let file = server.data().join("first-token");
        let mode = std::fs::metadata(&file).expect("the harness read it").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "only its owner may read the token");
        let told = || format!("{}{}", server.printed(), server.log());
        wait_for("a curl line to paste", SOON, || told().contains("curl").then_some(()), told);
        let first = told();
        assert!(first.contains(&token), "the token is printed, this once:\n{first}");
        assert!(first.contains(&server.address().to_string()), "the line has the real address:\n{first}");
        assert!(first.contains("/api/v1/events"), "{first}");
        let client = server.client();
        accepted(&client, &event("page_view"));
        assert_eq!(client.get(EVENTS).status, 200, "the first token reads and writes");
        assert_eq!(server.database().texts("SELECT email FROM users").len(), 1);

        server.kill9();
        let mut server = Server::start(server.setup().clone());
        let later = || format!("{}{}", server.printed(), server.log());
        wait_for("where the token is", SOON, || later().contains("first-token").then_some(()), later);
        assert!(!later().contains(&token), "not the token itself again");
        assert_eq!(server.client().get(EVENTS).status, 200);
        assert_eq!(server.database().texts("SELECT email FROM users").len(), 1);
    }

    fn a_stop_on_sigterm_loses_nothing_and_ends_with_0(database) {
        let mut server = Server::start(&database);
        let token = server.token();
        let load = Load::start(server.ports(), &token, 4);
        wait_for("the load to run", SOON, || (load.acknowledged() > 200).then_some(()), || server.log());
        server.terminate();
        let status = server.wait_exit(SOON);
        assert_eq!(status.code(), Some(0), "{}", server.log());
        server.restart();
        let ledger = load.stop();
        let (_, _, unknown) = ledger.counts();
        // Of each of the four threads: one on its own connection, and one on a new one that nobody took any more.
        assert!(unknown <= 8, "two requests of a thread may meet the closing door, not {unknown} of four");
        ledger.verify(&server.client(), server.database());
    }

    fn an_event_is_there_after_a_stop_and_ids_are_never_given_again(database) {
        let mut server = Server::start(&database);
        let mut last = 0;
        for signal in ["TERM", "INT"] {
            let id = accepted(&server.client(), &event("before"));
            assert!(id > last, "{id} comes after {last}");
            last = id;
            run::signal(server.pid(), signal);
            assert_eq!(server.wait_exit(SOON).code(), Some(0), "SIG{signal}\n{}", server.log());
            server.restart();
            assert_eq!(finished(&server.client(), id)["status"], "processed");
        }
        assert!(accepted(&server.client(), &event("after")) > last);
    }
}

#[test]
fn four_nodes_start_at_once_on_one_empty_database() {
    let database = Database::postgres();
    let barrier = Barrier::new(4);
    let mut servers: Vec<Server> = std::thread::scope(|scope| {
        let start = || {
            let setup = Setup::new(&database);
            barrier.wait();
            Server::start(setup)
        };
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(start)).collect();
        threads.into_iter().map(|thread| thread.join().expect("every node gets ready")).collect()
    });
    assert_eq!(database.texts("SELECT email FROM users").len(), 1, "one of them is the first");
    let holds_token = |server: &&mut Server| server.data().join("first-token").exists();
    let tokens: Vec<String> = servers.iter_mut().filter(holds_token).map(Server::token).collect();
    assert_eq!(tokens.len(), 1, "the token of the one user is told once");
    let mut ids = Vec::new();
    for _ in 0..20 {
        for server in &servers {
            ids.push(accepted(&Client::new(server.address(), Some(&tokens[0])), &event("page_view")));
        }
    }
    let any = Client::new(servers[0].address(), Some(&tokens[0]));
    for id in &ids {
        assert_eq!(finished(&any, *id)["status"], "processed", "every node reads every event");
    }
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 80, "no id is given twice");
    for server in &mut servers {
        server.terminate();
        assert!(server.wait_exit(SOON).success(), "{}", server.log());
    }
}

#[test]
fn health_tells_alive_and_ready_on_both_ports_without_a_token() {
    let server = Server::start(&Database::sqlite());
    let dashboard = server.dashboard();
    let nobody = Client::new(server.address(), None);
    for client in [&nobody, &dashboard] {
        let live = client.get("/health/live");
        assert_eq!((live.status, &live.json()["status"]), (200, &serde_json::json!("live")), "{live:?}");
        let ready = client.get("/health/ready");
        assert_eq!((ready.status, &ready.json()["status"]), (200, &serde_json::json!("ready")), "{ready:?}");
    }
    assert_eq!(dashboard.get("/").status, 200);
}
