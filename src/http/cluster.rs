//! The line of one node, and all nodes of its cluster; another node's line is as that one published it: behind one address,
//! every node shows the same.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::error::ApiError;
use super::fields::shown;
use super::problems::Problem;
use super::state::AppState;
use crate::pipeline::{BootView, PipelineView, SnapshotView};

/// What is said where this node's own line says nothing.
pub(super) const UNDESCRIBED: &str = "the pipeline did not describe itself";

/// The line of one node, and all nodes.
#[derive(JsonSchema, Serialize)]
pub(super) struct Cluster {
    #[serde(flatten)]
    #[schemars(with = "PipelineView")]
    pub line: NodePipeline,
    /// Null if it is the line of the node that answers.
    pub snapshot: Option<SnapshotView>,
    /// Null while the database does not answer.
    pub nodes: Option<Vec<BootView>>,
}

/// A line as it is, or as another node published it.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum NodePipeline {
    Own(Box<PipelineView>),
    Remote(Map<String, Value>),
}

impl Cluster {
    /// Whether it is the line of the node of this name or boot, seen by itself.
    pub fn is_of(&self, wanted: &str) -> bool {
        matches!(&self.line, NodePipeline::Own(line) if line.node.name == wanted || line.node.boot_id == wanted)
    }
}

/// What the cluster looks like now; `None` if this node's pipeline does not answer.
pub(super) async fn cluster(state: &AppState) -> Option<Cluster> {
    let line = state.pipeline.describe().await?;
    Some(Cluster { line: NodePipeline::Own(Box::new(line)), snapshot: None, nodes: state.pipeline.nodes().await })
}

/// Which node is requested.
#[derive(Debug, Deserialize)]
pub(super) struct NodeParams {
    /// Its name or boot; absent for the one that answers.
    pub node: Option<String>,
}

/// `own`, or the line of the `wanted` node instead.
pub(super) async fn view_of(state: &AppState, own: Cluster, wanted: &str) -> Result<Cluster, ApiError> {
    let Some(nodes) = &own.nodes else {
        let detail = "the database does not answer, and only it knows the other nodes";
        return if own.is_of(wanted) { Ok(own) } else { Err(ApiError::new(Problem::DatabaseUnavailable, detail)) };
    };
    let node = chosen(nodes, wanted)?;
    if node.this {
        return Ok(own);
    }
    let remote = state.pipeline.remote_snapshot(node.boot_id).await?.ok_or_else(|| {
        let detail = format!(
            "the node {}, boot {}, has not published a snapshot of its line yet",
            shown(&node.name),
            node.boot_id
        );
        ApiError::new(Problem::NotFound, detail)
    })?;
    Ok(Cluster { line: NodePipeline::Remote(remote.line), snapshot: Some(remote.snapshot), nodes: own.nodes })
}

/// The node of this boot, or of this name: the one that lives, else the last one that did.
fn chosen<'a>(nodes: &'a [BootView], wanted: &str) -> Result<&'a BootView, ApiError> {
    if let Some(node) = nodes.iter().find(|node| node.boot_id.to_string() == wanted) {
        return Ok(node);
    }
    let named = |state: &str| nodes.iter().filter(|node| node.name == wanted && node.state == state).collect();
    let [alive, silent, stopped]: [Vec<&BootView>; 3] = ["alive", "silent", "stopped"].map(named);
    if alive.len() > 1 {
        let detail = format!("{} living nodes are called {}, expected a boot_id", alive.len(), shown(wanted));
        return Err(ApiError::invalid_request(detail));
    }
    let all = alive.into_iter().chain(silent).chain(stopped);
    all.into_iter().next().ok_or_else(|| {
        ApiError::new(Problem::NotFound, format!("there is no node {}, expected a name or a boot_id", shown(wanted)))
    })
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn node(name: &str, state: &'static str, boot: u128) -> BootView {
        BootView {
            name: name.to_owned(),
            boot_id: Uuid::from_u128(boot),
            this: false,
            state,
            heartbeat_age_ms: 0,
            claims: 0,
            spool_events: 0,
            spool_bytes: 0,
            started_at: String::new(),
            control_generation: 0,
        }
    }

    #[test]
    fn a_name_stands_for_the_node_that_lives_or_the_last_that_did() {
        let nodes = [
            node("a", "silent", 1),
            node("a", "alive", 2),
            node("b", "alive", 3),
            node("b", "alive", 4),
            node("c", "stopped", 5),
            node("c", "stopped", 6),
        ];
        let boot = |wanted: &str| {
            let chosen = chosen(&nodes, wanted).map(|node| node.boot_id.as_u128());
            chosen.map_err(|error| error.problem().entry().code)
        };
        assert_eq!((boot("a"), boot("c")), (Ok(2), Ok(5)));
        assert_eq!(boot(&Uuid::from_u128(1).to_string()), Ok(1));
        assert_eq!(boot(&Uuid::from_u128(4).to_string()), Ok(4));
        assert_eq!((boot("b"), boot("d"), boot("")), (Err("invalid_request"), Err("not_found"), Err("not_found")));
    }
}
