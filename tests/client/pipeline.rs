//! `gristmill pipeline`: what an operator types reaches the operations port, and what is refused is told.

use super::{Said, ended, run};
use crate::support::database::Database;
use crate::support::server::Server;
use crate::support::wait::{SOON, within};

/// The line of the table that begins with this word.
fn row(table: &str, first: &str) -> Vec<String> {
    let row = table.lines().find(|line| line.split_whitespace().next() == Some(first));
    row.unwrap_or_else(|| panic!("no {first}: {table}")).split_whitespace().map(str::to_owned).collect()
}

both_databases! {
    fn the_line_is_shown_paused_resumed_and_resized(database) {
        let server = Server::start(&database);
        let setup = server.setup();
        let shown = || run(setup, &["pipeline", "show"], 0).out;
        assert_eq!(row(&shown(), "validators"), ["validators", "running", "(config)", "2", "(config)", "2", "0"]);
        run(setup, &["pipeline", "pause", "validators"], 0);
        let said = run(setup, &["pipeline", "size", "persisters", "3"], 0);
        assert!(said.out.contains("\"control_generation\":2"), "{}", said.out);
        run(setup, &["pipeline", "restart", "claimer"], 0);
        let table = shown();
        assert_eq!(row(&table, "validators")[1..3], ["paused", "(stored)"]);
        assert_eq!(row(&table, "persisters")[3..], ["3", "(stored)", "3", "0"]);
        run(setup, &["pipeline", "resume", "validators"], 0);
        run(setup, &["pipeline", "size", "persisters", "default"], 0);
        run(setup, &["pipeline", "pause"], 0);
        assert!(shown().starts_with("the line is paused (stored), generation 6\n"), "{}", shown());
        run(setup, &["pipeline", "resume"], 0);
        let json = run(setup, &["pipeline", "show", "--json"], 0).out;
        assert!(json.contains("\"control_generation\":7"), "{json}");
        for (arguments, told) in [
            (&["pipeline", "pause", "retry"][..], "there is no pool"),
            (&["pipeline", "size", "validators", "65"], "expected 1 to 64"),
        ] {
            let said = run(setup, arguments, 1);
            assert!(said.err.contains(told), "{}", said.err);
        }
        run(setup, &["pipeline", "size", "validators", "many"], 2);
    }
}

#[test]
fn without_a_good_first_token_it_is_said_how_to_name_another() {
    let mut server = Server::start(&Database::sqlite());
    let setup = server.setup().clone();
    let token = server.token();
    run(&setup, &["pipeline", "show"], 0);
    let other = setup.create_token("admin@localhost", "operate");
    setup.run(&["token", "revoke", &token[..11]]);
    let revoked = |said: &Said| said.err.contains("the token is revoked; it stands in ");
    let refused = within(SOON, || Some(setup.command(&["pipeline", "show"])).filter(|output| !output.status.success()));
    let said = ended(&refused.expect("it is revoked within a second"), 1);
    assert!(revoked(&said) && said.err.contains("--token-file") && said.err.contains("token create"), "{}", said.err);
    std::fs::remove_file(server.data().join("first-token")).expect("it is there");
    for command in [&["pipeline", "show"][..], &["top", "--once"]] {
        let said = run(&setup, command, 1);
        assert!(said.err.contains("no token: --token-file") && said.err.contains("token create"), "{}", said.err);
    }
    run(&setup.with_env("GRISTMILL_TOKEN", &other), &["pipeline", "show"], 0);
}
