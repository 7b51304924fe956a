//! Which PostgreSQL servers there are behind an address, and which of them takes writes.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use sea_orm::sqlx::postgres::{PgConnectOptions, PgConnection};
use sea_orm::sqlx::{self, ConnectOptions, Connection};
use sea_orm::{DbErr, RuntimeErr};
use tokio::sync::watch;

use super::session::{self, Examined};
use crate::config::PostgresUrl;
use crate::store::error::StoreError;
use crate::store::options::StoreOptions;

/// Statements kept prepared per connection.
const STATEMENTS_KEPT: usize = 256;

/// Which address a pool leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum AddressKind {
    /// `database.url`.
    Main,
    /// `database.direct_url`, past any pooler.
    Direct,
}

/// The servers of a store; its handles share them.
#[derive(Debug)]
pub(in crate::store) struct PostgresServers {
    direct: Address,
    /// `None`: the same as `direct`.
    main: Option<Address>,
    /// When a server turned out to take no writes: connections made before are not used again.
    wrong_since: watch::Sender<Option<Instant>>,
}

/// One address: one or more hosts.
#[derive(Debug)]
pub(super) struct Address {
    hosts: Vec<PgConnectOptions>,
    /// The position of the host that new connections are made to.
    current: AtomicUsize,
    /// What each transaction begins with; `None` where sessions are our own.
    pub prelude: Option<String>,
    /// Why the last connection was given up again.
    refusal: Mutex<Option<&'static str>>,
    timeout: Duration,
    is_direct: bool,
}

impl PostgresServers {
    /// Looks for the servers and refuses those that cannot be relied on.
    pub async fn find(options: &StoreOptions) -> Result<Self, StoreError> {
        let has_pooler = !options.direct_url.is_empty() && options.direct_url != options.url;
        let key = if has_pooler { "database.direct_url" } else { "database.url" };
        let direct = Address::find(key, options.direct(), options, true).await?;
        let main = match has_pooler {
            true => Some(Address::find("database.url", &options.url, options, false).await?),
            false => None,
        };
        Ok(Self { direct, main, wrong_since: watch::Sender::new(None) })
    }

    pub(super) fn address(&self, route: AddressKind) -> &Address {
        match (&self.main, route) {
            (Some(main), AddressKind::Main) => main,
            _ => &self.direct,
        }
    }

    /// Checks again which host of the direct address takes writes.
    pub async fn look_again(&self) -> Result<(), StoreError> {
        self.direct.first_writable().await.map(drop)
    }

    /// A server takes no writes: all connections of this store are made anew.
    pub fn renew(&self) {
        self.wrong_since.send_replace(Some(Instant::now()));
    }

    /// Signals when connections have to be made anew.
    pub fn renewals(&self) -> watch::Receiver<Option<Instant>> {
        self.wrong_since.subscribe()
    }

    /// Whether a connection of this age may lead to a server that takes no writes.
    pub fn is_outdated(&self, age: Duration) -> bool {
        let wrong_since = *self.wrong_since.borrow();
        wrong_since.is_some_and(|wrong_since| wrong_since.elapsed() < age)
    }
}

impl Address {
    async fn find(key: &str, url: &str, options: &StoreOptions, is_direct: bool) -> Result<Self, StoreError> {
        let parsed =
            PostgresUrl::parse(url).map_err(|allowed| StoreError::setup(format!("{key}: allowed is {allowed}")))?;
        let settings = if is_direct { session::settings(options) } else { Vec::new() };
        let hosts = parsed.each_host.iter().map(|url| connect_options(url, &settings)).collect::<Result<_, _>>()?;
        let mut address = Self {
            hosts,
            current: AtomicUsize::new(0),
            prelude: None,
            refusal: Mutex::default(),
            timeout: options.acquire_timeout,
            is_direct,
        };
        let mut connection = address.first_writable().await.map_err(|error| explain(key, error))?;
        let lock_timeout = is_direct.then_some(options.lock_timeout.as_millis());
        let Examined { durability } = session::examine(&mut connection, lock_timeout, key).await?;
        let kept = match parsed.statement_cache {
            Some(kept) => kept,
            None if is_direct || session::keeps_statements(&mut connection).await? => STATEMENTS_KEPT,
            None => 0,
        };
        // It was only for the check.
        let _ = connection.close().await;
        if !is_direct || kept == 0 {
            address.prelude = Some(session::prelude(options, &durability, kept > 0));
        }
        address.hosts = address.hosts.into_iter().map(|host| host.statement_cache_capacity(kept)).collect();
        Ok(address)
    }

