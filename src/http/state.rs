//! What all requests share.

use std::sync::{Arc, OnceLock};

use actix_web::HttpRequest;
use actix_web::web::Data;
use bytes::Bytes;
use tokio::sync::Semaphore;

use super::auth::Auth;
use super::body::BodyLimits;
use super::bounds::{DASHBOARDS_MAX, EXPORTS_MAX, STREAMS_MAX};
use super::caller::Caller;
use super::rate::Rate;
use super::shared::{Backlogs, Live, LiveOutcomes, RemoteNodes, Streams};
use super::shutdown::Shutdown;
use crate::config::{Config, LimitsConfig};
use crate::domain::payload::PayloadLimits;
use crate::pipeline::Pipeline;
use crate::store::{Principal, Store};

/// One per process, shared by both ports.
pub struct AppState {
    /// Where events are read from.
    pub store: Store,
    /// Where events are handed in.
    pub pipeline: Pipeline,
    /// Which caller may do what.
    pub auth: Arc<Auth>,
    /// How much of a body is read, and for how long.
    pub body_limits: BodyLimits,
    /// The limits of a payload.
    pub payload_limits: PayloadLimits,
    /// The limits that apply to a client.
    pub limits: LimitsConfig,
    /// How many requests a token may send, if that is limited.
    pub rate: Option<Rate>,
    /// Room for exports.
    pub exports: Arc<Semaphore>,
    /// What streams share.
    pub streams: Streams,
    /// Room for streams.
    pub stream_room: Arc<Semaphore>,
    /// What scrapes share.
    pub backlogs: Backlogs,
    /// What dashboards share.
    pub live: Live,
    /// What dashboards see of other nodes.
    pub remote_nodes: RemoteNodes,
    /// What dashboards see of events.
    pub live_outcomes: LiveOutcomes,
    /// Room for dashboards.
    pub live_room: Arc<Semaphore>,
    /// The OpenAPI document as it is sent, made when it is first requested.
    pub document: OnceLock<Bytes>,
    /// The same as a page.
    pub docs_page: OnceLock<String>,
    /// Whether the server is on its way down.
    pub(super) shutdown: Arc<Shutdown>,
    /// Whether programs on this machine may look without a token.
    pub trusts_local: bool,
    node: String,
}

impl AppState {
    /// The state of a server that is open.
    pub fn new(config: &Config, store: Store, pipeline: Pipeline) -> Self {
        let auth = Arc::new(Auth::new(store.clone(), config.auth.outage_grace));
        let body_limits = BodyLimits {
            bytes_max: config.limits.body_bytes,
            silence_max: config.http.body_timeout,
            total_max: config.http.request_timeout,
        };
        let payload_limits = config.limits.payload();
        let rate = Rate::new(&config.limits);
        let shutdown = Arc::new(Shutdown::new(pipeline.stopping().clone()));
        let exports = Arc::new(Semaphore::new(EXPORTS_MAX));
        let streams = Streams::default();
        let stream_room = Arc::new(Semaphore::new(STREAMS_MAX));
        let live = Live::default();
        let live_room = Arc::new(Semaphore::new(DASHBOARDS_MAX));
        Self {
            store,
            pipeline,
            auth,
            body_limits,
            payload_limits,
            limits: config.limits.clone(),
            rate,
            exports,
            streams,
            stream_room,
            backlogs: Backlogs::default(),
            live,
            remote_nodes: RemoteNodes::default(),
            live_outcomes: LiveOutcomes::default(),
            live_room,
            document: OnceLock::new(),
            docs_page: OnceLock::new(),
            shutdown,
            trusts_local: config.dashboard.trust_local,
            node: config.node_name(),
        }
    }

    /// That of the server that `request` came to.
    pub fn of(request: &HttpRequest) -> &Data<Self> {
        request.app_data().expect("every app is given the state")
    }

    /// The author of a change, for the audit log.
    pub fn principal(&self, caller: &Caller) -> Principal {
        Principal { user_id: Some(caller.user_id), token_id: Some(caller.token_id), node: self.node.clone() }
    }

    /// Why an event that is posted now would not be stored; empty if it would.
    pub fn readiness(&self) -> Vec<String> {
        let unchecked = self.auth.refusal().map(str::to_owned);
        self.pipeline.readiness().into_iter().chain(unchecked).collect()
    }

    /// Whether the server is on its way down.
    pub fn is_draining(&self) -> bool {
        self.pipeline.stopping().has_begun()
    }
}
