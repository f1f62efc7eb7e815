//! What a restart does: the engine as it was kept, and the log applied to it from there on; it then stands as the old one
//! stood (INV-REPLAY-1).

use truegreen_engine::{Effect, Engine, Input, Options, Request};
use truegreen_model::flow::Flow;
use truegreen_model::time::Timestamp;
use truegreen_store::checkpoint::{self, Checkpoints};
use truegreen_store::{CHECKPOINT_FOLDER, Error, Kind, Log};

use super::{contracts, gaps};
use crate::changes;
use crate::clock::wall_clock;
use crate::config::Data;
use crate::confirming::kept;
use crate::learning;

/// Why a start cannot go on from what is kept.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failed {
    /// The log, or what stands beside it.
    #[error(transparent)]
    Log(#[from] Error),
    /// The contracts in it, or those that should be.
    #[error(transparent)]
    Contracts(#[from] contracts::Error),
    /// The answers of systems in it.
    #[error(transparent)]
    Confirmations(#[from] kept::Error),
    /// The changes in it.
    #[error(transparent)]
    Changes(#[from] changes::kept::Error),
}

/// What a start found.
#[derive(Default)]
pub(crate) struct Recovered {
    /// None where nothing outlives the process.
    pub(crate) log: Option<Log>,
    pub(crate) checkpoints: Option<Checkpoints>,
    /// None where there was nothing before this start.
    pub(crate) replayed: Option<Replayed>,
    /// Contracts that are in force, and found no room in the log.
    pub(crate) unwritten: Option<Unwritten>,
    /// What the change of contracts brought about.
    pub(crate) effects: Vec<Effect>,
}

/// How far the engine was brought.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Replayed {
    /// When it is last known that we listened.
    pub(crate) until: Timestamp,
    /// Some entry tells which contracts are in force.
    tells_contracts: bool,
}

/// An entry of kind `Contracts` that must stand before whatever else is appended.
pub(crate) struct Unwritten {
    pub(super) at: Timestamp,
    pub(super) body: Vec<u8>,
}

/// Opens what is kept, and brings an engine to where it stood; then these contracts are in force. Where contracts are
/// learned, those that were in force stay so beside them.
pub(crate) fn recover(
    flows: Vec<Flow>,
    options: Options,
    data: Option<&Data>,
    keeps_learned: bool,
) -> Result<(Engine, Recovered), Failed> {
    let Some(data) = data else { return Ok((Engine::new(flows, options), Recovered::default())) };
    let mut log = Log::open(&data.dir, data.log_options())?;
    let cut = log.recovery().cut_bytes;
    if cut > 0 {
        tracing::warn!(bytes = cut, "a crash cut the last write to the log short; nobody was told it was taken");
    }
    let mut checkpoints = open_checkpoints(data)?;
    let options = Options { keeps_changes: checkpoints.is_some(), ..options };
    let kept = match &checkpoints {
        Some(checkpoints) => restore(&log, checkpoints, &options)?,
        None => Kept::Nothing,
    };
    let is_whole = !matches!(kept, Kept::Engine(..));
    let (mut engine, from) = match kept {
        Kept::Engine(engine, as_of) => (*engine, as_of + 1),
        Kept::Nothing => (beginning(&log, &flows, options)?, 0),
        Kept::Unusable(why) => {
            tracing::warn!("{why}: the log is replayed from its beginning");
            if let Some(checkpoints) = &mut checkpoints {
                checkpoints.clear()?;
            }
            (beginning(&log, &flows, options)?, 0)
        }
    };
    recall(&log, from, &mut engine)?;
    let replayed = replay(&log, from, &mut engine)?;
    let mut flows = flows;
    if keeps_learned {
        let learned = learning::kept(engine.in_force().cloned(), &flows);
        flows.extend(learned);
    }
    let (body, flows) = contracts::written(&flows)?;
    let mut recovered = Recovered { checkpoints, replayed, ..Recovered::default() };
    // Nor is a log left untold that an earlier version began, or whose beginning was dropped.
    let is_untold = is_whole && replayed.is_some_and(|replayed| !replayed.tells_contracts);
    // A log without contracts begins with the word that there are none, whatever is in force later.
    let is_new = is_whole && replayed.is_none();
    if is_untold || is_new || !engine.watches(&flows) {
        // No time passes by it: what came due while nobody listened is not looked at before that is known.
        let at = if engine.now() == Timestamp(0) { wall_clock() } else { engine.now() };
        recovered.unwritten = write_contracts(&mut log, at, body)?;
        if !is_untold && replayed.is_some() {
            tracing::info!("the contracts changed; journeys under way are judged by those under which they entered");
        }
        recovered.effects = engine.apply(at, Input::Contracts(&flows));
    }
    recovered.log = Some(log);
    Ok((engine, recovered))
}

/// An engine as it was before the log's first entry. The log itself says first which contracts are in force.
fn beginning(log: &Log, flows: &[Flow], options: Options) -> Result<Engine, Error> {
    let tells_contracts = match log.get(log.first_sequence())? {
        Some(first) => first.kind == Kind::Contracts,
        None => true,
    };
    if tells_contracts {
        return Ok(Engine::new(Vec::new(), options));
    }
    tracing::info!("the log does not begin with contracts; its beginning is replayed under those that are given now");
    Ok(Engine::new(flows.to_vec(), options))
}

/// Makes the contracts durable before anything is accepted under them; where there is no room for them now, they are
/// given back to be written before anything else is.
fn write_contracts(log: &mut Log, at: Timestamp, body: Vec<u8>) -> Result<Option<Unwritten>, Error> {
    match log.append(at, Kind::Contracts, &body) {
        Ok(_) => log.commit().map(|()| None),
        Err(error @ Error::NoSpace { .. }) => {
            tracing::warn!("the contracts wait for room in the log, and so does whatever comes: {error}");
            Ok(Some(Unwritten { at, body }))
        }
        Err(error) => Err(error),
    }
}

/// None where they cannot be opened although the log is whole: then it is replayed from its beginning, and none are kept
/// until the next start. A folder that another process holds, or a newer version wrote, is no such case.
fn open_checkpoints(data: &Data) -> Result<Option<Checkpoints>, Error> {
    let room = checkpoint::Options { min_free_bytes: data.min_free_bytes };
    match Checkpoints::open(&data.dir.join(CHECKPOINT_FOLDER), room) {
        Ok(checkpoints) => Ok(Some(checkpoints)),
        Err(error @ (Error::Checkpoint { .. } | Error::Damaged { .. } | Error::Io { .. } | Error::NoSpace { .. })) => {
            tracing::error!("no checkpoints are kept, and the log is replayed from its beginning: {error}");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// What the checkpoints give.
enum Kept {
    /// As of this sequence.
    Engine(Box<Engine>, u64),
    Nothing,
    Unusable(String),
}

fn restore(log: &Log, checkpoints: &Checkpoints, options: &Options) -> Result<Kept, Error> {
    let Some(as_of) = checkpoints.sequence() else { return Ok(Kept::Nothing) };
    if as_of >= log.next_sequence() {
        return Ok(Kept::Unusable("the checkpoint is ahead of the log".to_owned()));
    }
    if as_of + 1 < log.first_sequence() {
        return Ok(Kept::Unusable("the log begins behind the checkpoint".to_owned()));
    }
    let mut failed = None;
    let records = checkpoints.records().map_while(|record| record.map_err(|error| failed = Some(error)).ok());
    let restored = Engine::restore(options.clone(), records);
    match (failed, restored) {
        (Some(error), _) => Ok(Kept::Unusable(error.to_string())),
        (None, Ok(engine)) => Ok(Kept::Engine(Box::new(engine), as_of)),
        (None, Err(error)) => Ok(Kept::Unusable(error.to_string())),
    }
}

/// Shows the engine the spans again that it was putting together: a checkpoint does not keep them.
fn recall(log: &Log, until: u64, engine: &mut Engine) -> Result<(), Error> {
    let Some(from) = engine.recalls_from() else { return Ok(()) };
    for entry in log.read_from(from) {
        let entry = entry?;
        if entry.sequence >= until {
            break;
        }
        if entry.kind == Kind::Traces {
            let request = Request { sequence: entry.sequence, body: &entry.body };
            engine.recall(entry.received_at, Input::Traces(request));
        }
    }
    Ok(())
}

/// Applies the log from this sequence on, in order and each entry at its own time of receipt.
fn replay(log: &Log, from: u64, engine: &mut Engine) -> Result<Option<Replayed>, Failed> {
    let (mut entries, mut tells_contracts) = (0_u64, false);
    for entry in log.read_from(from) {
        let entry = entry?;
        entries += 1;
        let at = entry.received_at;
        let request = Request { sequence: entry.sequence, body: &entry.body };
        match entry.kind {
            Kind::Traces => drop(engine.apply(at, Input::Traces(request))),
            Kind::Logs => drop(engine.apply(at, Input::Logs(request))),
            Kind::Metrics => drop(engine.apply(at, Input::Metrics(request))),
            Kind::Resumed => drop(engine.apply(at, Input::Resumed { down_since: down_since(&entry.body, at) })),
            Kind::Stopped => drop(engine.apply(at, Input::Tick)),
            Kind::Contracts => {
                tells_contracts = true;
                let flows = contracts::read(entry.sequence, &entry.body)?;
                engine.apply(at, Input::Contracts(&flows));
            }
            Kind::Confirmations => {
                for answer in kept::read(entry.sequence, &entry.body)? {
                    engine.apply(at, Input::Confirmed(&answer));
                }
            }
            Kind::Changes => {
                for change in changes::kept::read(entry.sequence, &entry.body)? {
                    engine.apply(at, Input::Change(&change));
                }
            }
            Kind::Refused => {
                for sender in gaps::senders(&entry.body) {
                    let instance = sender.instance.as_deref();
                    engine.apply(at, Input::Refused { service: &sender.service, instance });
                }
            }
        }
    }
    let now = engine.now();
    if now == Timestamp(0) {
        return Ok(None);
    }
    let last = log.get(log.next_sequence().saturating_sub(1))?;
    let stopped_at = last.filter(|entry| entry.kind == Kind::Stopped).map(|entry| entry.received_at);
    let end = if stopped_at.is_some() { "it was stopped in order" } else { "it was not stopped in order" };
    tracing::info!(entries, "the log was replayed; {end}");
    Ok(Some(Replayed { until: stopped_at.unwrap_or(now), tells_contracts }))
}

/// The body of an entry of kind `Resumed`.
pub(super) fn resumed_body(down_since: Timestamp) -> [u8; 8] {
    down_since.0.to_le_bytes()
}

fn down_since(body: &[u8], at: Timestamp) -> Timestamp {
    body.try_into().map_or(at, |bytes| Timestamp(u64::from_le_bytes(bytes)))
}
