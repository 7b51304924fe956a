//! `gristmill send`: one event; its answer is printed as it came.

use std::io::Read;
use std::process::ExitCode;

use anyhow::Context;
use serde_json::json;
use serde_json::value::RawValue;

use super::api_client::{ApiClient, exit_code};
use crate::cli::args::client::SendArgs;
use crate::cli::output::print;

/// Answers that say what became of the event.
const OUTCOMES: [u16; 5] = [200, 202, 409, 413, 422];

pub(super) fn run(send: &SendArgs, client: &ApiClient) -> anyhow::Result<ExitCode> {
    let event = event(send)?;
    let prefer = send.wait.map(|seconds| format!("wait={seconds}"));
    let headers: Vec<(&str, &str)> = prefer.iter().map(|prefer| ("Prefer", prefer.as_str())).collect();
    let answer = client.post_once("/api/v1/events", &headers, &event)?.understood(&OUTCOMES)?;
    print(answer.text.trim_end())?;
    let outcome: serde_json::Value = answer.json()?;
    Ok(exit_code(answer.status < 300 && outcome["status"] != "failed"))
}

fn event(send: &SendArgs) -> anyhow::Result<String> {
    let text = match send.event.as_deref() {
        Some("-") => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).context("cannot read standard input")?;
            text
        }
        Some(text) => text.to_owned(),
        None => {
            let payload = send.payload.as_deref().map(serde_json::from_str::<&RawValue>).transpose();
            let payload = payload.context("the payload is not JSON")?;
            json!({ "event_name": send.name, "event_type": send.event_type, "payload": payload }).to_string()
        }
    };
    serde_json::from_str::<&RawValue>(&text).context("the event is not JSON")?;
    Ok(text)
}
