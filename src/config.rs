//! The configuration: compiled-in defaults, a file, the environment and flags, in this order.
//!
//! Guarantees: a `Config` has passed every check; every error of every source is reported at once; secrets are masked
//! in reports, in `Debug` and in `show`. Only the value in effect is checked: a bad value that a later source replaces
//! is not reported, an unknown key always is.
//! Not guaranteed: that the addresses can be bound or the database be reached.

mod bounds;
mod checks;
mod database_url;
mod errors;
#[cfg(feature = "fault-injection")]
mod faults;
mod planted_bugs;
mod postgres_url;
mod reader;
mod retention;
mod sections;
mod show;
mod sources;
#[cfg(test)]
mod tests;
mod tracing;
pub mod units;

use std::path::PathBuf;

pub use bounds::{
    ActorsConfig, DedupeConfig, LeaseConfig, LimitsConfig, PipelineConfig, RetryConfig, SpoolConfig, TimeoutsConfig,
};
pub use database_url::DatabaseKind;
pub use errors::ConfigErrors;
#[cfg(feature = "fault-injection")]
pub use faults::{FaultAction, FaultPoint, FaultRule, FaultStage};
pub use planted_bugs::PlantedBug;
pub use postgres_url::PostgresUrl;
pub use retention::RetentionConfig;
pub use sections::{AuthConfig, DashboardConfig, DatabaseConfig, HttpConfig, LogConfig, LogFormat, NodeConfig};
pub use sources::Sources;
pub use tracing::TracingConfig;

use reader::{ConfigReader, Effective};

/// Everything that can be configured, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// Folder of the node's own files.
    pub data_dir: PathBuf,
    /// Section `[node]`.
    pub node: NodeConfig,
    /// Section `[http]`.
    pub http: HttpConfig,
    /// Section `[dashboard]`.
    pub dashboard: DashboardConfig,
    /// Section `[database]`.
    pub database: DatabaseConfig,
    /// Section `[actors]`.
    pub actors: ActorsConfig,
    /// Section `[pipeline]`.
    pub pipeline: PipelineConfig,
    /// Section `[limits]`.
    pub limits: LimitsConfig,
    /// Section `[retry]`.
    pub retry: RetryConfig,
    /// Section `[timeouts]`.
    pub timeouts: TimeoutsConfig,
    /// Section `[dedupe]`.
    pub dedupe: DedupeConfig,
    /// Section `[retention]`.
    pub retention: RetentionConfig,
    /// Section `[lease]`.
    pub lease: LeaseConfig,
    /// Section `[spool]`.
    pub spool: SpoolConfig,
    /// Section `[auth]`.
    pub auth: AuthConfig,
    /// Section `[log]`.
    pub log: LogConfig,
    /// Section `[tracing]`.
    pub tracing: TracingConfig,
    /// The rules of `[[faults]]`.
    #[cfg(feature = "fault-injection")]
    pub faults: Vec<FaultRule>,
    /// The bug of `planted`.
    #[cfg(feature = "fault-injection")]
    pub planted: Option<PlantedBug>,
    /// Private, so that no `Config` comes into being unchecked.
    effective: Vec<Effective>,
}

impl Config {
    /// Lays the sources over each other and checks the result; all errors are reported at once.
    pub fn load(sources: &Sources) -> Result<Self, ConfigErrors> {
        let mut reader = ConfigReader::new(sources.collect());
        let mut config = Self::read(&mut reader);
        checks::check(&config, &mut reader);
        config.effective = reader.finish()?;
        Ok(config)
    }

    /// The compiled-in defaults alone.
    pub fn defaults() -> Self {
        Self::load(&Sources::default()).expect("the compiled-in defaults are allowed")
    }

    /// The defaults with a text in TOML laid over them.
    pub fn from_toml(text: &str) -> Result<Self, ConfigErrors> {
        Self::load(&Sources::of_text(text))
    }

    fn read(r: &mut ConfigReader) -> Self {
        let is_folder = |s: &str| !s.is_empty() && !s.chars().any(char::is_control);
        Config {
            data_dir: r.text("data_dir", "the path of a folder", is_folder).into(),
            node: NodeConfig::read(r),
            http: HttpConfig::read(r),
            dashboard: DashboardConfig::read(r),
            database: DatabaseConfig::read(r),
            actors: ActorsConfig::read(r),
            pipeline: PipelineConfig::read(r),
            limits: LimitsConfig::read(r),
            retry: RetryConfig::read(r),
            timeouts: TimeoutsConfig::read(r),
            dedupe: DedupeConfig::read(r),
            retention: RetentionConfig::read(r),
            lease: LeaseConfig::read(r),
            spool: SpoolConfig::read(r),
            auth: AuthConfig::read(r),
            log: LogConfig::read(r),
            tracing: TracingConfig::read(r),
            #[cfg(feature = "fault-injection")]
            faults: faults::read(r),
            #[cfg(feature = "fault-injection")]
            planted: planted_bugs::read(r),
            effective: Vec::new(),
        }
    }

    /// The database's address in effect. May hold a password: for reports take `database_url_masked`.
    pub fn database_url(&self) -> String {
        if self.database.url.is_empty() {
            return database_url::in_folder(&self.data_dir);
        }
        self.database.url.clone()
    }

    /// The address for connections that need a session of their own. May hold a password.
    pub fn direct_database_url(&self) -> String {
        if self.database.direct_url.is_empty() {
            return self.database_url();
        }
        self.database.direct_url.clone()
    }

    /// The database's address in effect, its password hidden.
    pub fn database_url_masked(&self) -> String {
        database_url::mask(&self.database_url())
    }

    /// The kind of database in effect.
    pub fn database_kind(&self) -> DatabaseKind {
        database_url::kind(&self.database_url()).expect("the address was checked")
    }

    /// Whether new events go to a spool while the database is away.
    pub fn has_spool(&self) -> bool {
        self.spool.enabled && self.database_kind() == DatabaseKind::Postgres
    }

    /// The node's name in effect: as configured, else the host's name.
    pub fn node_name(&self) -> String {
        if self.node.name.is_empty() {
            return host_name();
        }
        self.node.name.clone()
    }
}

/// The host's name, else `localhost`.
fn host_name() -> String {
    let name = gethostname::gethostname().into_string().unwrap_or_default();
    let name = Some(name.trim()).filter(|name| !name.is_empty() && !name.chars().any(char::is_control));
    name.unwrap_or("localhost").to_owned()
}
