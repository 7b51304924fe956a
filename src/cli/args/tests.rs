//! Every form of the command line as documented, and the ones that are refused.

use clap::CommandFactory;
use clap::error::ErrorKind;

use super::bench::{Mode, PayloadSize};
use super::*;
use crate::clock;
use crate::domain::timestamp;

fn parse(line: &str) -> Result<Args, clap::Error> {
    Args::try_parse_from(std::iter::once("gristmill").chain(line.split_whitespace()))
}

fn command(line: &str) -> Command {
    match parse(line) {
        Ok(args) => args.command(),
        Err(error) => panic!("{line}: {error}"),
    }
}

#[test]
fn the_definition_is_consistent() {
    <Args as CommandFactory>::command().debug_assert();
}

#[test]
fn serve_is_the_default() {
    assert_eq!(command(""), Command::Serve);
    assert_eq!(command("serve"), Command::Serve);
    assert_eq!(command("migrate"), Command::Migrate);
}

#[test]
fn file_and_settings_stand_before_the_command() {
    let args = parse("--config a.toml --set http.workers=4 --set log.level=info,x=debug serve").expect("allowed");
    assert_eq!(args.config, Some(PathBuf::from("a.toml")));
    let expected = [("http.workers", "4"), ("log.level", "info,x=debug")];
    let expected = expected.map(|(k, v)| (k.to_owned(), v.to_owned()));
    assert_eq!(args.settings, expected);
}

#[test]
fn a_file_may_stand_after_the_command_but_settings_may_not() {
    let args = parse("config show --config x.toml").expect("allowed");
    assert_eq!(args.config, Some(PathBuf::from("x.toml")));
    // Of settings on both sides of the command the parser would silently drop the first.
    let error = parse("--set a=1 config show --set b=2").expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::UnknownArgument);
}

#[test]
fn a_bench_names_what_it_needs() {
    let Command::Bench(bench) = command("bench") else { panic!("a bench") };
    let defaults = (bench.mode, bench.payload, bench.seconds, bench.warm_up, bench.rounds);
    assert_eq!(defaults, (Mode::Single, PayloadSize::Small, 10, Duration::from_secs(1), 3));
    assert_eq!((bench.connections, bench.rate, bench.url, bench.database), (None, None, None, None));
    let allowed = "bench --mode lines --rate 5 --payload mix --database postgres://h/d --against ./g --rounds 2 --json";
    assert!(matches!(command(allowed), Command::Bench(bench) if bench.rate == Some(5) && bench.json));
    for refused in [
        "bench --url http://h",
        "bench --url http://h --yes --database postgres://h/d",
        "bench --rounds 2",
        "bench --pid 1",
        "bench --seconds 0",
        "bench --rate 0",
        "bench --mode all",
    ] {
        assert!(parse(refused).is_err(), "{refused}");
    }
}

#[test]
fn users_are_created_listed_disabled_and_enabled() {
    let email = "ana@example.org".to_owned();
    let create = |json| Command::User(UserCommand::Create { email: email.clone(), json });
    assert_eq!(command("user create ana@example.org"), create(false));
    assert_eq!(command("user create ana@example.org --json"), create(true));
    assert_eq!(command("user list --json"), Command::User(UserCommand::List { json: true }));
    assert_eq!(command("user disable ana@example.org"), Command::User(UserCommand::Disable { email: email.clone() }));
    assert_eq!(command("user enable ana@example.org"), Command::User(UserCommand::Enable { email: email.clone() }));
}

