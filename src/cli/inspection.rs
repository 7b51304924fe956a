//! `gristmill db`: looks at the database, also beside a running server, and changes nothing.

use std::time::Duration;

use anyhow::bail;
use serde_json::json;

use super::args::DbCommand;
use super::as_json;
use super::database::with_patient_store;
use super::output::print;
use crate::config::Config;
use crate::config::units::size_text;
use crate::store::Sizes;

/// Longest look: whole tables are read.
const WAIT: Duration = Duration::from_secs(24 * 3_600);

pub(super) fn run(config: &Config, command: DbCommand) -> anyhow::Result<()> {
    match command {
        DbCommand::Size { json } => size(config, json),
        DbCommand::Check { json } => check(config, json),
    }
}

fn size(config: &Config, as_one_json: bool) -> anyhow::Result<()> {
    let Sizes { objects: sizes, free_bytes: free } =
        with_patient_store(config, async |store| Ok(store.sizes(WAIT).await?))?;
    let total: u64 = sizes.iter().map(|size| size.bytes).sum();
    if as_one_json {
        let objects: Vec<_> = sizes
            .iter()
            .map(|size| json!({"name": size.name, "table": size.table, "rows": size.rows, "bytes": size.bytes}))
            .collect();
        print(as_json(&json!({"bytes": total, "free_bytes": free, "objects": objects}))?)?;
        return Ok(());
    }
    print(format_args!("{:>14}  {:>12}  {:<22}  NAME", "BYTES", "ROWS", "TABLE"))?;
    for size in &sizes {
        let rows = size.rows.map_or_else(|| "index".to_owned(), |rows| rows.to_string());
        print(format_args!("{:>14}  {rows:>12}  {:<22}  {}", size.bytes, size.table, size.name))?;
    }
    print(format_args!("{total:>14}  in all ({}), and {free} bytes free for new rows", size_text(total)))?;
    Ok(())
}

fn check(config: &Config, as_one_json: bool) -> anyhow::Result<()> {
    let results = with_patient_store(config, async |store| Ok(store.check_up(WAIT).await?))?;
    let faults: usize = results.iter().map(|result| result.wrong.len()).sum();
    if as_one_json {
        let checks: Vec<_> = results.iter().map(|result| json!({"what": result.what, "wrong": result.wrong})).collect();
        print(as_json(&json!({"ok": faults == 0, "checks": checks}))?)?;
    } else {
        for result in &results {
            if result.wrong.is_empty() {
                print(format_args!("ok     {}", result.what))?;
            }
            for fault in &result.wrong {
                print(format_args!("wrong  {}: {fault}", result.what))?;
            }
        }
    }
    if faults > 0 {
        bail!("{faults} faults in the database");
    }
    Ok(())
}
