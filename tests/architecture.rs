//! The tree's own rules: layers, no circles, who may use which crate, sizes, names.

mod imports;
mod map;
mod plants;
mod source;
mod words;

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use imports::Imports;
use source::{Source, is_word};

/// Lines of a file, and of a function.
const FILE_LINES_MAX: usize = 400;
const FUNCTION_LINES_MAX: usize = 60;

/// What stands in `src/`, and which of the others each may use. Arrows never turn back.
const LAYERS: [(&str, &[&str]); 11] = [
    ("main", TOP),
    ("lib", TOP),
    ("cli", TOP),
    ("app", TOP),
    ("http", &["pipeline", "store", "domain", "config", "clock", "telemetry"]),
    ("pipeline", &["store", "domain", "config", "clock", "telemetry"]),
    ("store", &["domain", "config", "clock", "telemetry"]),
    ("telemetry", &["domain", "config", "clock"]),
    ("config", &["domain"]),
    ("clock", &["domain"]),
    ("domain", &[]),
];
const TOP: &[&str] = &["cli", "app", "http", "pipeline", "store", "telemetry", "config", "clock", "domain"];

/// Crates that only some places may use.
const CRATES: [(&str, &[&str]); 15] = [
    ("sea_orm", &["src/store", "entity", "migration"]),
    ("sea_orm_migration", &["src/store", "migration"]),
    ("sqlx", &["src/store"]),
    ("entity", &["src/store"]),
    ("migration", &["src/store"]),
    ("actix", &["src/pipeline", "src/app"]),
    ("actix_web", &["src/http", "src/app"]),
    ("actix_http", &["src/http"]),
    ("actix_service", &["src/http"]),
    ("httparse", &["src/http"]),
    ("opentelemetry", SPANS),
    ("opentelemetry_sdk", SPANS),
    ("opentelemetry_proto", SPANS),
    ("prost", SPANS),
    ("prometheus", &["src/telemetry"]),
];

const SPANS: &[&str] = &["src/telemetry/spans"];

/// Calls that only one place may make.
const CALLS: [(&str, &str); 11] = [
    ("Utc::now", "src/clock"),
    ("Local::now", "src/clock"),
    ("SystemTime::now", "src/clock"),
    ("env::var", "src/config"),
    ("env::var_os", "src/config"),
    ("env::vars", "src/config"),
    ("env::vars_os", "src/config"),
    ("print!", OUTPUT),
    ("println!", OUTPUT),
    ("eprint!", OUTPUT),
    ("eprintln!", OUTPUT),
];

/// What commands say goes through here: these macros panic when it cannot be written.
const OUTPUT: &str = "src/cli/output";

/// All that is compiled into the service, and its tests.
static PRODUCT: LazyLock<Vec<Source>> =
    LazyLock::new(|| ["src", "entity", "migration"].into_iter().flat_map(rust_files).collect());
static TESTS: LazyLock<Vec<Source>> = LazyLock::new(|| rust_files("tests"));

/// Where the kinds of actors are listed.
const KINDS: &str = "src/domain/actor_kind.rs";

/// Actors of the line: only the topology file and the supervisor know more than one of them.
static STAGES: LazyLock<Vec<String>> = LazyLock::new(|| {
    let kinds = PRODUCT.iter().find(|source| source.path == KINDS).expect("the kinds have their file");
    let start = *kinds.find("enum ActorKind").first().expect("the kinds are an enum");
    let variants = (start..kinds.len()).take_while(|at| kinds.text(*at) != "}");
    let variants = variants.filter(|at| kinds.text(*at).starts_with(is_word) && kinds.text(at + 1) == ",");
    variants.map(|at| kinds.text(at).to_lowercase()).collect()
});

/// The only place of the tests that pauses.
const WAIT: &str = "tests/support/wait.rs";

/// Names that say nothing about what is inside.
const VAGUE: [&str; 7] = ["util", "utils", "common", "helper", "helpers", "manager", "misc"];

#[test]
fn files_and_functions_keep_their_size() {
    assert!(PRODUCT.len() >= 4, "the tree was not read: {:?}", *PRODUCT);
    assert_clean(PRODUCT.iter().flat_map(oversize));
}

#[test]
fn bindings_have_a_line_each() {
    assert_clean(PRODUCT.iter().flat_map(tuple_lets));
}

#[test]
fn layers_never_turn_back() {
    assert_clean(PRODUCT.iter().flat_map(turned_arrows));
}

