//! PostgreSQL: its health, rows as effects, tables as queues of dead letters. Whatever is asked runs in a transaction with
//! time limits of its own, so that a pooler in between keeps them too.

mod health;
mod keys;
mod questions;
mod standby;
mod table_queue;

use std::str::FromStr;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use sqlx::error::DatabaseError;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions};
use truegreen_model::probe::Check;

use crate::confirm::Confirm;
use crate::dead_letters::DeadLetters;
use crate::keys::Keys;
use crate::probe::failed;
use crate::sql::lines::Lines;
use crate::sql::peer::{Peer, Trouble};
use crate::sql::pieces::Dialect;
use crate::sql::table_queue::Form;
use crate::system::Ask;
use crate::{Error, SystemConfig};

/// A PostgreSQL server, primary or standby.
pub struct Postgres {
    config: Arc<SystemConfig>,
    lines: Arc<Lines<PgConnection>>,
    queues: Vec<Form>,
}

impl Postgres {
    /// Asks nothing yet.
    ///
    /// # Errors
    /// Where its URL or an entry of `dead_letters` cannot be read.
    pub fn new(config: Arc<SystemConfig>) -> Result<Postgres, Error> {
        let peer = Peer { address: config.address.clone(), dialect: Dialect::Postgres, limit: config.timeout };
        let options = PgConnectOptions::from_str(config.address.secret_url().as_str());
        let options = options.map_err(|error| peer.reason("its URL", error))?;
        let options = options.application_name("truegreen").disable_statement_logging();
        let queues = config.dead_letters.iter().map(|entry| Form::read(entry)).collect::<Result<_, _>>();
        let queues = queues.map_err(|error| Error::NotAsked(format!("dead_letters: {error}")))?;
        Ok(Postgres { lines: Arc::new(Lines::new(peer, options)), config, queues })
    }
}

#[async_trait]
impl Ask for Postgres {
    async fn probe(&self) -> Vec<Check> {
        let began = Instant::now();
        match self.lines.open().await {
            Ok(connection) => health::checks(&self.config, &self.lines.peer, connection, began.elapsed()).await,
            Err(error) => vec![failed("connect", &error)],
        }
    }

    fn confirm(&self) -> Option<&dyn Confirm> {
        Some(self)
    }

    fn keys(&self) -> Option<&dyn Keys> {
        Some(self)
    }

    fn dead_letters(&self) -> Option<&dyn DeadLetters> {
        Some(self)
    }
}

/// What a transaction may do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Access {
    Read,
    Write,
}

/// Begins a transaction that ends by itself.
async fn begin(peer: &Peer, connection: &mut PgConnection, access: Access) -> Result<(), Error> {
    let limit = peer.server_limit();
    let (mode, durable) = match access {
        Access::Read => ("READ ONLY", ""),
        // What is said to be there must be there after a crash. Stricter settings than this are left as they are.
        Access::Write => (
            "READ WRITE",
            "SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') = 'off';",
        ),
    };
    let begin = format!(
        "BEGIN TRANSACTION {mode}; SET LOCAL statement_timeout = {}; SET LOCAL lock_timeout = {}; \
         SET LOCAL idle_in_transaction_session_timeout = {}; {durable}",
        limit.as_millis().max(1),
        peer.lock_limit().as_millis(),
        (limit * 10).as_millis().max(1),
    );
    peer.within("the beginning of a transaction", sqlx::raw_sql(AssertSqlSafe(begin)).execute(connection)).await?;
    Ok(())
}

async fn end(peer: &Peer, connection: &mut PgConnection, how: &'static str) -> Result<(), Error> {
    peer.within("the end of a transaction", sqlx::raw_sql(how).execute(connection)).await?;
    Ok(())
}

/// What an SQLSTATE means to us.
pub(crate) fn trouble(error: &dyn DatabaseError) -> Trouble {
    let code = error.code();
    match code.as_deref().unwrap_or_default() {
        "57014" => Trouble::TimedOut,
        "28P01" | "28000" | "42501" => Trouble::Denied,
        "25006" => Trouble::ReadOnly,
        "53100" => Trouble::DiskFull,
        "53300" => Trouble::NoConnection,
        "55P03" | "40P01" => Trouble::Locked,
        "57P01" | "57P02" | "57P03" => Trouble::Unready,
        _ => Trouble::Other,
    }
}
