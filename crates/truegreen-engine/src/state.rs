//! What outlives a restart, as records of key and value. What grows with traffic (journeys, traces) is handed over
//! piece by piece as it changes; all else is small and is one record, written anew each time.
//!
//! An engine restored from the records of a checkpoint, and given every input since, is the engine that never stopped.

use serde::{Deserialize, Serialize};
use truegreen_model::flow::{Flow, FlowId};
use truegreen_model::observation::{KeyHash, TraceId};
use truegreen_model::time::Timestamp;

use crate::accounts::Accounts;
use crate::asking::system_of;
use crate::coverage::Coverage;
use crate::engine::{Engine, Options, trace_window};
use crate::explain::changes::KnownChanges;
use crate::finding::PlaceFindings;
use crate::ledger::{Kept, Learned, StepSums};
use crate::matcher::Matcher;
use crate::matcher::lineage::Lineage;
use crate::matcher::revision::KeptContracts;
use crate::matcher::scopes::Scopes;
use crate::questions::{KeptQuestions, Questions};
use crate::symbols::Symbols;
use crate::timers::Tick;
use crate::trace::assembly::Outline;
use crate::trace::operation::Operations;
use crate::watch::Watch;

/// The first byte of a record's key.
const WHOLE: u8 = b'w';
const CASE: u8 = b'c';
const NAME: u8 = b'n';
const TRACE: u8 = b't';

/// Changes whenever the bytes of a record mean something else.
const FORMAT: u32 = 6;

/// Who keeps records: is given each key, and its value or nothing where it is gone.
pub type Keep<'k> = dyn FnMut(&[u8], Option<&[u8]>) + 'k;

/// Why records give no engine. Nothing is lost by it: the log can be replayed from its beginning.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RestoreError {
    /// They are of another version of this program.
    OtherFormat,
    /// A record is missing or damaged.
    Unreadable,
}

impl std::fmt::Display for RestoreError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            RestoreError::OtherFormat => "the checkpoint is of another version of Truegreen",
            RestoreError::Unreadable => "the checkpoint is damaged",
        })
    }
}

impl std::error::Error for RestoreError {}

/// All but journeys and traces. The fields of [`Whole`] in the same order, borrowed.
#[derive(Serialize)]
struct WholeRef<'e> {
    format: u32,
    contracts: KeptContracts<&'e Flow, &'e [Lineage]>,
    now: Timestamp,
    ticked: Tick,
    doubts: Tick,
    letting_go: Tick,
    symbols: &'e Symbols,
    scopes: &'e Scopes,
    coverage: &'e Coverage,
    learned: &'e Learned,
    sums: StepSums,
    accounts: &'e Accounts,
    watched: (&'e Operations, Outline, &'e Watch, &'e PlaceFindings),
    questions: KeptQuestions,
    changes: &'e KnownChanges,
    counters: Vec<(String, String, u64)>,
}

#[derive(Deserialize)]
struct Whole {
    format: u32,
    contracts: KeptContracts<Flow, Vec<Lineage>>,
    now: Timestamp,
    ticked: Tick,
    doubts: Tick,
    letting_go: Tick,
    symbols: Symbols,
    scopes: Scopes,
    coverage: Coverage,
    learned: Learned,
    sums: StepSums,
    accounts: Accounts,
    watched: (Operations, Outline, Watch, PlaceFindings),
    questions: KeptQuestions,
    changes: KnownChanges,
    counters: Vec<(String, String, u64)>,
}

impl Engine {
    /// Hands over what changed since the last call, as records: a key, and a value or nothing where it is gone. All of
    /// it together is one step; half of it is worth nothing. Changes are remembered by [`Options::keeps_changes`].
    pub fn checkpoint(&mut self, keep: &mut Keep<'_>) {
        let mut value = Vec::new();
        self.ledger.changes(&mut |kept| match kept {
            Kept::Case { flow, key, case } => {
                let key = ledger_key(CASE, flow, key);
                value.clear();
                if let Some((age, bytes)) = case {
                    value.extend_from_slice(&age.to_le_bytes());
                    value.extend_from_slice(bytes);
                }
                keep(&key, case.map(|_| &value[..]));
            }
            Kept::Name { flow, name, owner } => {
                let owner = owner.map(|owner| owner.0.to_le_bytes());
                keep(&ledger_key(NAME, flow, name), owner.as_ref().map(|owner| &owner[..]));
            }
        });
        self.binder.changes(|id, trace| {
            let mut key = [TRACE; 17];
            key[1..].copy_from_slice(&id.0.to_be_bytes());
            keep(&key, trace);
        });
        let whole = WholeRef {
            format: FORMAT,
            contracts: self.matcher.kept(),
            now: self.now,
            ticked: self.ticked,
            doubts: self.doubts,
            letting_go: self.letting_go,
            symbols: &self.symbols,
            scopes: &self.scopes,
            coverage: &self.coverage,
            learned: &self.learned,
            sums: self.ledger.sums().without_waiting(),
            accounts: &self.accounts,
            watched: (&self.operations, self.assembly.outline(), &self.watch, &self.findings),
            questions: self.questions.kept(),
            changes: &self.changes,
            counters: self.counters.kept(),
        };
        // Plain data of known shape: writing it down into memory does not fail.
        if let Ok(whole) = postcard::to_allocvec(&whole) {
            keep(&[WHOLE], Some(&whole));
        }
    }

