//! The face: HTTP in, JSON out, and nothing decided here that the pipeline or the store decides.
//!
//! The API is served on one port, operations on another; `routes` shows both whole. A 2xx is sent only after the
//! pipeline has said that the event is durable.

mod access;
mod accounts;
mod answer;
mod audit;
mod auth;
mod body;
mod bounds;
mod caller;
mod cluster;
mod connection;
mod control;
mod credentials;
mod cursor;
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
mod lookups;
mod media;
mod metrics;
pub mod openapi;
mod ops;
mod params;
mod path;
mod percentiles;
mod ports;
mod problem_catalogue;
pub mod problems;
mod rate;
mod request;
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
mod trace;
mod unknown_tokens;

pub use accounts::{MadeToken, TokenView, UserView};
pub use auth::Auth;
pub use caller::Caller;
pub use ports::Ports;
pub use server::{Servers, ShutdownHandle, start};
pub use startup::Waiting;