#[test]
fn files_do_not_use_each_other_in_circles() {
    assert_clean(circles(&PRODUCT).into_iter());
}

#[test]
fn crates_and_calls_stay_where_they_belong() {
    assert_clean(PRODUCT.iter().flat_map(strangers));
    for name in ["backoff", "governor"] {
        let users = PRODUCT.iter().filter(|source| !source.uses_of_crate(name).is_empty());
        let users: Vec<&str> = users.map(|source| source.path.as_str()).collect();
        assert!(users.len() <= 1, "`{name}` belongs in one file, not in {users:?}");
    }
}

#[test]
fn stages_do_not_know_their_neighbours() {
    for stage in &*STAGES {
        let place = format!("src/pipeline/{stage}.rs");
        assert!(PRODUCT.iter().any(|source| source.path == place), "no file is called after the {stage}");
    }
    assert_clean(PRODUCT.iter().flat_map(known_neighbours));
}

#[test]
fn tests_wait_for_facts_and_never_sleep() {
    assert!(TESTS.iter().any(|source| source.path == WAIT), "{WAIT} is gone");
    assert_clean(PRODUCT.iter().chain(&*TESTS).flat_map(sleeps));
}

#[test]
fn every_file_has_a_known_place_and_a_telling_name() {
    assert_clean(PRODUCT.iter().chain(&*TESTS).flat_map(misplaced));
}

/// Files of more lines, and functions of more lines, than the budget.
fn oversize(source: &Source) -> Vec<String> {
    let path = &source.path;
    let functions = source.functions().into_iter().filter(|function| function.lines > FUNCTION_LINES_MAX);
    let mut faults: Vec<String> = functions
        .map(|f| format!("{path}:{}: function {} has {} lines, limit {FUNCTION_LINES_MAX}", f.line, f.name, f.lines))
        .collect();
    if source.lines > FILE_LINES_MAX {
        faults.push(format!("{path}: {} lines, limit {FILE_LINES_MAX}", source.lines));
    }
    faults
}

/// `let (a, b) = (c, d);`: it saves lines and costs the reader a count of places. To swap two names it is the way.
fn tuple_lets(source: &Source) -> Vec<String> {
    let faults = source.find("let (").into_iter().filter_map(|at| {
        let close = (at + 2..source.len()).find(|at| source.text(*at) == ")")?;
        let names: Vec<&str> =
            (at + 2..close).map(|at| source.text(at)).filter(|word| !["mut", ","].contains(word)).collect();
        let are_names = names.len() > 1 && names.iter().all(|name| name.starts_with(is_word));
        if !are_names || !source.is_at(close + 1, "= (") {
            return None;
        }
        let end = source.end_of_group(close + 2);
        let is_swap = (close + 3..end).any(|at| names.contains(&source.text(at)));
        let is_whole = source.text(end + 1) == ";";
        (is_whole && !is_swap).then(|| fault(source, at, "a tuple of bindings: give each a line of its own"))
    });
    faults.collect()
}

/// Uses of a layer that this file's layer may not know.
fn turned_arrows(source: &Source) -> Vec<String> {
    let Some(layer) = layer_of(&source.path) else {
        return Vec::new();
    };
    let known = LAYERS.iter().find(|(name, _)| *name == layer);
    let allowed = known.map_or(&[][..], |(_, allowed)| allowed);
    // `super` may lead to the root too: at once from a layer's root file, else after another `super`.
    let is_root = is_root_of_layer(&source.path);
    let mut paths = source.paths("super");
    paths.retain(|(_, path)| is_root || path[0] == "super");
    paths.extend(source.paths("crate"));
    let mut faults = Vec::new();
    for (at, path) in paths {
        let first = path.iter().find(|name| *name != "super");
        let Some((first, _)) = LAYERS.iter().find(|(name, _)| first.is_some_and(|first| first == name)) else {
            continue;
        };
        if *first != layer && !allowed.contains(first) {
            let text = format!("layer `{layer}` may not use `{first}`, only {allowed:?}");
            faults.push(fault(source, at, &text));
        }
    }
    // A group names a layer once per item.
    faults.dedup();
    faults
}

/// Files that use each other, beyond a parent and its children, with what leads from one to the next.
fn circles(sources: &[Source]) -> Vec<String> {
    let circle = |circle: imports::Circle| {
        let arrows = circle.iter().map(|((from, to), items)| format!("\n  {from} uses {to}: {items:?}"));
        format!("files use each other in a circle{}", arrows.collect::<String>())
    };
    Imports::of(sources).circles().into_iter().map(circle).collect()
}

