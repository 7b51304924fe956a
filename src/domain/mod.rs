//! The pure core: no I/O, no clock, no logs.

pub mod scopes;
