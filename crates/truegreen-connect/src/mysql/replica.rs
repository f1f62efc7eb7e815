//! How far a replica is behind its source.

use sqlx::mysql::{MySqlConnection, MySqlRow};
use truegreen_model::probe::{Check, Standing};

use super::{Flavour, named};
use crate::config::Limit;
use crate::sql::peer::Peer;
use crate::{Error, SystemConfig};

/// Seconds: readers of a replica see by then that their own write is missing.
const LAG: Limit = Limit::new(10.0, 60.0);

/// What one has to be granted to see it.
pub(super) fn right(flavour: Flavour) -> &'static str {
    match flavour {
        Flavour::Mariadb => "REPLICA MONITOR ON *.*",
        Flavour::Mysql => "REPLICATION CLIENT ON *.*",
    }
}

/// Checks of its lag, one for each source; none where it is no replica.
pub(super) async fn replication(
    config: &SystemConfig,
    peer: &Peer,
    connection: &mut MySqlConnection,
    flavour: Flavour,
    checks: &mut Vec<Check>,
) -> Result<(), Error> {
    for row in status(peer, connection, flavour).await? {
        let channel = named(&row, &["Connection_name", "Channel_Name"]).unwrap_or_default();
        let check = match seconds(&row) {
            Some(seconds) => {
                let what = format!("this replica is {seconds:.0} s behind");
                config.judge("replication_lag", LAG, seconds, "s", &what)
            }
            None => Check::new("replication_lag", Standing::Fail, stopped(&row)),
        };
        checks.push(if channel.is_empty() { check } else { check.of(format!("channel {channel}")) });
    }
    Ok(())
}

/// Its status, a row for each source.
pub(super) async fn status(
    peer: &Peer,
    connection: &mut MySqlConnection,
    flavour: Flavour,
) -> Result<Vec<MySqlRow>, Error> {
    let (now, before) = match flavour {
        Flavour::Mariadb => ("SHOW ALL SLAVES STATUS", "SHOW SLAVE STATUS"),
        Flavour::Mysql => ("SHOW REPLICA STATUS", "SHOW SLAVE STATUS"),
    };
    match peer.within("its replication", sqlx::raw_sql(now).fetch_all(&mut *connection)).await {
        // Older than the words.
        Err(Error::Answered(_)) => peer.within("its replication", sqlx::raw_sql(before).fetch_all(connection)).await,
        status => status,
    }
}

/// Seconds behind this source; none where it does not follow.
pub(super) fn seconds(row: &MySqlRow) -> Option<f64> {
    named(row, &["Seconds_Behind_Source", "Seconds_Behind_Master"])?.parse().ok()
}

/// Why it does not follow. The server's own text is left out: it quotes statements with their data.
fn stopped(row: &MySqlRow) -> String {
    let part = |names: &[&str]| named(row, names).unwrap_or_default();
    let receives = part(&["Replica_IO_Running", "Slave_IO_Running"]);
    let applies = part(&["Replica_SQL_Running", "Slave_SQL_Running"]);
    let error =
        |number: String| if matches!(number.as_str(), "" | "0") { String::new() } else { format!(", error {number}") };
    if applies != "Yes" {
        let error = error(part(&["Last_SQL_Errno"]));
        return format!(
            "this replica applies nothing: its SQL thread does not run{error}\nhint: SHOW REPLICA STATUS says why"
        );
    }
    let error = error(part(&["Last_IO_Errno"]));
    format!(
        "this replica receives nothing from its source: its I/O thread says {receives}{error}\n\
         hint: SHOW REPLICA STATUS says why"
    )
}
