#!/usr/bin/env bash
# SQLite 3.51.3, as the Rust crate rusqlite 0.39.0 bundles it, and statements that are prepared once and run ten times.
#
# One would guess: a statement out of the cache is not parsed again, whatever is bound to it.
# So it is, seen on 2026-11-30 with Rust 1.95:
#   ... LIMIT ?          is prepared again at every run, also with the value of the run before: the planner looks at the
#                        value that is bound to a LIMIT, so a new binding makes the plan out of date
#   ... WHERE n <= ?     is prepared once
# So a long statement, as an INSERT of many rows out of VALUES, costs its parsing each time if a bound LIMIT ends it. A
# condition on the rows cuts them off without that.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir "$folder/src"
cat >"$folder/Cargo.toml" <<'TOML'
[package]
name = "limit"
version = "0.0.0"
edition = "2024"

[dependencies]
rusqlite = { version = "=0.39.0", features = ["bundled"] }
TOML
cat >"$folder/src/main.rs" <<'RUST'
use rusqlite::{Connection, StatementStatus, params};

fn main() -> rusqlite::Result<()> {
    let database = Connection::open_in_memory()?;
    database.execute_batch("CREATE TABLE numbers (n INTEGER); INSERT INTO numbers VALUES (1), (2), (3)")?;
    for sql in ["SELECT n FROM numbers LIMIT ?", "SELECT n FROM numbers WHERE n <= ?"] {
        let mut again = 0;
        for _ in 0..10 {
            let mut statement = database.prepare_cached(sql)?;
            let rows: Vec<i64> = statement.query_map(params![2], |row| row.get(0))?.collect::<Result<_, _>>()?;
            assert_eq!(rows, [1, 2]);
            again = statement.get_status(StatementStatus::RePrepare);
        }
        println!("{} {again} {sql}", rusqlite::version());
    }
    Ok(())
}
RUST
seen=$(cargo run --quiet --manifest-path "$folder/Cargo.toml")
echo "$seen"
expected='3.51.3 10 SELECT n FROM numbers LIMIT ?
3.51.3 0 SELECT n FROM numbers WHERE n <= ?'
[[ $seen == "$expected" ]] || { echo "it behaves otherwise now" >&2; exit 1; }
