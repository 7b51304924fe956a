//! The removal of old rows, in pieces: each is one transaction that also notes what it removed and how far it has come,
//! so that a crash removes nothing twice and forgets nothing.
//!
//! Ages are measured by the clock of keys, which goes only while a server runs: a wall clock that jumps removes nothing,
//! and no event goes before its key. One node at a time is at it; that saves work, and no guarantee rests on it.

mod events;
mod pages;
mod partition;
mod records;
mod run;
mod terms;
mod walk;

pub use self::records::OldRecords;
pub(super) use self::run::parse;
pub use self::run::{PruneStep, Removed};
pub use self::terms::EventTerms;
