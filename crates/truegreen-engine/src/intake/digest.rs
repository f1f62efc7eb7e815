//! What a body says, as far as flows and coverage care. All of it is owned, so that it can cross threads.

use std::sync::Arc;

use smallvec::SmallVec;
use truegreen_model::flow::{ExitId, FlowId, StepId};
use truegreen_model::observation::{Conditions, Identity, InstanceId, KeyHash, Share, Symbol, TraceId};
use truegreen_model::time::Timestamp;

use crate::accounts::CounterPoint;
use crate::counters::Counter;
use crate::coverage::Heard;
use crate::matcher::key::KeyText;
use crate::matcher::names::NameId;
use crate::matcher::resource::Resource;
use crate::trace::operation::NewOperation;
use crate::trace::span::TracedSpan;
use crate::trace::{Passing, Place};
use crate::watch::{DroppedSpans, LevelPoint};

/// One body.
#[derive(Debug, Default)]
pub(crate) struct Digest {
    pub(crate) sections: Vec<Section>,
    /// In the order of the records.
    pub(crate) items: Vec<Item>,
    /// Spans without a key, which may connect others.
    pub(crate) passing: Passing,
    /// Every span, where traces are put together.
    pub(crate) traced: Vec<Traced>,
    /// What SDKs say of spans that they dropped.
    pub(crate) dropped: Vec<Dropped>,
    /// What services say of requests in flight, and on which route.
    pub(crate) levels: Vec<(LevelPoint, Box<[u8]>)>,
    /// What services count that flows are held against.
    pub(crate) counted: Vec<Counted>,
    /// Instances that exported metrics, for the counters that they may have, and when.
    pub(crate) exported: Vec<(FlowId, u8, InstanceId, Timestamp)>,
    pub(crate) counts: SmallVec<[(Counter, u64); 1]>,
}

/// What one resource of it sent.
#[derive(Debug)]
pub(crate) struct Section {
    pub(crate) resource: Arc<Resource>,
    pub(crate) heard: Heard,
    /// Where its items begin.
    pub(crate) items: usize,
}

/// What one record says.
#[derive(Debug)]
pub(crate) enum Item {
    Sighted(Sighted),
    Lend(Lend),
    Bind(Bind),
}

/// A step or exit.
#[derive(Debug)]
pub(crate) struct Sighted {
    pub(crate) flow: FlowId,
    pub(crate) shows: Shows,
    /// Whether missing it is worth counting.
    pub(crate) declared: bool,
    pub(crate) key: Key,
    /// Where a record without a key stands in its trace.
    pub(crate) place: Option<Place>,
    pub(crate) trace: TraceId,
    pub(crate) began: When,
    /// None where the beginning counts.
    pub(crate) done: Option<When>,
    pub(crate) attempt: bool,
    pub(crate) identity: Identity,
    pub(crate) conditions: Conditions,
    pub(crate) shares: Vec<Share>,
    pub(crate) offset: u32,
}

/// What a record shows.
#[derive(Debug)]
pub(crate) enum Shows {
    Step(StepId),
    Exit(ExitId, Reason),
}

/// An exit's reason.
#[derive(Debug)]
pub(crate) enum Reason {
    None,
    Known(Symbol),
    /// Not heard before.
    New(Box<[u8]>),
}

/// Whose a record is, by what it says itself.
#[derive(Debug)]
pub(crate) enum Key {
    /// By this one of the flow's names for a journey.
    Own(u8, KeyText),
    Trace,
    None,
}

/// An event time.
#[derive(Clone, Copy, Debug)]
pub(crate) enum When {
    /// By the sender's clock.
    Told(Timestamp),
    /// It could not be, and is that of receipt.
    Replaced,
}

/// A record that carries keys, and lends them to its trace.
#[derive(Debug)]
pub(crate) struct Lend {
    pub(crate) place: Place,
    pub(crate) keys: SmallVec<[(NameId, KeyText); 1]>,
}

/// Two names of one journey.
#[derive(Debug)]
pub(crate) struct Bind {
    pub(crate) flow: FlowId,
    pub(crate) owner: KeyHash,
    pub(crate) other: KeyHash,
}

/// A span.
#[derive(Debug)]
pub(crate) struct Traced {
    pub(crate) trace: TraceId,
    pub(crate) span: TracedSpan,
    /// What of it was not met before, and has to be entered in tables first. Seldom anything.
    pub(crate) news: Option<Box<News>>,
}

/// What of a span was not met before.
#[derive(Debug)]
pub(crate) struct News {
    pub(crate) operation: NewOperation,
    pub(crate) error: Box<[u8]>,
    pub(crate) partition: Box<[u8]>,
}

/// What an SDK says of spans that it dropped, and why.
#[derive(Debug)]
pub(crate) struct Dropped {
    pub(crate) point: DroppedSpans,
    pub(crate) why: Box<[u8]>,
}

/// A point of a counter that a flow is held against, with the reason that it names.
#[derive(Debug)]
pub(crate) struct Counted {
    pub(crate) flow: FlowId,
    /// The counter's place in the contract.
    pub(crate) index: u8,
    pub(crate) point: CounterPoint,
    pub(crate) reason: Option<Box<[u8]>>,
}
