//! The database of a server that is started for a run: a file in its folder, or a database that is made on a PostgreSQL
//! server and dropped again. No run writes into a database that was there before.

use std::path::{Path, PathBuf};

use anyhow::Context;
use tokio::runtime::Runtime;

use crate::app::store_options;
use crate::cli::database::runtime;
use crate::config::Config;
use crate::store::{BareInsert, BareInsertPlan, ScratchServer, StoreOptions};

/// A database that is removed when this is dropped.
pub(super) struct ScratchDatabase {
    options: StoreOptions,
    /// The file that the bare INSERT may make.
    beside: PathBuf,
    runtime: Runtime,
    postgres: Option<OnServer>,
}

struct OnServer {
    server: ScratchServer,
    name: String,
}

impl ScratchDatabase {
    /// On this PostgreSQL server, else in the data folder.
    pub(super) fn make(postgres: Option<&str>, data: &Path) -> anyhow::Result<Self> {
        let runtime = runtime()?;
        let beside = data.with_file_name("bare.db");
        let Some(url) = postgres else {
            return Ok(Self { options: options("", data), beside, runtime, postgres: None });
        };
        let name = format!("gristmill_bench_{}_{:08x}", std::process::id(), getrandom::u32()?);
        let server = runtime.block_on(async {
            let mut server = ScratchServer::connect(&options(url, data)).await?;
            server.make(&name).await?;
            anyhow::Ok(server)
        });
        let server = server.context("--database")?;
        let options = options(&ScratchServer::url_of(url, &name), data);
        Ok(Self { options, beside, runtime, postgres: Some(OnServer { server, name }) })
    }

    /// The address for `database.url`.
    pub(super) fn url(&self) -> &str {
        &self.options.url
    }

    /// The process of PostgreSQL that serves this one, and the name of its database; `None` on SQLite.
    pub(super) fn backend(&mut self) -> anyhow::Result<Option<(i32, String)>> {
        let Self { runtime, postgres, .. } = self;
        let backend = postgres.as_mut().map(|on| runtime.block_on(on.server.backend()));
        Ok(backend.transpose()?)
    }

    /// Inserts rows of its events again.
    pub(super) fn bare_insert(&self, sample: usize, per_transaction: usize) -> anyhow::Result<BareInsert> {
        let plan = BareInsertPlan { sample, per_transaction, scratch: &self.beside };
        Ok(self.runtime.block_on(plan.run(&self.options))?)
    }
}

impl Drop for ScratchDatabase {
    fn drop(&mut self) {
        if let Some(OnServer { server, name }) = &mut self.postgres
            && let Err(error) = self.runtime.block_on(server.drop(name))
        {
            crate::cli::output::remark(format_args!("the database {name} is left behind: {error}"));
        }
    }
}

/// As the service opens the database at this address, or the one in its data folder if there is no address.
fn options(url: &str, data: &Path) -> StoreOptions {
    let mut config = Config::defaults();
    config.database.url = url.to_owned();
    config.data_dir = data.to_owned();
    store_options(&config)
}