#[test]
fn a_token_is_created_with_scopes_and_an_end() {
    let Command::Token(TokenCommand::Create(create)) =
        command("token create --user a@b.c --scopes write,read:all --name ci --expires 30d --json")
    else {
        panic!("another command");
    };
    assert_eq!(create.user, "a@b.c");
    assert_eq!(create.scopes, ["write", "read:all"]);
    assert_eq!(create.name, "ci");
    assert_eq!(create.expires, Some(Expiry::After(Duration::from_secs(30 * 86_400))));
    assert!(create.json);

    let Command::Token(TokenCommand::Create(create)) =
        command("token create --user a@b.c --scopes admin --expires 2027-01-01T02:00:00+02:00")
    else {
        panic!("another command");
    };
    let end = create.expires.and_then(|expiry| expiry.at(clock::now()));
    assert_eq!(end.map(timestamp::render), Some("2027-01-01T00:00:00.000000Z".to_owned()));
}

#[test]
fn an_end_beyond_the_calendar_is_none() {
    let ages = Duration::from_secs(10_000 * 366 * 86_400);
    assert_eq!(Expiry::After(ages).at(clock::now()), None);
    assert_eq!(Expiry::After(Duration::MAX).at(clock::now()), None);
}

#[test]
fn tokens_are_listed_revoked_and_rotated() {
    let token = || "gm_abcdefgh".to_owned();
    let list = |user: Option<&str>, json| {
        let user = user.map(str::to_owned);
        Command::Token(TokenCommand::List { user, json })
    };
    assert_eq!(command("token list"), list(None, false));
    assert_eq!(command("token list --user a@b.c --json"), list(Some("a@b.c"), true));
    assert_eq!(command("token revoke gm_abcdefgh"), Command::Token(TokenCommand::Revoke { token: token() }));
    for (line, overlap, json) in
        [("token rotate gm_abcdefgh", 3_600, false), ("token rotate gm_abcdefgh --overlap 0s --json", 0, true)]
    {
        let overlap = Duration::from_secs(overlap);
        let rotate = TokenCommand::Rotate { token: token(), overlap, json };
        assert_eq!(command(line), Command::Token(rotate));
    }
}

#[test]
fn top_is_drawn_at_an_interval_or_printed_once() {
    let Command::Client(ClientCommand::Top(top)) = command("top --interval 500ms --once --no-color") else {
        panic!("another command");
    };
    assert_eq!((top.interval, top.once, top.no_color.as_deref()), (Duration::from_millis(500), true, Some("1")));
    for wrong in ["top --interval 99ms", "top --interval 2h", "top --interval soon", "top now"] {
        assert_eq!(parse(wrong).expect_err(wrong).exit_code(), 2, "{wrong}");
    }
}

#[test]
fn the_configuration_is_shown_or_checked() {
    assert_eq!(command("config show"), Command::Config(ConfigCommand::Show));
    assert_eq!(command("config check"), Command::Config(ConfigCommand::Check));
}

#[test]
fn what_is_wrong_ends_with_exit_code_2() {
    for line in [
        "mill",
        "--set http.bind",
        "--set =1",
        "user create",
        "user delete a@b.c",
        "token create --user a@b.c",
        "token create --scopes read",
        "token create --user a@b.c --scopes fly",
        "token create --user a@b.c --scopes read, --json",
        "token create --user a@b.c --scopes read --expires soon",
        "token rotate gm_abcdefgh --overlap 1",
        "pipeline size validators +4",
        "pipeline size validators -1",
        "config",
    ] {
        let error = parse(line).expect_err(line);
        assert_eq!(error.exit_code(), 2, "{line}");
    }
}

#[test]
fn help_and_version_are_no_failures() {
    let help = parse("--help").expect_err("help ends the parsing");
    assert_eq!((help.kind(), help.exit_code()), (ErrorKind::DisplayHelp, 0));
    let text = help.to_string();
    for word in ["Examples:", "GRISTMILL__SECTION__KEY", "DATABASE_URL", "EVENT_RETRY_DELAY", "Exit codes:"] {
        assert!(text.contains(word), "{word} is not in\n{text}");
    }
    let version = parse("--version").expect_err("the version ends the parsing");
    assert_eq!(version.exit_code(), 0);
    assert_eq!(version.to_string(), format!("gristmill {}\n", env!("CARGO_PKG_VERSION")));
}
