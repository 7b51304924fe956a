//! Several nodes on one database, and what a node tells of its life: one module per fault or promise.

mod lines;
