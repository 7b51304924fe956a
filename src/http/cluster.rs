//! The line of one node, and all nodes of its cluster.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

use super::state::AppState;
use crate::pipeline::{BootView, PipelineView, SnapshotView};

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

/// What is said where this node's own line says nothing.
pub(super) const UNDESCRIBED: &str = "the pipeline did not describe itself";

/// What the cluster looks like now; `None` if this node's pipeline does not answer.
pub(super) async fn cluster(state: &AppState) -> Option<Cluster> {
    let line = state.pipeline.describe().await?;
    Some(Cluster { line: NodePipeline::Own(Box::new(line)), snapshot: None, nodes: state.pipeline.nodes().await })
}
