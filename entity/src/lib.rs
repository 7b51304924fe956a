//! SeaORM entities, one per file: columns and relations, no policy.
//!
//! Times are UTC. On SQLite they are RFC 3339 text as sqlx writes it, uuids are 16 byte blobs and JSON is text.

pub mod api_token;
pub mod archive_file;
pub mod attempt;
pub mod audit;
pub mod auth_change;
pub mod control;
pub mod control_change;
pub mod dedupe_key;
pub mod event;
pub mod flush;
pub mod flush_minute;
pub mod id_block;
pub mod job;
pub mod meta;
pub mod node;
pub mod repeat;
pub mod replay;
pub mod retention;
pub mod retention_walk;
pub mod snapshot;
pub mod user;
