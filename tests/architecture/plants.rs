//! Each rule is shown a planted fault, and its harmless neighbour.

use super::source::{Function, Source};
use super::{circles, known_neighbours, misplaced, oversize, sleeps, strangers, tuple_lets, turned_arrows};

type Rule = fn(&Source) -> Vec<String>;

/// The rule finds `faults` faults in this text at this path.
#[track_caller]
pub fn finds(rule: Rule, faults: usize, path: &str, text: &str) {
    let found = rule(&Source::new(path, text));
    assert_eq!(found.len(), faults, "{path}: {text}\n{found:?}");
}

#[test]
fn long_files_and_functions_are_found() {
    finds(oversize, 0, "src/store/a.rs", &"// line\n".repeat(400));
    finds(oversize, 1, "src/store/a.rs", &"// line\n".repeat(401));
    let function = |lines: usize| format!("fn a(b: [u8; 3]) -> u8 {{\n{}}}", "    b;\n".repeat(lines - 2));
    finds(oversize, 0, "src/store/a.rs", &function(60));
    finds(oversize, 1, "src/store/a.rs", &function(61));
    finds(oversize, 1, "entity/src/a.rs", &format!("impl A {{\n{}\n}}", function(61)));
}

#[test]
fn a_function_ends_at_its_own_brace_whatever_its_texts_say() {
    let text = r##"
trait T { fn without_body(&self) -> Result<(), E>; }
fn one<'a>(x: &'a str) -> char {
    let s = "} \" }"; let r = r#"}"}"#; /* } /* } */ } */ // }
    if x == s { '}' } else { '\'' }
}
fn two(f: fn(u8) -> u8) {}
"##;
    let function = |name: &str, line, lines| Function { name: name.to_owned(), line, lines };
    let functions = Source::new("a.rs", text).functions();
    assert_eq!(functions, [function("one", 3, 4), function("two", 7, 1)]);
}

#[test]
fn arrows_that_turn_back_are_found() {
    finds(turned_arrows, 1, "src/store/events.rs", "use crate::pipeline::Door;");
    finds(turned_arrows, 2, "src/store/events.rs", "use crate::{domain::{A, B as C}, http, pipeline::{self, D}};");
    finds(turned_arrows, 1, "src/domain.rs", "fn a() { crate::clock::now(); }");
    finds(turned_arrows, 1, "src/domain.rs", "fn a() { super::clock::now(); }");
    finds(turned_arrows, 1, "src/clock.rs", "use super::store::Store;");
    finds(turned_arrows, 1, "src/telemetry/logging.rs", "use crate::store::Store;");
    finds(turned_arrows, 1, "src/pipeline/claimer.rs", "use super::super::http::routes;");
    finds(
        turned_arrows,
        0,
        "src/http/auth.rs",
        "use crate::{store::Store, domain, pipeline::Pipeline};\nuse super::problem;",
    );
    finds(
        turned_arrows,
        0,
        "src/store/events.rs",
        "// crate::http\nconst A: &str = \"crate::http::a\"; use crate::store::b;",
    );
    finds(turned_arrows, 0, "src/app.rs", "use crate::{cli, http, pipeline, store};");
    finds(turned_arrows, 0, "src/domain/outcome.rs", "mod tests { use super::super::rejection::Flaw; use super::*; }");
}

#[test]
fn crates_and_calls_outside_of_their_places_are_found() {
    finds(strangers, 1, "src/http/events.rs", "use sea_orm::DbErr;");
    finds(strangers, 1, "src/pipeline.rs", "let a = entity::events::Column::Id;");
    finds(strangers, 1, "src/cli.rs", "use migration;");
    finds(strangers, 1, "src/http.rs", "impl actix::Actor for A {}");
    finds(strangers, 1, "src/pipeline.rs", "use actix_web::web;");
    finds(strangers, 2, "src/pipeline.rs", "let a = chrono::Utc::now(); let b = std::env::var(\"A\");");
    finds(strangers, 1, "src/store/nodes.rs", "use std::time::SystemTime; SystemTime::now();");
    finds(strangers, 2, "src/cli/users.rs", "println!(\"a\"); eprint!(\"a\");");
    finds(strangers, 0, "src/cli/users.rs", "print(\"println!\")?;");
    finds(strangers, 0, "src/store/events.rs", "use sea_orm::DbErr; use entity::events; use crate::domain::entity;");
    finds(strangers, 0, "src/app.rs", "use actix::System; use actix_web::App;");
    finds(strangers, 0, "src/clock.rs", "Utc::now()");
    finds(strangers, 0, "src/config/sources.rs", "std::env::vars()");
    finds(strangers, 0, "entity/src/events.rs", "use sea_orm::entity::prelude::*;");
    finds(strangers, 0, "src/http.rs", "let migration = 1; // sea_orm::DbErr");
}

