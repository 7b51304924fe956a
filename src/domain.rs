//! The pure core: what an event is, what is refused, what is made of it, and what becomes of it.
//!
//! Plain functions without async, I/O, clock or logs. Nothing here knows about HTTP or a database, nor about
//! actors more than their names.

pub mod actor_kind;
pub mod batch;
pub mod cloud_event;
pub mod dedupe;
pub mod email;
pub mod event;
pub mod histogram;
pub mod json;
pub mod normalize;
mod number;
pub mod outcome;
pub mod patch;
pub mod payload;
mod pointer;
pub mod rejection;
pub mod retention;
pub mod retry;
pub mod scopes;
pub mod submission;
pub mod timestamp;
pub mod trace;
