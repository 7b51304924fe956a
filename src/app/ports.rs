//! Where the service listens, in a file for a caller that started it with port 0.

use std::fs::File;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::Context;
use serde_json::json;

/// Writes `ports.json` into the data folder, whole or not at all, also if the power is cut.
pub(super) fn write(data_dir: &Path, api: SocketAddr, dashboard: SocketAddr) -> anyhow::Result<()> {
    let ports = json!({ "http": api.to_string(), "dashboard": dashboard.to_string(), "pid": std::process::id() });
    let path = data_dir.join("ports.json");
    let draft = data_dir.join("ports.json.new");
    write_synced(&draft, &ports.to_string())
        .and_then(|()| std::fs::rename(&draft, &path))
        .with_context(|| format!("cannot write {}", path.display()))
}

fn write_synced(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(text.as_bytes())?;
    // A name without its bytes would be an empty file after a power cut.
    file.sync_all()
}
