//! Integration tests: the tree's own rules, the harness, and the service as its users meet it.

mod architecture;
#[macro_use]
mod support;
mod durability;
mod store;
