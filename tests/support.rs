//! The harness: databases, the real server process, clients and load for the tests.
//!
//! Everything that a test run starts or writes belongs to [`run::folder`] and is stopped and
//! removed at the end, also when the run panics or is killed.

/// Makes one test body two tests, `…::on_sqlite` and `…::on_postgres`, each with a fresh database.
macro_rules! both_databases {
    ($($(#[$meta:meta])* fn $name:ident($db:ident) $body:block)+) => {$(
        fn $name($db: $crate::support::database::Database) $body

        mod $name {
            use crate::support::database::Database;

            $(#[$meta])*
            #[test]
            fn on_sqlite() {
                super::$name(Database::sqlite());
            }

            $(#[$meta])*
            #[test]
            fn on_postgres() {
                super::$name(Database::postgres());
            }
        }
    )+};
}

pub mod accounts;
pub mod browser;
pub mod collector;
pub mod contract;
pub mod database;
pub mod dice;
pub mod events;
pub mod fuzz;
pub mod http;
pub mod lacks;
pub mod ledger;
pub mod load;
pub mod machine;
pub mod pooler;
pub mod postgres;
pub mod proxy;
pub mod python;
pub mod run;
pub mod server;
pub mod session;
pub mod terminal;
pub mod wait;
pub mod wire;

mod proofs;