#[test]
fn a_stage_that_knows_another_is_found() {
    finds(known_neighbours, 1, "src/pipeline/validator.rs", "use super::normalizer::Normalizer;");
    finds(known_neighbours, 1, "src/pipeline/retry.rs", "use crate::pipeline::{messages::Due, claimer};");
    finds(known_neighbours, 1, "src/pipeline/persister/flush.rs", "use super::super::validator;");
    finds(known_neighbours, 1, "src/pipeline/drainer.rs", "use super::retry::Retry;");
    finds(
        known_neighbours,
        0,
        "src/pipeline/persister/flush.rs",
        "use super::super::persister::units; use crate::domain::retry;",
    );
    finds(known_neighbours, 0, "src/pipeline/validator.rs", "use super::messages::Validated;");
    finds(known_neighbours, 0, "src/pipeline/topology.rs", "use super::{validator, normalizer};");
}

#[test]
fn tuples_of_bindings_are_found() {
    finds(tuple_lets, 1, "src/http.rs", "fn a() { let (mut b, c) = (Vec::new(), f(1, 2)); }");
    finds(tuple_lets, 0, "src/http.rs", "fn a() { let (b, c) = (c, b); let (d, e) = f((1, 2)); }");
    finds(
        tuple_lets,
        0,
        "src/http.rs",
        "fn a() { let (b, c) = (1, 2).into(); let Some((b, c)) = f() else { return }; }",
    );
}

#[test]
fn circles_are_found() {
    let found = |files: &[(&str, &str)]| {
        let files = files.iter().chain(&[("lib.rs", "mod a; mod b; mod c;")]);
        let sources: Vec<Source> = files.map(|(name, text)| Source::new(&format!("src/{name}"), text)).collect();
        circles(&sources).len()
    };
    let a = ("a.rs", "use super::b::B; pub struct A;");
    assert_eq!(found(&[a, ("b.rs", "use super::a::A; pub struct B;")]), 1);
    assert_eq!(found(&[a, ("b.rs", "pub struct B; fn f() { vec![crate::a::A]; }")]), 1, "by a path");
    assert_eq!(found(&[a, ("b.rs", "use super::a::{self as c}; pub struct B; type D = c::A;")]), 1, "by a module");
    assert_eq!(
        found(&[a, ("b.rs", "use super::c::A; pub struct B;"), ("c.rs", "pub use crate::a::*;")]),
        1,
        "handed on"
    );
    assert_eq!(found(&[a, ("b.rs", "pub struct B; // super::a::A")]), 0);
    assert_eq!(found(&[a, ("b.rs", "pub struct B; #[cfg(test)] mod tests { use super::super::a::A; }")]), 0);
    let parent = ("c.rs", "mod d; mod e; use self::d::D; pub struct C;");
    let d = ("c/d.rs", "use super::C; pub struct D;");
    assert_eq!(found(&[parent, d, ("c/e.rs", "use super::D; pub struct E;")]), 0, "a parent and its child");
    assert_eq!(
        found(&[parent, ("c/d.rs", "use super::e::E; pub struct D;"), ("c/e.rs", "use super::C; pub struct E;")]),
        1
    );
}

#[test]
fn sleeping_tests_are_found() {
    finds(sleeps, 1, "tests/crash.rs", "thread::sleep(Duration::from_secs(1));");
    finds(
        sleeps,
        1,
        "src/pipeline/retry.rs",
        "fn a() { sleep(b) }\n#[cfg(test)]\nmod tests { fn c() { tokio::time::sleep(d); } }",
    );
    finds(sleeps, 0, "tests/support/wait.rs", "std::thread::sleep(LOOK_EVERY);");
    finds(sleeps, 0, "tests/crash.rs", "fn nobody_may_sleep() { asleep(1) }");
}

#[test]
fn unknown_places_and_vague_names_are_found() {
    finds(misplaced, 1, "src/services/mail.rs", "");
    finds(misplaced, 1, "src/globals.rs", "");
    finds(misplaced, 1, "src/store/helpers.rs", "");
    finds(misplaced, 1, "tests/common.rs", "");
    finds(misplaced, 0, "src/store/events.rs", "");
}