    /// How to connect now.
    pub fn options(&self) -> PgConnectOptions {
        self.hosts[self.place()].clone()
    }

    pub fn place(&self) -> usize {
        self.current.load(Ordering::Acquire)
    }

    /// Goes to the next host, unless the one at `place` has been left already.
    pub fn leave(&self, place: usize) {
        let next = (place + 1) % self.hosts.len();
        let _ = self.current.compare_exchange(place, next, Ordering::AcqRel, Ordering::Acquire);
    }

    /// Refuses a new connection if its server takes no writes.
    pub async fn welcome(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        let welcome = session::refuse_read_only(connection, self.is_direct).await;
        let is_wrong = matches!(welcome, Err(sqlx::Error::Configuration(_)));
        *self.refusal.lock().unwrap_or_else(PoisonError::into_inner) = is_wrong.then_some(session::TAKES_NO_WRITES);
        welcome
    }

    /// Why no connection could be made, if more is known than that the time is over.
    pub fn refusal(&self) -> Option<&'static str> {
        *self.refusal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Connects to the first host that takes writes. An error that may pass has precedence.
    async fn first_writable(&self) -> Result<PgConnection, StoreError> {
        let mut error = None;
        for (place, host) in self.hosts.iter().enumerate() {
            match self.connect(host).await {
                Ok(connection) => {
                    self.current.store(place, Ordering::Release);
                    return Ok(connection);
                }
                Err(failed) if error.is_none() || failed.is_unreachable() => error = Some(failed),
                Err(_) => {}
            }
        }
        Err(error.unwrap_or_else(|| StoreError::setup("the database's address names no host")))
    }

    async fn connect(&self, host: &PgConnectOptions) -> Result<PgConnection, StoreError> {
        let connected = async {
            let mut connection = host.connect().await.map_err(at_connecting)?;
            match session::refuse_read_only(&mut connection, false).await {
                // By itself it is the database's or role's mistake, which `examine` distinguishes.
                Err(sqlx::Error::Configuration(_)) if self.hosts.len() > 1 => {
                    Err(StoreError::wrong_server(session::TAKES_NO_WRITES))
                }
                Ok(()) | Err(sqlx::Error::Configuration(_)) => Ok(connection),
                Err(error) => Err(at_connecting(error)),
            }
        };
        let silence = || at_connecting(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into()));
        tokio::time::timeout(self.timeout, connected).await.unwrap_or_else(|_| Err(silence()))
    }
}

fn at_connecting(error: sqlx::Error) -> StoreError {
    DbErr::Conn(RuntimeErr::SqlxError(error.into())).into()
}

/// A pooler reveals itself when it refuses what no PostgreSQL does.
fn explain(key: &str, error: StoreError) -> StoreError {
    if error.to_string().contains("unsupported startup parameter") { session::through_a_pooler(key) } else { error }
}

/// Whether the driver can read an address.
pub(in crate::store) fn check_url(url: &str) -> Result<(), StoreError> {
    let parsed = PostgresUrl::parse(url).map_err(StoreError::setup)?;
    parsed.each_host.iter().try_for_each(|url| connect_options(url, &[]).map(drop))
}

/// `extra_float_digits` is not sent by itself, as the driver would: a pooler may know no other parameter than those it
/// keeps for each client.
fn connect_options(url: &str, settings: &[(&str, String)]) -> Result<PgConnectOptions, StoreError> {
    let mut options = url.parse::<PgConnectOptions>()?.extra_float_digits(None).disable_statement_logging();
    if options.get_application_name().is_none() {
        options = options.application_name("gristmill");
    }
    if !settings.is_empty() {
        options = options.options(settings.iter().map(|(name, value)| (name, value)));
    }
    Ok(options)
}
