//! Where letters lie dead in streams: in streams of their own, and as entries that a consumer group took and never
//! acknowledged.

use async_trait::async_trait;
use redis::{Value, cmd};

use super::Redis;
use super::dial::Connection;
use super::entry::{Id, alive};
use super::reading::StreamReading;
use crate::dead_letters::{DeadLetters, Place, Reading};
use crate::{Error, SystemConfig};

/// Places that are told.
const MAX_PLACES: usize = 200;
/// Steps through the keys, of so many each; what lies behind is not found by name and must be named.
const MAX_SCANS: usize = 200;
const SCAN_KEYS: usize = 1000;
/// Streams whose groups are looked at.
const MAX_STREAMS: usize = 200;
/// Pending entries that are counted; more are not.
const MAX_COUNTED: usize = 1000;
/// The limit that says from how many idle seconds on a pending entry counts as dead, by its `warn`.
const PENDING_IDLE: &str = "pending_idle";
const PENDING_IDLE_SECONDS: f64 = 300.0;

/// A place by its name: `stream`, or `stream/group`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Where {
    /// Each entry is a dead letter.
    Stream(String),
    /// Each entry that was idle for too long is.
    Pending(String, String),
}

impl Where {
    /// What is there by this name.
    pub(super) async fn of(connection: &mut Connection, name: &str) -> Result<Where, Error> {
        if is_stream(connection, name).await? {
            return Ok(Where::Stream(name.to_owned()));
        }
        if let Some((stream, group)) = name.rsplit_once('/')
            && is_stream(connection, stream).await?
        {
            return Ok(Where::Pending(stream.to_owned(), group.to_owned()));
        }
        Err(Error::Answered(format!("no stream is named `{name}`\nhint: STREAM, or STREAM/GROUP for what is pending")))
    }
}

/// How long an entry must be idle to count as dead.
pub(super) fn idle_ms(config: &SystemConfig) -> u64 {
    let seconds = config.limits.get(PENDING_IDLE).and_then(|limit| limit.warn).unwrap_or(PENDING_IDLE_SECONDS);
    (seconds * 1e3) as u64
}

pub(super) async fn is_stream(connection: &mut Connection, name: &str) -> Result<bool, Error> {
    let kind: String = connection.ask("TYPE", cmd("TYPE").arg(name)).await?;
    Ok(kind == "stream")
}

#[async_trait]
impl DeadLetters for Redis {
    async fn places(&self) -> Result<Vec<Place>, Error> {
        let mut connection = Connection::open(&self.config).await?;
        let mut found = Vec::new();
        if self.config.dead_letters.is_empty() {
            found = self.by_name(&mut connection).await?;
        } else {
            for name in self.config.dead_letters.iter().take(MAX_PLACES) {
                found.push(Where::of(&mut connection, name).await?);
            }
        }
        let mut places = Vec::new();
        for at in found {
            places.push(self.place(&mut connection, at).await?);
        }
        Ok(places)
    }

    async fn open(&self, place: &str) -> Result<Box<dyn Reading>, Error> {
        let mut connection = Connection::open(&self.config).await?;
        let at = Where::of(&mut connection, place).await?;
        let (Where::Stream(stream) | Where::Pending(stream, _)) = &at;
        // What comes later is not part of this reading, else what dies again at once would never let it end.
        let newest: Value =
            connection.ask("XREVRANGE", cmd("XREVRANGE").arg(stream).arg("+").arg("-").arg("COUNT").arg(1)).await?;
        let last = super::entry::Entry::all(newest)?.first().map_or(Id::FIRST, |entry| entry.id);
        Ok(Box::new(StreamReading::new(self.config.clone(), connection, place.to_owned(), at, last)))
    }
}

impl Redis {
    /// Streams that are named as dead ones are, and groups with entries that are idle for too long.
    async fn by_name(&self, connection: &mut Connection) -> Result<Vec<Where>, Error> {
        let mut places = Vec::new();
        for stream in streams(connection).await? {
            if places.len() >= MAX_PLACES {
                break;
            }
            if alive(&stream).is_some() {
                places.push(Where::Stream(stream));
                continue;
            }
            for group in groups(connection, &stream).await? {
                if pending(connection, &stream, &group, idle_ms(&self.config), 1).await? > 0
                    && places.len() < MAX_PLACES
                {
                    places.push(Where::Pending(stream.clone(), group));
                }
            }
        }
        Ok(places)
    }

    async fn place(&self, connection: &mut Connection, at: Where) -> Result<Place, Error> {
        Ok(match at {
            Where::Stream(stream) => {
                let letters = connection.ask("XLEN", cmd("XLEN").arg(&stream)).await?;
                Place { name: stream, letters: Some(letters), warning: String::new() }
            }
            Where::Pending(stream, group) => {
                let idle = idle_ms(&self.config);
                let counted = pending(connection, &stream, &group, idle, MAX_COUNTED).await?;
                let warning = format!(
                    "entries that the group took and did not acknowledge for {} s: a consumer may still be at work on them; \
                     removing one acknowledges it, and it stays in its stream",
                    idle / 1000
                );
                let letters = (counted < MAX_COUNTED).then_some(counted as u64);
                Place { name: format!("{stream}/{group}"), letters, warning }
            }
        })
    }
}

/// Names of streams, those of the dead first.
async fn streams(connection: &mut Connection) -> Result<Vec<String>, Error> {
    let (mut dead, mut others) = (Vec::new(), Vec::new());
    let mut cursor = String::from("0");
    for _ in 0..MAX_SCANS {
        let mut scan = cmd("SCAN");
        scan.arg(&cursor).arg("COUNT").arg(SCAN_KEYS).arg("TYPE").arg("stream");
        let (next, names): (String, Vec<Vec<u8>>) = connection.ask("SCAN", &scan).await?;
        for name in names.into_iter().filter_map(|name| String::from_utf8(name).ok()) {
            let list = if alive(&name).is_some() { &mut dead } else { &mut others };
            // A scan may tell one twice.
            if list.len() < MAX_STREAMS && !list.contains(&name) {
                list.push(name);
            }
        }
        if next == "0" {
            break;
        }
        cursor = next;
    }
    for list in [&mut dead, &mut others] {
        list.sort();
    }
    dead.append(&mut others);
    Ok(dead)
}

async fn groups(connection: &mut Connection, stream: &str) -> Result<Vec<String>, Error> {
    let answer: Value = connection.ask("XINFO GROUPS", cmd("XINFO").arg("GROUPS").arg(stream)).await?;
    let Value::Array(groups) = answer else { return Err(Error::Nonsense("XINFO GROUPS is no list".to_owned())) };
    let name = |group: Value| {
        let mut fields = group.into_map_iter().ok()?;
        fields.find_map(|field| match field {
            (Value::BulkString(name), Value::BulkString(value)) if name == b"name" => String::from_utf8(value).ok(),
            _ => None,
        })
    };
    Ok(groups.into_iter().filter_map(name).collect())
}

/// How many entries are idle for so long, up to a bound.
async fn pending(
    connection: &mut Connection,
    stream: &str,
    group: &str,
    idle: u64,
    most: usize,
) -> Result<usize, Error> {
    let mut command = cmd("XPENDING");
    command.arg(stream).arg(group).arg("IDLE").arg(idle).arg("-").arg("+").arg(most);
    let entries: Vec<Value> = connection.ask("XPENDING", &command).await?;
    Ok(entries.len())
}
