#!/usr/bin/env bash
# SQLite 3.51.3, as the Rust crate rusqlite 0.39.0 bundles it: the next rows of a list, by an index on (name, id).
#
# One would guess: WHERE (name, id) > (?, ?) begins in the index at that pair, as SQLite's page on row values says of
# scrolling windows.
# So it does if id is any column. Seen on 2026-11-30 with Rust 1.95: if id is the INTEGER PRIMARY KEY, the search uses name
# alone and reads every row of that name up to the pair; the further down the list, the longer. name = ? AND id > ? begins
# at the pair in both tables.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir "$folder/src"
cat >"$folder/Cargo.toml" <<'TOML'
[package]
name = "window"
version = "0.0.0"
edition = "2024"

[dependencies]
rusqlite = { version = "=0.39.0", features = ["bundled"] }
TOML
cat >"$folder/src/main.rs" <<'RUST'
use rusqlite::{Connection, StatementStatus, params};

fn main() -> rusqlite::Result<()> {
    let database = Connection::open_in_memory()?;
    for (table, id) in [("keyed", "INTEGER PRIMARY KEY"), ("plain", "INTEGER")] {
        database.execute_batch(&format!(
            "CREATE TABLE {table} (id {id}, name TEXT); CREATE INDEX {table}_name ON {table} (name, id);
             WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 10000)
             INSERT INTO {table} SELECT n, 'a' FROM n"
        ))?;
        for condition in ["(name, id) > (?1, ?2)", "name = ?1 AND id > ?2"] {
            let sql = format!("SELECT id FROM {table} WHERE {condition} ORDER BY name, id LIMIT 5");
            let plan: String =
                database.query_row(&format!("EXPLAIN QUERY PLAN {sql}"), params!["a", 9_000], |row| row.get(3))?;
            let mut statement = database.prepare(&sql)?;
            let rows: Vec<i64> = statement.query_map(params!["a", 9_000], |row| row.get(0))?.collect::<Result<_, _>>()?;
            assert_eq!(rows, [9_001, 9_002, 9_003, 9_004, 9_005]);
            let reads_all = statement.get_status(StatementStatus::VmStep) > 9_000;
            println!("{} {table}: {condition}: {plan}, reads all before: {reads_all}", rusqlite::version());
        }
    }
    Ok(())
}
RUST
seen=$(cargo run --quiet --manifest-path "$folder/Cargo.toml")
echo "$seen"
expected='3.51.3 keyed: (name, id) > (?1, ?2): SEARCH keyed USING COVERING INDEX keyed_name (name>?), reads all before: true
3.51.3 keyed: name = ?1 AND id > ?2: SEARCH keyed USING COVERING INDEX keyed_name (name=? AND id>?), reads all before: false
3.51.3 plain: (name, id) > (?1, ?2): SEARCH plain USING COVERING INDEX plain_name ((name,id)>(?,?)), reads all before: false
3.51.3 plain: name = ?1 AND id > ?2: SEARCH plain USING COVERING INDEX plain_name (name=? AND id>?), reads all before: false'
[[ $seen == "$expected" ]] || { echo "it behaves otherwise now" >&2; exit 1; }
