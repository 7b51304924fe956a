//! `GET /api/live/pipeline?node=NAME`: the line of any node as it publishes it, as server-sent events.
//!
//! One look a second at each node that is watched, however many watch it.

use std::collections::HashMap;
use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::web::Data;
use bytes::Bytes;
use serde::Serialize;
use tokio::sync::watch::{Receiver, Sender};

use super::live::quieten;
use super::sse::{self, LineSource, event};
use crate::http::access::{Authorised, ReadPipeline};
use crate::http::cluster::{self, Cluster, NodeParams, UNDESCRIBED};
use crate::http::credentials::Credentials;
use crate::http::error::ApiError;
use crate::http::params::Params;
use crate::http::problems::Problem;
use crate::http::shared::RemoteNodes;
use crate::http::state::AppState;

/// How often a node looks while somebody watches another.
const LOOK: Duration = Duration::from_secs(1);

/// Why the line is no longer shown.
#[derive(Serialize)]
struct StaleNotice<'a> {
    detail: &'a str,
}

impl RemoteNodes {
    /// Looks for as long as the future is polled.
    pub async fn run(state: Data<AppState>) {
        loop {
            for node in state.remote_nodes.nodes() {
                let text = match look(&state, &node).await {
                    Ok(cluster) => event("pipeline", &cluster),
                    Err(error) => event("doubt", &StaleNotice { detail: error.detail() }),
                };
                state.remote_nodes.publish(&node, text);
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    fn senders(&self) -> MutexGuard<'_, HashMap<String, Sender<Bytes>>> {
        self.senders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets those that nobody watches.
    fn nodes(&self) -> Vec<String> {
        let mut senders = self.senders();
        senders.retain(|_, sender| sender.receiver_count() > 0);
        senders.keys().cloned().collect()
    }

    fn follow(&self, node: String, now: Bytes) -> Receiver<Bytes> {
        let mut news = self.senders().entry(node).or_insert_with(|| Sender::new(now)).subscribe();
        news.mark_changed();
        news
    }

    fn publish(&self, node: &str, text: Bytes) {
        if let Some(sender) = self.senders().get(node) {
            sender.send_if_modified(|last| std::mem::replace(last, text.clone()) != text);
        }
    }
}

async fn look(state: &AppState, node: &str) -> Result<Cluster, ApiError> {
    let own = cluster::cluster(state).await.ok_or_else(|| ApiError::new(Problem::PipelineUnavailable, UNDESCRIBED))?;
    let mut cluster = cluster::view_of(state, own, node).await?;
    quieten(&mut cluster);
    Ok(cluster)
}

/// `GET /api/live/pipeline`, for the scopes that open the pipeline.
pub async fn follow_node(
    state: Data<AppState>,
    Authorised { rest: Params(NodeParams { node }), .. }: Authorised<ReadPipeline, Params<NodeParams>>,
    credentials: Credentials,
) -> Result<HttpResponse, ApiError> {
    let node = node.ok_or_else(|| ApiError::invalid_request("node is missing, expected a name or a boot_id"))?;
    let permit = sse::room(&state)?;
    let now = event("pipeline", &look(&state, &node).await?);
    let news = state.remote_nodes.follow(node, now);
    Ok(sse::stream(state, credentials, permit, news))
}

impl LineSource for Receiver<Bytes> {
    async fn next(&mut self) -> Bytes {
        // The sender lives for as long as the server does.
        let _ = self.changed().await;
        self.borrow_and_update().clone()
    }
}
