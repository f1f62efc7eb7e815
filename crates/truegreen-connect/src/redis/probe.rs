//! How it is: what it answers, what it says of itself, and whether it takes a write.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use redis::cmd;
use truegreen_model::probe::{Check, Standing};

use super::Redis;
use super::dial::Connection;
use super::info::Info;
use crate::config::Limit;
use crate::probe::failed;
use crate::{Error, SystemConfig};

/// How long the key of a probe that died between its write and its removal stays.
const SCRATCH_SECONDS: u32 = 60;
/// The prefix of the key that is read where no scratch is configured; nobody writes it.
const NO_SCRATCH: &str = "truegreen";

/// How many keys were evicted, when that was last asked.
pub(super) struct Evicted {
    at: Instant,
    /// A restart begins to count anew.
    run: String,
    keys: f64,
}

impl Redis {
    pub(super) async fn checks(&self) -> Vec<Check> {
        let config = &*self.config;
        let mut connection = match Connection::open(config).await {
            Ok(connection) => connection,
            Err(error) => return vec![failed("connect", &error)],
        };
        let began = Instant::now();
        // A full disk refuses PING, and not ECHO, which says as much of the connection.
        if let Err(error) = connection.ask::<String>("ECHO", cmd("ECHO").arg("truegreen")).await {
            return vec![failed("connect", &error)];
        }
        let seconds = began.elapsed().as_secs_f64();
        let mut checks = vec![Check::pass("connect"), slow(config, seconds)];
        checks.push(match read(config, &mut connection).await {
            Ok(()) => Check::pass("read"),
            Err(error) => failed("read", &error),
        });
        if let Some(prefix) = &config.scratch {
            checks.push(match write(prefix, &mut connection).await {
                Ok(()) => Check::pass("write"),
                Err(error) => failed("write", &error),
            });
        }
        match Info::read(&mut connection).await {
            Ok(info) => {
                checks.push(memory(config, &info));
                checks.push(self.evictions(&info));
                checks.extend(replication(config, &info));
                checks.push(persistence(&info));
                checks.push(clients(config, &info));
            }
            Err(Error::Denied(why)) => {
                let reason = format!("does not tell how it is: {why}\nhint: ACL SETUSER ... +info");
                checks.push(Check::new("info", Standing::Unknown, reason));
            }
            Err(error) => checks.push(failed("info", &error)),
        }
        checks
    }

    /// Since the last probe, or since its start where this is the first.
    fn evictions(&self, info: &Info) -> Check {
        let (Some(keys), Some(run)) = (info.number("evicted_keys"), info.text("run_id")) else {
            return Check::new("evictions", Standing::Unknown, "INFO does not tell evicted_keys");
        };
        let now = Evicted { at: Instant::now(), run: run.to_owned(), keys };
        let mut evicted = self.evicted.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let (rate, since) = match evicted.as_ref().filter(|before| before.run == now.run && before.keys <= keys) {
            Some(before) => {
                let seconds = now.at.duration_since(before.at).as_secs_f64();
                ((keys - before.keys) / seconds.max(0.001), "since the last probe")
            }
            None => (keys / info.number("uptime_in_seconds").unwrap_or(1.0).max(1.0), "since it started"),
        };
        *evicted = Some(now);
        let what = format!("{rate:.1} keys a second were evicted {since}, {keys:.0} in all");
        self.config.judge("evictions", Limit { warn: Some(10.0), fail: None }, rate, "keys/s", &what)
    }
}

fn slow(config: &SystemConfig, seconds: f64) -> Check {
    let what = format!("ECHO was answered in {:.1} ms", seconds * 1e3);
    config.judge("slow", Limit { warn: Some(0.1), fail: Some(1.0) }, seconds, "s", &what)
}

async fn read(config: &SystemConfig, connection: &mut Connection) -> Result<(), Error> {
    let key = format!("{}:probe", config.scratch.as_deref().unwrap_or(NO_SCRATCH));
    connection.ask::<Option<Vec<u8>>>("GET", cmd("GET").arg(key)).await.map(drop)
}

/// Writes, reads and removes a key of our own.
async fn write(prefix: &str, connection: &mut Connection) -> Result<(), Error> {
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    let (key, value) = (format!("{prefix}:probe:{}:{nanos}", std::process::id()), nanos.to_string());
    connection.ask::<()>("SET", cmd("SET").arg(&key).arg(&value).arg("EX").arg(SCRATCH_SECONDS)).await?;
    let read: Option<String> = connection.ask("GET of what was written", cmd("GET").arg(&key)).await?;
    let gone: u64 = connection.ask("DEL", cmd("DEL").arg(&key)).await?;
    match read {
        Some(read) if read == value && gone == 1 => Ok(()),
        Some(read) if read == value => Err(Error::Nonsense("a key that was just read was not there to remove".into())),
        _ => Err(Error::Nonsense("what was just written is not there".to_owned())),
    }
}

