//! Pools that grow and shrink, and a line that is rebuilt, under load: nothing is lost, doubled or charged.

use serde_json::{Value, json};

use super::{QUICK, assert_undisturbed, rule, stages};
use crate::support::database::Database;
use crate::support::events::{accepted, event, finished};
use crate::support::http::{Answer, Client};
use crate::support::load::Load;
use crate::support::server::{Server, Setup};
use crate::support::wait::{SOON, wait_for};

fn resize(client: &Client, pool: &str, size: u32) -> Answer {
    client.post_json(&format!("/api/pipeline/pools/{pool}"), &json!({"size": size}))
}

fn pipeline(server: &mut Server) -> Value {
    server.dashboard().get("/api/pipeline").json()
}

fn actors<'a>(view: &'a Value, pool: &str) -> Vec<&'a Value> {
    let pools = view["pools"].as_array().expect("a list");
    let pool = pools.iter().find(|found| found["name"] == pool).expect("the pool is there");
    pool["actors"].as_array().expect("a list").iter().collect()
}

fn wait_for_more(load: &Load, server: &Server) {
    let enough = load.acknowledged() + 200;
    let is_enough = || (load.acknowledged() >= enough).then_some(());
    wait_for("acknowledgements under load", SOON, is_enough, || server.log());
}

/// Stops the load, and asserts that every event of it was stored once, at its first attempt.
fn assert_kept(load: Load, server: &mut Server) {
    load.stop().verify(&server.client(), server.database());
    let charged = "SELECT CAST(id AS TEXT) FROM events WHERE event_name = 'page_view' AND attempts <> 1";
    assert_eq!(server.database().texts(charged), Vec::<String>::new());
    assert_eq!(pipeline(server)["in_flight"], json!({"events": 0, "bytes": 0}));
}

fn restart_count(database: &Database) -> usize {
    database.texts("SELECT CAST(event_id AS TEXT) FROM attempts WHERE error_code = 'worker_lost'").len()
}

both_databases! {
    fn pools_shrink_and_grow_under_load_and_lose_nothing(database) {
        let sizes = "actors.validators = 4\nactors.normalizers = 4\nactors.persisters = 4";
        let mut server = Server::start(Setup::new(&database).with_config(sizes));
        let token = server.token();
        let load = Load::start(server.ports(), &token, 4);
        let operations = server.dashboard();
        for size in [1, 4, 2, 1, 4] {
            wait_for_more(&load, &server);
            for (_, pool) in stages() {
                let answer = resize(&operations, pool, size);
                assert_eq!((answer.status, &answer.json()["name"]), (200, &json!(pool)), "{answer:?}");
            }
            let is_done = || {
                let view = pipeline(&mut server);
                let right = |pool: &str| {
                    let actors = actors(&view, pool);
                    actors.len() == size as usize && actors.iter().all(|actor| actor["state"] == "running")
                };
                stages().all(|(_, pool)| right(pool)).then_some(())
            };
            wait_for("the pools to have their size", SOON, is_done, String::new);
        }
        wait_for_more(&load, &server);
        assert_kept(load, &mut server);
    }

    fn a_line_rebuilt_under_load_loses_nothing(database) {
        let config = "actors.max_restarts = 2\nactors.restart_backoff = \"10ms\"";
        let setup =
            Setup::new(&database).with_config(QUICK).with_config(config).with_config(&rule("normalizer", "killer", "crash", 3));
        let mut server = Server::start(setup);
        let token = server.token();
        let client = server.client();
        let load = Load::start(server.ports(), &token, 4);
        wait_for_more(&load, &server);
        let id = accepted(&client, &event("killer"));
        assert_eq!(finished(&client, id)["attempts"], 4);
        assert_eq!(restart_count(server.database()), 3);
        let is_rebuilt = || (pipeline(&mut server)["generation"] == 2).then_some(());
        wait_for("the line to be rebuilt", SOON, is_rebuilt, String::new);
        wait_for_more(&load, &server);
        assert_kept(load, &mut server);
        let id = accepted(&client, &event("after"));
        assert_undisturbed(&client, &[id]);
    }
}
