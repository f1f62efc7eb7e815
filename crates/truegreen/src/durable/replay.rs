//! What a restart does: the log applied to a new engine, which then stands as the old one stood (INV-REPLAY-1).

use truegreen_engine::{Engine, Input, Request};
use truegreen_model::time::Timestamp;
use truegreen_store::{Kind, Log};

use super::gaps;

/// What a restart found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Replayed {
    /// Entries that were applied again.
    pub(crate) entries: u64,
    /// When the latest of them was received. Since then nobody is known to have listened.
    pub(crate) until: Timestamp,
    /// It was stopped in order: until then it did listen, and nothing was lost.
    pub(crate) in_order: bool,
}

/// Applies everything in the log, in order and each at its own time of receipt.
pub(crate) fn replay(log: &Log, engine: &mut Engine) -> Result<Option<Replayed>, truegreen_store::Error> {
    let mut replayed: Option<Replayed> = None;
    for entry in log.read_from(0) {
        let entry = entry?;
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
        let (entries, until) = replayed.map_or((0, at), |before| (before.entries, before.until));
        replayed = Some(Replayed { entries: entries + 1, until: until.max(at), in_order: entry.kind == Kind::Stopped });
    }
    Ok(replayed)
}

/// The body of an entry of kind `Resumed`.
pub(super) fn resumed_body(down_since: Timestamp) -> [u8; 8] {
    down_since.0.to_le_bytes()
}

fn down_since(body: &[u8], at: Timestamp) -> Timestamp {
    body.try_into().map_or(at, |bytes| Timestamp(u64::from_le_bytes(bytes)))
}