fn memory(config: &SystemConfig, info: &Info) -> Check {
    let Some(used) = info.number("used_memory") else {
        return Check::new("memory", Standing::Unknown, "INFO does not tell used_memory");
    };
    let policy = info.text("maxmemory_policy").unwrap_or("noeviction");
    let limit = info.number("maxmemory").filter(|limit| *limit > 0.0);
    let whole = limit.or_else(|| info.number("total_system_memory")).filter(|whole| *whole > 0.0);
    let Some(whole) = whole else {
        return Check::new("memory", Standing::Unknown, "neither maxmemory nor the memory of its machine is told");
    };
    let share = used / whole;
    let percent = share * 100.0;
    let (what, usual) = match (limit, policy) {
        (None, _) => {
            (format!("{percent:.0} % of its machine's memory is used, and no maxmemory is set"), Limit::new(0.8, 0.95))
        }
        (Some(_), "noeviction") => (
            format!("{percent:.0} % of maxmemory is used; by the policy noeviction writes are refused once it is full"),
            Limit::new(0.8, 0.95),
        ),
        (Some(_), policy) if policy.starts_with("volatile-") => (
            format!(
                "{percent:.0} % of maxmemory is used; {policy} makes room only of keys that expire, else writes are refused"
            ),
            Limit { warn: Some(0.9), fail: None },
        ),
        // A cache is full when it is warm.
        (Some(_), policy) => (format!("{percent:.0} % of maxmemory is used; {policy} makes room"), Limit::default()),
    };
    config.judge("memory", usual, share, "1", &what)
}

fn replication(config: &SystemConfig, info: &Info) -> Vec<Check> {
    let usual = Limit::new(15.0, 60.0);
    if info.is_replica() {
        if !info.is("master_link_status", "up") {
            let since = match info.behind() {
                Some(seconds) => format!("for {seconds:.0} s"),
                None => "and never was up".to_owned(),
            };
            let reason = format!("the link to its primary is down {since}: what it answers is stale");
            return vec![Check::new("replication_lag", Standing::Fail, reason)];
        }
        let Some(seconds) = info.behind() else {
            return vec![Check::new("replication_lag", Standing::Unknown, "INFO does not tell how far behind it is")];
        };
        let what = format!("it last heard from its primary {seconds:.0} s ago");
        return vec![config.judge("replication_lag", usual, seconds, "s", &what)];
    }
    let replica = |replica: super::info::Replica| {
        let check = match replica.is_online {
            true => {
                let what = format!("the replica last said {:.0} s ago how far it is", replica.lag);
                config.judge("replication_lag", usual, replica.lag, "s", &what)
            }
            false => {
                Check::new("replication_lag", Standing::Warn, "the replica is not online: it is being synchronised")
            }
        };
        check.of(format!("replica {}", replica.name))
    };
    info.replicas().into_iter().map(replica).collect()
}

fn persistence(info: &Info) -> Check {
    if info.is("loading", "1") {
        return Check::new("persistence", Standing::Fail, "it is still loading its data from disk");
    }
    if info.is("aof_last_write_status", "err") {
        let reason = "the last write of its append-only file failed\nhint: see its disk and its log";
        return Check::new("persistence", Standing::Fail, reason);
    }
    if info.is("rdb_last_bgsave_status", "err") {
        let reason = "its last snapshot failed: it takes no writes (unless stop-writes-on-bgsave-error is off), and a restart loses what \
                      came since\nhint: see its disk and its log";
        return Check::new("persistence", Standing::Fail, reason);
    }
    if info.is("aof_last_bgrewrite_status", "err") {
        let reason =
            "the last rewrite of its append-only file failed: the file only grows\nhint: see its disk and its log";
        return Check::new("persistence", Standing::Warn, reason);
    }
    Check::pass("persistence")
}

fn clients(config: &SystemConfig, info: &Info) -> Check {
    let (Some(connected), Some(most)) = (info.number("connected_clients"), info.number("maxclients")) else {
        return Check::new("clients", Standing::Unknown, "INFO does not tell connected_clients and maxclients");
    };
    let share = connected / most.max(1.0);
    let what = format!("{connected:.0} of {most:.0} clients are connected");
    config.judge("clients", Limit::new(0.8, 0.95), share, "1", &what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Address;
    use crate::address::Surroundings;

    #[test]
    fn a_full_cache_is_well_and_a_full_store_is_not() {
        let config = SystemConfig::new("cache", Address::parse("redis://cache", &Surroundings).unwrap());
        let full = |policy: &str| {
            memory(&config, &Info::parse(&format!("used_memory:99\nmaxmemory:100\nmaxmemory_policy:{policy}")))
        };
        assert_eq!(full("allkeys-lru").standing, Standing::Pass);
        assert_eq!(full("volatile-ttl").standing, Standing::Warn);
        let store = full("noeviction");
        assert_eq!(store.standing, Standing::Fail);
        assert!(store.reason.contains("writes are refused"), "{}", store.reason);
        let unbounded = memory(&config, &Info::parse("used_memory:10\nmaxmemory:0\ntotal_system_memory:100"));
        assert!(unbounded.standing == Standing::Pass && unbounded.reason.contains("no maxmemory"), "{unbounded:?}");
    }

    #[test]
    fn what_it_cannot_save_fails() {
        for (info, standing) in [
            ("rdb_last_bgsave_status:err", Standing::Fail),
            ("aof_last_write_status:err", Standing::Fail),
            ("aof_last_bgrewrite_status:err", Standing::Warn),
            ("loading:1", Standing::Fail),
            ("rdb_last_bgsave_status:ok", Standing::Pass),
        ] {
            assert_eq!(persistence(&Info::parse(info)).standing, standing, "{info}");
        }
    }
}
