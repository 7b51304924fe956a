//! The face: HTTP in, JSON out, and nothing decided here that the pipeline or the store decides.
//!
//! The API is served on one port, operations on another; `routes` shows both whole. A 2xx is sent only after the
//! pipeline has said that the event is durable.

mod accounts;
mod audit;
mod auth;
mod bearer;
mod body;
mod bounds;
mod cluster;
mod connection;
mod control;
mod dashboard;
mod encoding;
mod error;
mod events;
mod fields;
mod headers;
mod health;
mod html;
mod jobs;
mod limits;
mod listener;
mod lists;
mod lookups;
mod media;
mod metrics;
pub mod openapi;
mod ops;
mod origin;
mod percentiles;
mod ports;
mod problem_catalogue;
pub mod problems;
mod rate;
mod remote_node;
mod request;
mod request_id;
mod request_trace;
mod respond;
mod routes;
mod series;
mod server;
mod shared;
mod shutdown;
mod spool;
mod staleness;
mod startup;
mod state;
mod stats;
mod streaming;
mod trace;
mod unknown_tokens;
mod unread;

pub use accounts::{MadeToken, TokenView, UserView};
pub use auth::{Auth, Caller};
pub use ports::Ports;
pub use server::{Servers, ShutdownHandle, start};
pub use startup::Waiting;
