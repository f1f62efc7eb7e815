//! How far a standby is behind its primary.

use std::time::{Duration, Instant};

use sqlx::Row;
use sqlx::postgres::PgConnection;
use truegreen_model::probe::{Check, Standing};

use super::{Access, begin};
use crate::config::Limit;
use crate::sql::peer::Peer;
use crate::{Error, SystemConfig};

/// Seconds: readers of a standby see by then that their own write is missing.
const LAG: Limit = Limit::new(10.0, 60.0);
/// Bytes of log that a standby has yet to replay: what a primary's loss would cost, and what its disk has to hold.
const LAG_BYTES: Limit = Limit::new(67_108_864.0, 1_073_741_824.0);
/// How long is waited to see whether a standby keeps up: its last commit may be hours old only because nobody writes.
const CATCH_UP: Duration = Duration::from_millis(500);
const PAUSE: Duration = Duration::from_millis(50);
/// Standbys that are told of.
const MAX_STANDBYS: i64 = 50;

/// What a standby says of itself.
pub(super) struct Standby {
    pub(super) seconds: f64,
    is_paused: bool,
    is_streaming: bool,
}

/// Checks of its lag, on a standby, or of its standbys', on a primary; none where there are none.
pub(super) async fn replication(
    config: &SystemConfig,
    peer: &Peer,
    connection: &mut PgConnection,
    checks: &mut Vec<Check>,
) -> Result<(), Error> {
    begin(peer, connection, Access::Read).await?;
    let Some(standby) = ask(peer, connection).await? else {
        return standbys(config, peer, connection, checks).await;
    };
    let seconds = standby.seconds;
    let mut what = format!("this standby is {seconds:.1} s behind");
    if standby.is_paused {
        what.push_str(", and its replay is paused (pg_wal_replay_resume() ends that)");
    }
    let mut check = config.judge("replication_lag", LAG, seconds, "s", &what);
    if !standby.is_streaming {
        check = Check::new(
            "replication_lag",
            check.standing.max(Standing::Warn),
            format!(
                "this standby receives nothing from its primary; it shows what was {seconds:.0} s ago or earlier\n\
                 hint: see primary_conninfo, and the primary's log; one that is fed by archived log only is always so"
            ),
        )
        .observed(seconds, "s");
    }
    checks.push(check);
    Ok(())
}

/// Within a transaction: how far this server is behind, where it is a standby.
pub(super) async fn ask(peer: &Peer, connection: &mut PgConnection) -> Result<Option<Standby>, Error> {
    let state = sqlx::query(
        "SELECT pg_is_in_recovery(), \
         CASE WHEN pg_is_in_recovery() THEN pg_is_wal_replay_paused() ELSE false END, \
         EXISTS (SELECT 1 FROM pg_stat_wal_receiver WHERE pid IS NOT NULL), \
         pg_last_wal_receive_lsn()::text, \
         extract(epoch FROM clock_timestamp() - coalesce(pg_last_xact_replay_timestamp(), \
         pg_postmaster_start_time()))::float8",
    );
    let row = peer.within("its replication", state.fetch_one(&mut *connection)).await?;
    let flag = |at| row.try_get::<bool, _>(at).unwrap_or_default();
    if !flag(0) {
        return Ok(None);
    }
    let (is_paused, is_streaming) = (flag(1), flag(2));
    let since: f64 = row.try_get(4).unwrap_or_default();
    let received: Option<String> = row.try_get(3).unwrap_or_default();
    let began = Instant::now();
    let seconds = loop {
        let replayed = sqlx::query_scalar("SELECT coalesce(pg_last_wal_replay_lsn() >= $1::text::pg_lsn, false)");
        let replayed = replayed.bind(&received).fetch_one(&mut *connection);
        if peer.within("its replication", replayed).await? && is_streaming {
            break began.elapsed().as_secs_f64();
        }
        if is_paused || !is_streaming || began.elapsed() > CATCH_UP.min(peer.limit / 4) {
            break since.max(began.elapsed().as_secs_f64());
        }
        tokio::time::sleep(PAUSE).await;
    };
    Ok(Some(Standby { seconds, is_paused, is_streaming }))
}

async fn standbys(
    config: &SystemConfig,
    peer: &Peer,
    connection: &mut PgConnection,
    checks: &mut Vec<Check>,
) -> Result<(), Error> {
    let rows = sqlx::query(
        "SELECT coalesce(nullif(application_name, ''), 'pid ' || pid), state, \
         extract(epoch FROM replay_lag)::float8, pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn)::float8 \
         FROM pg_stat_replication ORDER BY 4 DESC NULLS LAST LIMIT $1",
    );
    let rows = rows.bind(MAX_STANDBYS).fetch_all(connection);
    for row in peer.within("its standbys", rows).await? {
        let name: String = row.try_get(0).unwrap_or_default();
        let component = format!("standby {name}");
        let state: Option<String> = row.try_get(1).unwrap_or_default();
        let bytes: Option<f64> = row.try_get(3).unwrap_or_default();
        let (Some(state), bytes) = (state, bytes) else {
            let reason = "this user may not see how standbys do\nhint: GRANT pg_monitor TO it";
            checks.push(Check::new("replication_lag", Standing::Unknown, reason).of(component));
            continue;
        };
        let Some(bytes) = bytes else {
            let reason = format!("it has replayed nothing yet: {state}");
            checks.push(Check::new("replication_lag", Standing::Warn, reason).of(component));
            continue;
        };
        // None where it is idle and has caught up.
        let seconds: f64 = row.try_get::<Option<f64>, _>(2).ok().flatten().unwrap_or(0.0);
        let what = format!("{name} ({state}) was last {seconds:.1} s behind");
        checks.push(config.judge("replication_lag", LAG, seconds, "s", &what).of(component.clone()));
        let what = format!("{name} ({state}) has {bytes:.0} bytes to replay");
        checks.push(config.judge("replication_lag_bytes", LAG_BYTES, bytes.max(0.0), "By", &what).of(component));
    }
    Ok(())
}
