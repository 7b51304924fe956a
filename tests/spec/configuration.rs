//! "Configuration", "Retry Logic", "Flower Dashboard": the reference's numbers and variables.

use std::time::Duration;

use gristmill::config::Config;
use gristmill::domain::retry::RetryPolicy;

use crate::support::database::Database;
use crate::support::server::{Server, Setup};

fn shown(setup: &Setup) -> toml::Table {
    let text = setup.run(&["config", "show"]);
    text.parse().unwrap_or_else(|error| panic!("`config show` prints no TOML: {error}\n{text}"))
}

#[test]
fn the_defaults_are_the_references_numbers() {
    let config = Config::defaults();
    assert_eq!(config.retry.max_retries, 3);
    assert_eq!(config.retry.delay, Duration::from_secs(2));
    assert_eq!(config.timeouts.processing, Duration::from_secs(300));
    assert_eq!(config.limits.payload_bytes, 1 << 20);
    assert_eq!(config.limits.payload_depth, 10);
    assert_eq!(config.http.bind.to_string(), "127.0.0.1:8000");
    assert_eq!(config.dashboard.bind.to_string(), "127.0.0.1:5555");
}

#[test]
fn retries_wait_2_4_and_8_seconds_and_then_are_exhausted() {
    let policy = RetryPolicy {
        max_retries: 3,
        delay: Duration::from_secs(2),
        delay_max: Duration::from_secs(3600),
        jitter: 0.0,
    };
    let delays: Vec<Option<u64>> =
        (1..=4).map(|attempts| policy.delay_after(attempts).map(|delay| delay.as_secs())).collect();
    assert_eq!(delays, [Some(2), Some(4), Some(8), None]);
}

#[test]
fn the_references_variables_set_retries_delay_and_time_limit() {
    let database = Database::sqlite();
    let setup = Setup::new(&database)
        .with_env("EVENT_MAX_RETRIES", "5")
        .with_env("EVENT_RETRY_DELAY", "60")
        .with_env("EVENT_PROCESSING_TIMEOUT", "120");
    let config = shown(&setup);
    assert_eq!(config["retry"]["max_retries"].as_integer(), Some(5));
    let seconds = |section: &str, key: &str| {
        let text = config[section][key].as_str().unwrap_or_else(|| panic!("{section}.{key} in {config}"));
        gristmill::config::units::parse_duration(text).map(|duration| duration.as_secs())
    };
    assert_eq!(seconds("retry", "delay"), Some(60));
    assert_eq!(seconds("timeouts", "processing"), Some(120));
}

#[test]
fn database_url_chooses_the_database_over_the_file() {
    let written = Database::sqlite();
    let wanted = Database::postgres();
    let setup = Setup::new(&written).with_env("DATABASE_URL", wanted.url());
    let mut server = Server::start(setup);
    crate::support::events::accepted(&server.client(), &crate::support::events::event("page_view"));
    assert_eq!(wanted.texts("SELECT event_name FROM events"), ["page_view"]);
}

#[test]
fn any_key_can_come_from_the_environment_or_a_flag() {
    let setup = Setup::new(&Database::sqlite())
        .with_config("actors.validators = 3\nactors.normalizers = 3\nactors.persisters = 3")
        .with_env("GRISTMILL__ACTORS__NORMALIZERS", "4")
        .with_env("GRISTMILL__ACTORS__PERSISTERS", "4");
    let text = setup.run(&["--set", "actors.persisters=5", "config", "show"]);
    let config: toml::Table = text.parse().expect("`config show` prints TOML");
    let actors = ["validators", "normalizers", "persisters"].map(|key| config["actors"][key].as_integer());
    assert_eq!(actors, [Some(3), Some(4), Some(5)], "file, environment, flag");
}

both_databases! {
    fn actor_counts_of_the_configuration_are_the_actors_of_the_pipeline(database) {
        let setup = Setup::new(&database).with_config("[actors]\nvalidators = 3\nnormalizers = 1\npersisters = 2");
        let server = Server::start(setup);
        let answer = server.dashboard().get("/api/pipeline");
        assert_eq!(answer.status, 200, "{answer:?}");
        let view = answer.json();
        for (name, actors) in [("validators", 3), ("normalizers", 1), ("persisters", 2)] {
            let pools = view["pools"].as_array().unwrap_or_else(|| panic!("no pools: {view}"));
            let pool = pools.iter().find(|pool| pool["name"] == name).unwrap_or_else(|| panic!("no {name}: {view}"));
            let found = pool["actors"].as_array().unwrap_or_else(|| panic!("no actors: {pool}"));
            assert_eq!(found.len(), actors, "{pool}");
            for actor in found {
                assert!(actor["name"].is_string(), "{actor}");
                assert_eq!(actor["restarts"], 0, "{actor}");
                assert_eq!(actor["panics"], 0, "{actor}");
            }
        }
    }
}
