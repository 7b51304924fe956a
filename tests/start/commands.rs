//! The command line: users, tokens, migrations, configuration.

use serde_json::Value;

use crate::support::accounts::{prefix_of, token_of};
use crate::support::database::Database;
use crate::support::server::{Server, Setup};

/// A command that has to fail with this code; what it said.
fn failure(setup: &Setup, arguments: &[&str], code: i32) -> String {
    let output = setup.command(arguments);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}");
    assert!(!text.contains("panicked"), "{arguments:?}: {text}");
    text
}

fn json(setup: &Setup, arguments: &[&str]) -> Value {
    let text = setup.run(arguments);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{arguments:?} prints no JSON ({error}): {text}"))
}

both_databases! {
    fn users_are_created_listed_disabled_and_enabled(database) {
        let setup = Setup::new(&database);
        setup.run(&["migrate"]);
        let created = json(&setup, &["user", "create", "ana@example.org", "--json"]);
        assert_eq!(created["email"], "ana@example.org", "{created}");
        setup.create_user("bob@example.org");
        let again = failure(&setup, &["user", "create", "ana@example.org"], 1);
        assert!(again.contains("ana@example.org"), "{again}");
        failure(&setup, &["user", "create", "no address"], 1);
        setup.run(&["user", "disable", "ana@example.org"]);
        let list = json(&setup, &["user", "list", "--json"]);
        let users = list.as_array().cloned().or_else(|| list["users"].as_array().cloned());
        let users = users.unwrap_or_else(|| panic!("no list: {list}"));
        let disabled = |email: &str| {
            let user = users.iter().find(|user| user["email"] == email);
            user.unwrap_or_else(|| panic!("no {email}: {list}"))["disabled"].clone()
        };
        assert_eq!((disabled("ana@example.org"), disabled("bob@example.org")), (true.into(), false.into()));
        assert!(setup.run(&["user", "list"]).contains("bob@example.org"));
        setup.run(&["user", "enable", "ana@example.org"]);
        let nobody = failure(&setup, &["user", "disable", "nobody@example.org"], 1);
        assert!(nobody.contains("nobody@example.org"), "{nobody}");
    }

    fn tokens_are_shown_once_stored_hashed_and_listed_by_prefix(database) {
        let setup = Setup::new(&database);
        setup.run(&["migrate"]);
        let first = setup.create_user_with_token("ana@example.org", "write,read:all");
        let plain = setup.run(&["token", "create", "--user", "ana@example.org", "--scopes", "read", "--name", "laptop"]);
        assert!(plain.contains("gm_"), "{plain}");
        let list = json(&setup, &["token", "list", "--user", "ana@example.org", "--json"]);
        assert!(!list.to_string().contains(&first), "no secret in a list: {list}");
        assert!(list.to_string().contains(prefix_of(&first)), "{list}");
        let readable = setup.run(&["token", "list"]);
        assert!(readable.contains("laptop") && readable.contains("read:all"), "{readable}");
        let stored = database.texts("SELECT prefix FROM api_tokens ORDER BY id");
        assert_eq!(stored[0], prefix_of(&first));
        let as_text = match database.kind() {
            crate::support::database::Kind::Sqlite => "SELECT lower(hex(hash)) FROM api_tokens ORDER BY id",
            crate::support::database::Kind::Postgres => "SELECT encode(hash, 'hex') FROM api_tokens ORDER BY id",
        };
        use sha2::Digest;
        let hash = hex::encode(sha2::Sha256::digest(&first));
        assert_eq!(database.texts(as_text)[0], hash);

        let rotated = token_of(&setup.run(&["token", "rotate", prefix_of(&first), "--json"]));
        assert_ne!(rotated, first);
        setup.run(&["token", "revoke", prefix_of(&rotated)]);
        failure(&setup, &["token", "revoke", "gm_nothing00"], 1);
        failure(&setup, &["token", "create", "--user", "nobody@example.org", "--scopes", "read"], 1);
        let scopes = failure(&setup, &["token", "create", "--user", "ana@example.org", "--scopes", "fly"], 2);
        assert!(scopes.contains("fly") && scopes.contains("read:all"), "{scopes}");
    }

    fn migrate_may_be_repeated_and_prepares_a_database_for_serving(database) {
        let setup = Setup::new(&database);
        setup.run(&["migrate"]);
        setup.run(&["migrate"]);
        let mut server = Server::start(setup);
        assert_eq!(server.client().get("/api/v1/events").status, 200);
        server.setup().run(&["migrate"]);
        assert_eq!(server.client().get("/api/v1/events").status, 200, "beside a running server too");
    }
}

#[test]
fn the_configuration_is_shown_and_checked() {
    let setup = Setup::new(&Database::sqlite()).with_config("retry.max_retries = 5");
    setup.run(&["config", "check"]);
    let shown: toml::Table = setup.run(&["config", "show"]).parse().expect("`config show` prints TOML");
    assert_eq!(shown["retry"]["max_retries"].as_integer(), Some(5));
}

#[test]
fn help_and_version_say_what_this_is() {
    let setup = Setup::new(&Database::sqlite());
    let version = setup.run(&["--version"]);
    assert_eq!(version.trim(), concat!("gristmill ", env!("CARGO_PKG_VERSION")));
    let help = setup.run(&["--help"]);
    for word in ["serve", "migrate", "user", "token", "config", "DATABASE_URL", "EVENT_MAX_RETRIES", "Exit codes"] {
        assert!(help.contains(word), "{word} in {help}");
    }
    failure(&setup, &["fly"], 2);
}