    /// The engine whose records these are, in any order. It watches what that one watched.
    ///
    /// # Errors
    /// Where they do not give the engine that kept them.
    pub fn restore(
        options: Options,
        records: impl Iterator<Item = (Vec<u8>, Vec<u8>)>,
    ) -> Result<Engine, RestoreError> {
        let mut engine = Engine::new(Vec::new(), options);
        let mut whole = None;
        for (key, value) in records {
            match key.split_first() {
                Some((&WHOLE, [])) => whole = Some(read_whole(&value)?),
                Some((&kind, rest)) => engine.take_back(kind, rest, &value).ok_or(RestoreError::Unreadable)?,
                None => return Err(RestoreError::Unreadable),
            }
        }
        let mut whole = whole.ok_or(RestoreError::Unreadable)?;
        let matcher = Matcher::restore(whole.contracts, &mut whole.symbols, engine.options.watches_traces);
        engine.matcher = matcher.ok_or(RestoreError::Unreadable)?;
        engine.now = whole.now;
        engine.ticked = whole.ticked;
        engine.doubts = whole.doubts;
        engine.letting_go = whole.letting_go;
        engine.symbols = whole.symbols;
        engine.scopes = whole.scopes;
        engine.coverage = whole.coverage;
        engine.learned = whole.learned;
        engine.accounts = whole.accounts;
        let (operations, outline, watch, findings) = whole.watched;
        engine.operations = operations;
        engine.assembly.restored(&outline);
        engine.outline = outline;
        engine.watch = watch;
        engine.findings = findings;
        engine.questions = Questions::restore(whole.questions, |id| system_of(&engine.matcher, id));
        engine.changes = whole.changes;
        engine.counters.restore(&whole.counters);
        engine.ledger.restored(whole.sums, whole.now);
        if !engine.ledger.fit(&engine.matcher) {
            return Err(RestoreError::Unreadable);
        }
        engine.binder.restored();
        engine.binder.keep_for(trace_window(&engine.matcher, &engine.options));
        Ok(engine)
    }

    fn take_back(&mut self, kind: u8, key: &[u8], value: &[u8]) -> Option<()> {
        if kind == TRACE {
            return self.binder.restore(TraceId(u128::from_be_bytes(key.try_into().ok()?)), value);
        }
        let (flow, key) = key.split_first_chunk::<2>()?;
        let flow = FlowId(u16::from_be_bytes(*flow));
        let key = KeyHash(u128::from_be_bytes(key.try_into().ok()?));
        match kind {
            CASE => {
                let (age, bytes) = value.split_first_chunk::<4>()?;
                self.ledger.restore_case(flow, key, u32::from_le_bytes(*age), bytes)
            }
            NAME => {
                self.ledger.restore_name(flow, key, KeyHash(u128::from_le_bytes(value.try_into().ok()?)));
                Some(())
            }
            _ => None,
        }
    }
}

fn read_whole(value: &[u8]) -> Result<Whole, RestoreError> {
    let (format, _) = postcard::take_from_bytes::<u32>(value).map_err(|_| RestoreError::Unreadable)?;
    if format != FORMAT {
        return Err(RestoreError::OtherFormat);
    }
    let whole: Whole = postcard::from_bytes(value).map_err(|_| RestoreError::Unreadable)?;
    debug_assert_eq!(whole.format, FORMAT);
    Ok(whole)
}

fn ledger_key(kind: u8, flow: FlowId, key: KeyHash) -> [u8; 19] {
    let mut bytes = [kind; 19];
    bytes[1..3].copy_from_slice(&flow.0.to_be_bytes());
    bytes[3..].copy_from_slice(&key.0.to_be_bytes());
    bytes
}
