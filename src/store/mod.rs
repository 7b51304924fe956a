//! The store: the only place that speaks to a database.
//!
//! Every operation runs as a task that its caller cannot cancel (`Store::run`): a database future that is dropped
//! half-way can leave a pooled connection inside a transaction, and later writes on it would vanish.

mod audit;
mod backlog;
mod claim;
mod controls;
pub mod dialect;
mod ends;
mod error;
mod events;
mod feed;
mod flush;
mod hints;
pub mod identity;
mod ids;
mod jobs;
mod key_clock;
mod link;
mod listing;
pub mod migrate;
mod neighbours;
mod nodes;
mod open;
mod plans;
mod pools;
mod postgres;
mod replay;
mod rollup;
mod secret;
mod series;
mod sessions;
mod snapshots;
mod spool;
mod sqlite;
mod stats;
mod timeline;
mod times;
mod token_uses;
mod tokens;
mod users;

pub use audit::{Action, AuditEntry, AuditFilters, By};
pub use backlog::{Backlog, PoolUse};
pub use claim::{ClaimOrder, Claimed, Death, Due};
pub use controls::{Change, Control, Controls, Stamp, Target};
pub use ends::End;
pub use error::{Cause, Kind, Outcome as StoreOutcome, StoreError};
pub use events::StoredEvent;
pub use feed::{FeedEvent, FeedPlace};
pub use flush::{FailedAttempt, First, FlushError, FlushHeader, Record, Written};
pub use hints::{Hint, Listener};
pub use ids::{BLOCK_IDS_MAX, Ids};
pub use jobs::{Found, Job, JobKind, JobStatus, NewJob, Step};
pub use listing::{Filters, ListQuery, Order, Place, Slice};
pub use neighbours::Neighbour;
pub use nodes::{Node, SpoolKeeper, Vitals};
pub use open::{Conn, Store, StoreOptions, begin_write, commit};
pub use replay::{Refusal, Reopened, Replay, ReplayRules, Seen};
pub use secret::{Secret, TOKEN_PREFIX_CHARS, hash_token};
pub use series::{Bucket, Series};
pub use snapshots::Snapshot;
pub use spool::{Level, Opened, Parked, Spool, SpoolLimits, SpooledUnit, Until};
pub use stats::{Balance, Stats, Sums, TYPES_MAX, TypeSums};
pub use timeline::{Attempt, OperatorChange, Timeline};
pub use tokens::{NewToken, Token, TokenRecord};
pub use users::User;
