//! MySQL and MariaDB: their health, rows as effects, tables as queues of dead letters. Whatever is asked runs in a transaction
//! with time limits of its own.

mod health;
mod keys;
mod locks;
mod questions;
mod replica;
mod table_queue;

use std::str::FromStr;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use sqlx::error::DatabaseError;
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection, MySqlDatabaseError, MySqlRow};
use sqlx::{AssertSqlSafe, ConnectOptions, Row};
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

/// A MySQL or MariaDB server, primary or replica.
pub struct Mysql {
    config: Arc<SystemConfig>,
    lines: Arc<Lines<MySqlConnection>>,
    queues: Vec<Form>,
}

impl Mysql {
    /// Asks nothing yet.
    ///
    /// # Errors
    /// Where its URL or an entry of `dead_letters` cannot be read.
    pub fn new(config: Arc<SystemConfig>) -> Result<Mysql, Error> {
        let peer = Peer { address: config.address.clone(), dialect: Dialect::Mysql, limit: config.timeout };
        let options = MySqlConnectOptions::from_str(config.address.secret_url().as_str());
        let options = options.map_err(|error| peer.reason("its URL", error))?;
        // Its own way with SQL is set once it is known.
        let options = options.pipes_as_concat(false).no_engine_substitution(false).disable_statement_logging();
        let queues = config.dead_letters.iter().map(|entry| Form::read(entry)).collect::<Result<_, _>>();
        let queues = queues.map_err(|error| Error::NotAsked(format!("dead_letters: {error}")))?;
        Ok(Mysql { lines: Arc::new(Lines::new(peer, options)), config, queues })
    }
}

#[async_trait]
impl Ask for Mysql {
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

/// Which of the two it is: they limit time, and tell of locks, in different ways.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Flavour {
    Mysql,
    Mariadb,
}

/// Sets the time limits that the server itself keeps, and the way it reads SQL, whatever it is usually told.
async fn limit(peer: &Peer, connection: &mut MySqlConnection) -> Result<Flavour, Error> {
    let version = sqlx::raw_sql("SELECT VERSION()").fetch_one(&mut *connection);
    let version = text(&peer.within("its version", version).await?, 0).unwrap_or_default();
    let limit = peer.server_limit();
    let flavour = if version.contains("MariaDB") { Flavour::Mariadb } else { Flavour::Mysql };
    let statement = match flavour {
        Flavour::Mariadb => format!("max_statement_time = {:.3}", limit.as_secs_f64().max(0.001)),
        Flavour::Mysql => format!("max_execution_time = {}", limit.as_millis().max(1)),
    };
    let lock = peer.lock_limit().as_secs();
    let settings = format!(
        "SET SESSION sql_mode = 'STRICT_ALL_TABLES', {statement}, lock_wait_timeout = {lock}, \
         innodb_lock_wait_timeout = {lock}"
    );
    peer.within("its settings", sqlx::raw_sql(AssertSqlSafe(settings)).execute(connection)).await?;
    Ok(flavour)
}

/// Begins a transaction, after [`limit`].
async fn begin(peer: &Peer, connection: &mut MySqlConnection, access: Access) -> Result<(), Error> {
    let begin = match access {
        Access::Read => "START TRANSACTION READ ONLY",
        Access::Write => "START TRANSACTION READ WRITE",
    };
    peer.within("the beginning of a transaction", sqlx::raw_sql(begin).execute(connection)).await?;
    Ok(())
}

async fn end(peer: &Peer, connection: &mut MySqlConnection, how: &'static str) -> Result<(), Error> {
    peer.within("the end of a transaction", sqlx::raw_sql(how).execute(connection)).await?;
    Ok(())
}

/// The text of a column, of whatever kind the server calls it; of an answer to a statement without parameters, which is all
/// text.
fn text(row: &MySqlRow, at: usize) -> Option<String> {
    let bytes = row.try_get_unchecked::<Option<Vec<u8>>, _>(at).ok().flatten()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// The same by the column's name, the first of several that there is.
fn named(row: &MySqlRow, names: &[&str]) -> Option<String> {
    let bytes = names.iter().find_map(|name| row.try_get_unchecked::<Option<Vec<u8>>, _>(*name).ok()).flatten()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// A number among these texts.
fn number(row: &MySqlRow, at: usize) -> Option<f64> {
    text(row, at)?.parse().ok()
}

/// A string literal.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

/// What an error number means to us.
pub(crate) fn trouble(error: &dyn DatabaseError) -> Trouble {
    match error.try_downcast_ref::<MySqlDatabaseError>().map_or(0, MySqlDatabaseError::number) {
        1969 | 3024 => Trouble::TimedOut,
        1044 | 1045 | 1142 | 1143 | 1227 | 1370 | 1698 => Trouble::Denied,
        1290 | 1792 | 1836 => Trouble::ReadOnly,
        1021 | 1114 => Trouble::DiskFull,
        1040 | 1203 | 1226 => Trouble::NoConnection,
        1205 | 1213 => Trouble::Locked,
        1053 => Trouble::Unready,
        _ if error.message().contains("No space left on device") => Trouble::DiskFull,
        _ => Trouble::Other,
    }
}
