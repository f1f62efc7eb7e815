//! Who holds what for too long, and who waits for it.

use sqlx::AssertSqlSafe;
use sqlx::mysql::{MySqlConnection, MySqlRow};
use truegreen_model::probe::Check;

use super::{Flavour, number, text};
use crate::config::Limit;
use crate::sql::peer::Peer;
use crate::sql::pieces::{Dialect, shape};
use crate::{Error, SystemConfig};

/// Seconds: the undo log grows behind the oldest transaction, and after minutes everybody reads through it.
const LONG_TRANSACTIONS: Limit = Limit::new(60.0, 600.0);
/// Seconds: callers of what waits have timed out by then.
const LOCK_WAITS: Limit = Limit::new(5.0, 60.0);
/// Characters of a statement that are shown, without its literals.
const STATEMENT: usize = 80;
/// Waiting sessions that are looked at.
const MAX_WAITING: usize = 100;
/// InnoDB tells times in the zone of the server's host, whatever the session's is.
const NOW: &str = "CONVERT_TZ(UTC_TIMESTAMP(), '+00:00', 'SYSTEM')";

/// What one has to be granted to see who waits.
pub(super) fn right(flavour: Flavour) -> &'static str {
    match flavour {
        Flavour::Mariadb => "PROCESS ON *.*",
        Flavour::Mysql => "PROCESS ON *.*, and SELECT ON performance_schema.*,",
    }
}

pub(super) async fn long_transactions(
    config: &SystemConfig,
    peer: &Peer,
    connection: &mut MySqlConnection,
    checks: &mut Vec<Check>,
) -> Result<(), Error> {
    let oldest = sqlx::raw_sql(AssertSqlSafe(format!(
        "SELECT TIMESTAMPDIFF(SECOND, t.trx_started, {NOW}), t.trx_mysql_thread_id, p.USER, p.COMMAND, t.trx_query \
         FROM information_schema.INNODB_TRX t \
         LEFT JOIN information_schema.PROCESSLIST p ON p.ID = t.trx_mysql_thread_id \
         WHERE t.trx_mysql_thread_id NOT IN (0, CONNECTION_ID()) ORDER BY t.trx_started LIMIT 1"
    )));
    let row = peer.within("its transactions", oldest.fetch_optional(connection)).await?;
    let seconds = row.as_ref().and_then(|row| number(row, 0)).unwrap_or_default().max(0.0);
    let what = match &row {
        None => "no transaction is open".to_owned(),
        Some(row) => format!("the oldest transaction is open for {seconds:.0} s: {}", session(row, 1)),
    };
    checks.push(config.judge("long_transactions", LONG_TRANSACTIONS, seconds, "s", &what));
    Ok(())
}

pub(super) async fn lock_waits(
    config: &SystemConfig,
    peer: &Peer,
    connection: &mut MySqlConnection,
    flavour: Flavour,
    checks: &mut Vec<Check>,
) -> Result<(), Error> {
    let (table, waits, blocks) = match flavour {
        Flavour::Mariadb => ("information_schema.INNODB_LOCK_WAITS", "requesting_trx_id", "blocking_trx_id"),
        Flavour::Mysql => {
            ("performance_schema.data_lock_waits", "REQUESTING_ENGINE_TRANSACTION_ID", "BLOCKING_ENGINE_TRANSACTION_ID")
        }
    };
    let rows = sqlx::raw_sql(AssertSqlSafe(format!(
        "SELECT TIMESTAMPDIFF(SECOND, r.trx_wait_started, {NOW}), r.trx_mysql_thread_id, rp.USER, rp.COMMAND, r.trx_query, \
         b.trx_mysql_thread_id, bp.USER, bp.COMMAND, b.trx_query \
         FROM {table} w JOIN information_schema.INNODB_TRX r ON r.trx_id = w.{waits} \
         JOIN information_schema.INNODB_TRX b ON b.trx_id = w.{blocks} \
         LEFT JOIN information_schema.PROCESSLIST rp ON rp.ID = r.trx_mysql_thread_id \
         LEFT JOIN information_schema.PROCESSLIST bp ON bp.ID = b.trx_mysql_thread_id \
         ORDER BY 1 DESC LIMIT {MAX_WAITING}"
    )));
    let rows = peer.within("its lock waits", rows.fetch_all(&mut *connection)).await?;
    let mut longest = rows.first().map(|row| {
        let blocked = format!("{}; blocked by {}", session(row, 1), session(row, 5));
        (number(row, 0).unwrap_or_default(), blocked)
    });
    // Of a table's definition, not of its rows: the engine knows nothing of these.
    let tables = sqlx::raw_sql(AssertSqlSafe(format!(
        "SELECT TIME, ID, USER, COMMAND, INFO FROM information_schema.PROCESSLIST \
         WHERE STATE LIKE 'Waiting for%metadata lock' ORDER BY TIME DESC LIMIT {MAX_WAITING}"
    )));
    let tables = peer.within("its lock waits", tables.fetch_all(connection)).await?;
    if let Some(row) = tables.first() {
        let seconds = number(row, 0).unwrap_or_default();
        if longest.as_ref().is_none_or(|(other, _)| seconds > *other) {
            longest = Some((
                seconds,
                format!("{}; for the definition of a table, see the oldest transaction", session(row, 1)),
            ));
        }
    }
    let count = rows.len() + tables.len();
    let (seconds, what) = match longest {
        None => (0.0, "nobody waits for a lock".to_owned()),
        Some((seconds, who)) => (seconds, format!("{count} wait for a lock, the longest for {seconds:.0} s: {who}")),
    };
    checks.push(config.judge("lock_waits", LOCK_WAITS, seconds.max(0.0), "s", &what));
    Ok(())
}

/// Who it is and what it does, without its data: id, user, command and statement, from this column on.
fn session(row: &MySqlRow, from: usize) -> String {
    let part = |at| text(row, from + at).unwrap_or_default();
    let (id, user, command, statement) = (part(0), part(1), part(2), part(3));
    let statement = shape(&statement, Dialect::Mysql, STATEMENT);
    let doing = if statement.is_empty() { "runs nothing now".to_owned() } else { format!("with `{statement}`") };
    format!("connection {id} ({user}, {command}) {doing}")
}
