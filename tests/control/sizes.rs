//! Sizes of pools that last, and actors that are replaced when somebody asks for it.

use serde_json::{Value, json};

use super::{control, line, pool, resized};
use crate::support::events::{accepted, event, finished};
use crate::support::load::Load;
use crate::support::server::{Server, Setup};
use crate::support::wait::{SOON, wait_for};

/// What is told of a pool's size, and how many actors there are.
fn size(server: &mut Server, name: &str) -> (Value, Value, usize) {
    let pool = pool(&line(server), name);
    let actors = pool["actors"].as_array().expect("a list").len();
    (pool["size"]["value"].clone(), pool["size"]["source"].clone(), actors)
}

fn restarts(server: &mut Server, name: &str) -> Vec<u64> {
    let pool = pool(&line(server), name);
    pool["actors"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|actor| actor["restarts"].as_u64().expect("a number"))
        .collect()
}

both_databases! {
    fn a_stored_size_wins_over_the_configuration_until_it_is_removed(database) {
        let mut server = Server::start(Setup::new(&database).with_config("actors.validators = 3"));
        assert_eq!(size(&mut server, "validators"), (json!(3), json!("config"), 3));
        let answer = resized(&mut server, "validators", &json!(5));
        assert_eq!((&answer["size"]["value"], &answer["size"]["by"]), (&json!(5), &json!(1)), "{answer}");
        for kill in [true, false] {
            if kill {
                server.kill9();
            }
            server.restart();
            assert_eq!(size(&mut server, "validators"), (json!(5), json!("stored"), 5));
            assert_eq!(size(&mut server, "persisters"), (json!(1), json!("config"), 1));
        }
        resized(&mut server, "validators", &Value::Null);
        let is_back = || (size(&mut server, "validators") == (json!(3), json!("config"), 3)).then_some(());
        wait_for("the configured size", SOON, is_back, String::new);
        server.restart();
        assert_eq!(size(&mut server, "validators"), (json!(3), json!("config"), 3));
    }

    fn a_restart_replaces_each_actor_once_and_loses_nothing(database) {
        let mut server = Server::start(&database);
        let token = server.token();
        let load = Load::start(server.ports(), &token, 4);
        let names = ["validators", "normalizers", "persisters", "claimer", "pruner"];
        for round in 1..=2 {
            for name in names {
                let enough = load.acknowledged() + 100;
                let is_enough = || (load.acknowledged() >= enough).then_some(());
                wait_for("acknowledgements under load", SOON, is_enough, || server.log());
                control(&mut server, &format!("/pools/{name}/restart"));
                let all = restarts(&mut server, name);
                assert!(!all.is_empty() && all.iter().all(|restarts| *restarts == round), "{name}: {all:?}");
            }
        }
        load.stop().verify(&server.client(), &database);
        let charged = database.texts("SELECT CAST(id AS TEXT) FROM events WHERE event_name = 'page_view' AND attempts <> 1");
        assert_eq!(charged, [""; 0]);
        server.kill9();
        server.restart();
        for name in names {
            assert!(restarts(&mut server, name).iter().all(|restarts| *restarts == 0), "not again after a start");
        }
        let client = server.client();
        let id = accepted(&client, &event("after"));
        assert_eq!(finished(&client, id)["status"], "processed");
    }
}
