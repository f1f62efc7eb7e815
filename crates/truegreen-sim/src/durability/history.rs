//! What must be true after a restart, whatever ended the life before.

use std::collections::{BTreeMap, BTreeSet};

use truegreen_engine::{Engine, Input, Options, Request};
use truegreen_model::flow::Flow;
use truegreen_model::time::Timestamp;
use truegreen_store::{Entry, Kind};

use super::Broken;
use super::sender::Parcel;

/// How a life ended.
pub struct Ended {
    /// The engine as it was.
    pub engine: Engine,
    /// What it was shown last.
    pub shown: u64,
    /// When it last acted.
    pub now: Timestamp,
    /// It was told of gaps that found no room in the log: it may have been more careful than a replay is.
    pub was_told_more: bool,
}

/// Verdicts that stand.
pub type Verdicts = BTreeMap<String, String>;

/// What an engine kept at its last checkpoint.
pub type Records = BTreeMap<Vec<u8>, Vec<u8>>;

/// An engine that goes on from a checkpoint, and was then given the entries behind it.
///
/// # Errors
/// Where the records give no engine, or the log ends before the checkpoint.
pub fn restored(
    flow: &Flow,
    (records, as_of): (&Records, u64),
    log: &[Entry],
    keeps_changes: bool,
) -> Result<Engine, Broken> {
    let kept = usize::try_from(as_of).ok().filter(|kept| *kept <= log.len());
    let (before, behind) = log.split_at(kept.ok_or("a checkpoint is as of what is durable")?);
    let options = Options { keeps_changes, ..Options::default() };
    let mut engine = if records.is_empty() {
        Engine::new(vec![flow.clone()], options)
    } else {
        let restored = Engine::restore(options, records.clone().into_iter());
        restored.map_err(|error| format!("a checkpoint gives the engine back: {error}"))?
    };
    let from = engine.recalls_from().unwrap_or(u64::MAX);
    for entry in before.iter().filter(|entry| entry.sequence >= from && entry.kind == Kind::Traces) {
        engine.recall(entry.received_at, Input::Traces(Request { sequence: entry.sequence, body: &entry.body }));
    }
    behind.iter().for_each(|entry| apply(&mut engine, entry));
    Ok(engine)
}

/// An engine that was given exactly these entries, and knows of no checkpoint.
pub fn replayed(flow: &Flow, entries: &[Entry]) -> Engine {
    let mut engine = Engine::new(vec![flow.clone()], Options::default());
    for entry in entries {
        apply(&mut engine, entry);
    }
    engine
}

/// As the server's replay does.
pub fn apply(engine: &mut Engine, entry: &Entry) {
    let (at, body) = (entry.received_at, &entry.body);
    let request = Request { sequence: entry.sequence, body };
    match entry.kind {
        Kind::Traces => drop(engine.apply(at, Input::Traces(request))),
        Kind::Logs => drop(engine.apply(at, Input::Logs(request))),
        Kind::Metrics => drop(engine.apply(at, Input::Metrics(request))),
        // Here contracts stay as they are.
        Kind::Stopped | Kind::Contracts | Kind::Confirmations | Kind::Changes => drop(engine.apply(at, Input::Tick)),
        Kind::Resumed => {
            let since = body.as_slice().try_into().map_or(at, |bytes| Timestamp(u64::from_le_bytes(bytes)));
            engine.apply(at, Input::Resumed { down_since: since });
        }
        Kind::Refused => {
            for line in String::from_utf8_lossy(body).lines() {
                let (service, instance) = line.split_once(' ').unwrap_or((line, ""));
                engine.apply(at, Input::Refused { service, instance: Some(instance) });
            }
        }
    }
}

/// Everything an engine says of its flow.
pub fn told(engine: &Engine) -> String {
    let mut journeys: Vec<String> =
        engine.journeys().map(|journey| serde_json::to_string(&journey).unwrap_or_default()).collect();
    journeys.sort();
    let report = serde_json::to_string_pretty(&engine.report()).unwrap_or_default();
    let minutes = serde_json::to_string(&engine.minutes("orders")).unwrap_or_default();
    format!("{report}\n{minutes}\n{}", journeys.join("\n"))
}

/// The verdicts that are not open, by key.
pub fn verdicts(engine: &Engine) -> Verdicts {
    let decided = engine.journeys().filter(|journey| journey.verdict != "open");
    decided.map(|journey| (journey.key, journey.verdict)).collect()
}

/// The log as it was found holds all that was shown to an engine, unchanged, and each acknowledged request.
pub fn is_kept(known: &[Entry], found: &[Entry], parcels: &[Parcel]) -> Result<(), Broken> {
    if found.len() < known.len() {
        let (left, shown) = (found.len(), known.len());
        return Err(format!("what the engine was shown outlives every crash: {left} of {shown} entries are left"));
    }
    if let Some(index) = (0..known.len()).find(|index| known[*index] != found[*index]) {
        return Err(format!("what is in the log stays as it is: {:?}, was {:?}", found[index], known[index]));
    }
    let bodies: BTreeSet<&[u8]> = found.iter().map(|entry| entry.body.as_slice()).collect();
    match parcels.iter().find(|parcel| parcel.is_acknowledged && !bodies.contains(parcel.body.as_slice())) {
        Some(lost) => {
            Err(format!("what is acknowledged is never lost (INV-ACK-1): {:?} of {}", lost.kind, lost.sender))
        }
        None => Ok(()),
    }
}

/// The engine as it was is the one that a replay of what it was shown gives, byte for byte.
pub fn is_replayable(ended: &Ended, flow: &Flow, found: &[Entry]) -> Result<(), Broken> {
    if ended.was_told_more {
        return Ok(());
    }
    let shown = usize::try_from(ended.shown).unwrap_or(usize::MAX);
    let mut again = replayed(flow, found.get(..shown).unwrap_or(found));
    again.apply(ended.now, Input::Tick);
    let (was, is) = (told(&ended.engine), told(&again));
    if was == is {
        return Ok(());
    }
    let lines = was.lines().zip(is.lines()).find(|(was, is)| was != is);
    let now = crate::run::offset(ended.now);
    Err(format!("a replay gives what was (INV-REPLAY-1), at {now}: first difference {lines:#?}"))
}

/// What was decided before a restart is decided as it was.
pub fn stands(before: &Verdicts, engine: &Engine) -> Result<(), Broken> {
    let after = verdicts(engine);
    let firm = before.iter().filter(|(_, verdict)| *verdict != "unknown");
    for (key, verdict) in firm {
        if after.get(key) != Some(verdict) {
            return Err(format!("a verdict outlives a restart: {key} was {verdict}, is {:?}", after.get(key)));
        }
    }
    Ok(())
}
