//! One step of one flow, seen for one key at one event time, with a pointer to its evidence.

use serde::{Deserialize, Serialize};

use crate::flow::{ExitId, StepId};

/// 128-bit hash of (scope, which name of the key, value). Stable across restarts and machines.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct KeyHash(pub u128);

/// W3C trace id, as a big-endian number. Zero means: none.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
pub struct TraceId(pub u128);

/// Text interned by the engine (a reason, a service's name).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Symbol(pub u32);

/// One process that sends telemetry: `service.name` with its `service.instance.id` (or host and process id).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct InstanceId(pub u32);

/// What makes two observations the same one: (trace, span, step), for a CloudEvent (source, id), for a log record
/// its content. The same one twice counts once (INV-SET-1).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Identity(pub u64);

/// Where the record that shows it stands: the accepted request, and the record's offset in its body.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
pub struct Evidence {
    /// Sequence number of the accepted request.
    pub sequence: u64,
    /// Byte offset of the record in the request's (protobuf) body.
    pub offset: u32,
}

/// What an observation is of.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Role {
    /// A step.
    Step(StepId),
    /// A lawful exit of the contract, with its reason if it gave one.
    Exit(ExitId, Option<Symbol>),
}

/// What one record says about a flow's `when`/`unless` conditions: bit *n* is the flow's n-th condition, counted
/// over the steps in order, each step's `when` before its `unless`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub struct Conditions {
    /// The attribute was present on this record or its resource.
    pub known: u64,
    /// It was present and the test held.
    pub holds: u64,
}

/// What one record adds to a step's fan-out.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Share {
    /// An item that `step` will owe one observation for (hash of its text).
    Expected(StepId, u64),
    /// `step` will owe so many observations.
    Count(StepId, u32),
    /// The item that this observation of its own step is for.
    Item(u64),
}
