//! Integration tests: the tree's own rules, the harness, and the service as its users meet it.

mod architecture;
#[macro_use]
mod support;

mod accounts;
mod auth;
mod bad_input;
mod batch;
mod bench;
mod browser;
mod chaos;
mod client;
mod cloud_events;
mod connections;
mod control;
mod dashboard;
mod dedupe;
mod documents;
mod durability;
#[cfg(feature = "fault-injection")]
mod faults;
mod fuzz;
mod headers;
mod jobs;
mod limits;
mod nodes;
mod openapi;
mod outside;
mod plans;
mod postgres;
mod problems;
mod rate;
mod readiness;
mod repeats;
mod replay;
mod retention;
mod spec;
mod spool;
mod start;
mod store;
mod telemetry;
mod traces;
mod unknown_tokens;
mod unreadable;
