//! What a restart does: the engine as it was kept, and the log applied to it from there on; it then stands as the old one
//! stood (INV-REPLAY-1).

use truegreen_engine::{Engine, Input, Options, Request, RestoreError};
use truegreen_model::flow::Flow;
use truegreen_model::time::Timestamp;
use truegreen_store::checkpoint::{self, Checkpoints};
use truegreen_store::{CHECKPOINT_FOLDER, Error, Kind, Log};

use super::gaps;
use crate::config::Data;

/// What a start found.
#[derive(Default)]
pub(crate) struct Recovered {
    /// None where nothing outlives the process.
    pub(crate) log: Option<Log>,
    pub(crate) checkpoints: Option<Checkpoints>,
    /// None where there was nothing before this start.
    pub(crate) replayed: Option<Replayed>,
}

/// How far the engine was brought.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Replayed {
    /// When it is last known that we listened.
    pub(crate) until: Timestamp,
}

/// Opens what is kept, and brings an engine to where it stood.
pub(crate) fn recover(flows: Vec<Flow>, options: Options, data: Option<&Data>) -> Result<(Engine, Recovered), Error> {
    let Some(data) = data else { return Ok((Engine::new(flows, options), Recovered::default())) };
    let log = Log::open(&data.dir, data.log_options())?;
    let cut = log.recovery().cut_bytes;
    if cut > 0 {
        tracing::warn!(bytes = cut, "a crash cut the last write to the log short; nobody was told it was taken");
    }
    let mut checkpoints = open_checkpoints(data)?;
    let options = Options { keeps_changes: checkpoints.is_some(), ..options };
    let kept = match &checkpoints {
        Some(checkpoints) => restore(&log, checkpoints, &flows, &options)?,
        None => Kept::Nothing,
    };
    let (mut engine, from) = match kept {
        Kept::Engine(engine, as_of) => (*engine, as_of + 1),
        Kept::Nothing => (Engine::new(flows, options), 0),
        Kept::Unusable(why) => {
            tracing::warn!("{why}: the log is replayed from its beginning");
            if let Some(checkpoints) = &mut checkpoints {
                checkpoints.clear()?;
            }
            (Engine::new(flows, options), 0)
        }
    };
    let replayed = replay(&log, from, &mut engine)?;
    Ok((engine, Recovered { log: Some(log), checkpoints, replayed }))
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

fn restore(log: &Log, checkpoints: &Checkpoints, flows: &[Flow], options: &Options) -> Result<Kept, Error> {
    let Some(as_of) = checkpoints.sequence() else { return Ok(Kept::Nothing) };
    if as_of >= log.next_sequence() {
        return Ok(Kept::Unusable("the checkpoint is ahead of the log".to_owned()));
    }
    if as_of + 1 < log.first_sequence() {
        return Ok(Kept::Unusable("the log begins behind the checkpoint".to_owned()));
    }
    let mut failed = None;
    let records = checkpoints.records().map_while(|record| record.map_err(|error| failed = Some(error)).ok());
    let restored = Engine::restore(flows.to_vec(), options.clone(), records);
    match (failed, restored) {
        (Some(error), _) => Ok(Kept::Unusable(error.to_string())),
        (None, Ok(engine)) => Ok(Kept::Engine(Box::new(engine), as_of)),
        (None, Err(error @ RestoreError::OtherFlows)) => {
            Ok(Kept::Unusable(format!("{error}, and these apply to all that is in the log")))
        }
        (None, Err(error)) => Ok(Kept::Unusable(error.to_string())),
    }
}

/// Applies the log from this sequence on, in order and each entry at its own time of receipt.
fn replay(log: &Log, from: u64, engine: &mut Engine) -> Result<Option<Replayed>, Error> {
    let mut entries = 0_u64;
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
            Kind::Stopped | Kind::Contracts => drop(engine.apply(at, Input::Tick)),
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
    Ok(Some(Replayed { until: stopped_at.unwrap_or(now) }))
}

/// The body of an entry of kind `Resumed`.
pub(super) fn resumed_body(down_since: Timestamp) -> [u8; 8] {
    down_since.0.to_le_bytes()
}

fn down_since(body: &[u8], at: Timestamp) -> Timestamp {
    body.try_into().map_or(at, |bytes| Timestamp(u64::from_le_bytes(bytes)))
}