/// Crates and calls outside of their places.
fn strangers(source: &Source) -> Vec<String> {
    let lies_in = |place: &str| {
        let rest = source.path.strip_prefix(place);
        rest.is_some_and(|rest| rest.starts_with('/') || rest == ".rs")
    };
    let mut faults = Vec::new();
    for (name, places) in CRATES {
        if !places.iter().any(|place| lies_in(place)) {
            let uses = source.uses_of_crate(name);
            faults
                .extend(uses.into_iter().map(|at| fault(source, at, &format!("crate `{name}` belongs in {places:?}"))));
        }
    }
    for (call, place) in CALLS {
        if !lies_in(place) {
            let calls = source.find(call);
            faults.extend(calls.into_iter().map(|at| fault(source, at, &format!("`{call}` belongs in {place}"))));
        }
    }
    faults
}

/// A stage that imports a sibling stage.
fn known_neighbours(source: &Source) -> Vec<String> {
    let stage = source.path.strip_prefix("src/pipeline/").and_then(|rest| rest.split(['/', '.']).next());
    let Some(stage) = stage.filter(|stage| is_stage(stage)) else {
        return Vec::new();
    };
    let mut faults = Vec::new();
    let from_crate =
        source.paths("crate").into_iter().filter(|(_, path)| path.first().is_some_and(|first| first == "pipeline"));
    let from_crate = from_crate.map(|(at, path)| (at, path[1..].to_vec()));
    for (at, path) in from_crate.chain(source.paths("super")) {
        let first = path.iter().find(|name| *name != "super").map_or("", String::as_str);
        if is_stage(first) && first != stage {
            faults.push(fault(
                source,
                at,
                &format!("stage `{stage}` knows its neighbour `{first}`: only the topology connects them"),
            ));
        }
    }
    faults
}

fn is_stage(name: &str) -> bool {
    STAGES.iter().any(|stage| stage == name)
}

/// Pauses in tests: in the test folder, and below `#[cfg(test)]` elsewhere.
fn sleeps(source: &Source) -> Vec<String> {
    if source.path == WAIT {
        return Vec::new();
    }
    let tests_from = match source.path.starts_with("tests/") {
        true => 0,
        false => source.find("#[cfg(test)]").first().copied().unwrap_or(source.len()),
    };
    let pauses = ["sleep(", "sleep_until(", "park_timeout("].into_iter().flat_map(|call| source.find(call));
    let pauses = pauses.filter(|at| *at >= tests_from);
    pauses.map(|at| fault(source, at, "a test sleeps: wait for a fact, with a deadline")).collect()
}

/// Unknown entries at the top of `src/`, and names that say nothing.
fn misplaced(source: &Source) -> Vec<String> {
    let path = &source.path;
    let mut faults = Vec::new();
    if let Some(layer) = layer_of(path) {
        let known = LAYERS.iter().any(|(name, _)| *name == layer);
        if !known {
            faults.push(format!(
                "{path}: `{layer}` is no layer of architecture.md: give it a place there and in this test"
            ));
        }
    }
    if let Some(vague) = path.split(['/', '.']).find(|part| VAGUE.contains(part)) {
        faults.push(format!("{path}: `{vague}` says nothing: name the file after what it does"));
    }
    faults
}

/// The first name below `src/`, if the file lies there.
fn layer_of(path: &str) -> Option<&str> {
    path.strip_prefix("src/").and_then(|rest| rest.split(['/', '.']).next())
}

/// Whether `super` is the crate's root in this file: `src/clock.rs`, `src/store.rs`.
fn is_root_of_layer(path: &str) -> bool {
    path.matches('/').count() == 1
}

fn fault(source: &Source, at: usize, text: &str) -> String {
    format!("{}:{}: {text}", source.path, source.line_of(at))
}

fn assert_clean(faults: impl Iterator<Item = String>) {
    let faults: Vec<String> = faults.collect();
    assert!(faults.is_empty(), "{} faults\n{}", faults.len(), faults.join("\n"));
}

fn rust_files(folder: &str) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut sources = Vec::new();
    let mut folders = vec![root.join(folder)];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        for entry in entries {
            let path = entry.expect("the folder is readable").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
                let name = path.strip_prefix(root).expect("it lies below the root");
                sources.push(Source::new(&name.to_string_lossy(), &text));
            }
        }
    }
    sources.sort_by(|one, two| one.path.cmp(&two.path));
    sources
}
