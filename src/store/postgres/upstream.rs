//! What a pool learns about its servers from errors.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use sea_orm::sqlx::postgres::PgPool;

use super::servers::{Address, AddressKind, PostgresServers};
use crate::store::db_pool::DbPool;
use crate::store::error::{Cause, StoreError};

/// Where a pool leads to.
#[derive(Debug)]
pub(in crate::store) struct Upstream {
    servers: Arc<PostgresServers>,
    route: AddressKind,
    /// The position of the host that the pool connects to.
    place: AtomicUsize,
}

impl Upstream {
    pub fn new(servers: Arc<PostgresServers>, route: AddressKind) -> Self {
        let place = AtomicUsize::new(servers.address(route).place());
        Self { servers, route, place }
    }

    pub fn servers(&self) -> &Arc<PostgresServers> {
        &self.servers
    }

    fn address(&self) -> &Address {
        self.servers.address(self.route)
    }

    /// Judges connections or the host by an error, and adds what is known better.
    pub fn heed(&self, error: StoreError, link: &DbPool) -> StoreError {
        let pool = link.pool().get_postgres_connection_pool();
        if error.is_read_only() {
            self.servers.renew();
            tokio::spawn(super::close_idle(pool.clone()));
        }
        if error.is_read_only() || error.is_unreachable() || matches!(error.cause, Cause::Abandoned(_)) {
            self.follow(pool);
        }
        self.explain(error)
    }

    /// Lets the pool connect to another host, unless there is but one.
    fn follow(&self, pool: &PgPool) {
        let address = self.address();
        address.leave(self.place.load(Ordering::Acquire));
        let place = address.place();
        if self.place.swap(place, Ordering::AcqRel) != place {
            pool.set_connect_options(address.options());
        }
    }

    /// A connection that was made and refused again looks to the pool like a time-out.
    fn explain(&self, error: StoreError) -> StoreError {
        match self.address().refusal().filter(|_| error.is_without_connection()) {
            Some(refusal) => StoreError::wrong_server(refusal),
            None => error,
        }
    }
}
