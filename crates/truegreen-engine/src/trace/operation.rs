//! Operations: what services do again and again. Spans of one service, kind, name and target are one operation.

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use serde::{Deserialize, Serialize};
use truegreen_model::flow::SpanKind;
use truegreen_model::observation::Symbol;

use crate::coverage::ServiceId;
use crate::matcher::key::{hash, mix};
use crate::symbols::{OTHER, Symbols};

/// Remote peers choose span names, and some put ids into them.
const MAX_OPERATIONS: usize = 20_000;

/// Index of an operation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
pub(crate) struct OperationId(pub(crate) u32);

/// What a service does again and again.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Operation {
    pub(crate) service: ServiceId,
    /// `service.name`.
    pub(crate) service_name: Symbol,
    pub(crate) kind: SpanKind,
    /// The span's name.
    pub(crate) name: Symbol,
    /// Who is called: `peer.service`, else `server.address`.
    pub(crate) peer: Option<Symbol>,
    /// What it is done to: `messaging.destination.name` or `db.collection.name`.
    pub(crate) subject: Option<Symbol>,
    /// `messaging.consumer.group.name`.
    pub(crate) group: Option<Symbol>,
    /// `messaging.operation.type` or `db.operation.name`.
    pub(crate) verb: Option<Symbol>,
    /// `messaging.system` or `db.system.name`.
    pub(crate) system: Option<Symbol>,
}

/// An operation as a span tells it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Told<'t> {
    pub(crate) service: ServiceId,
    pub(crate) service_name: Symbol,
    pub(crate) kind: SpanKind,
    pub(crate) name: &'t [u8],
    /// Peer, subject, group, verb, system; empty where the span does not say.
    pub(crate) texts: [&'t [u8]; 5],
}

impl Told<'_> {
    /// Names the operation, across restarts too.
    pub(crate) fn hash(&self) -> u64 {
        let own = mix(mix(hash(self.name), u64::from(self.service.index())), self.kind as u64);
        let told = self.texts.iter().enumerate().filter(|(_, text)| !text.is_empty());
        told.fold(own, |all, (index, text)| mix(all, hash(text) ^ index as u64))
    }

    /// The same, owned.
    pub(crate) fn to_owned(self) -> NewOperation {
        let Told { service, service_name, kind, name, texts } = self;
        NewOperation { service, service_name, kind, name: name.into(), texts: texts.map(Into::into) }
    }
}

/// An operation not met before, on its way to the table.
#[derive(Debug)]
pub(crate) struct NewOperation {
    service: ServiceId,
    service_name: Symbol,
    kind: SpanKind,
    name: Box<[u8]>,
    texts: [Box<[u8]>; 5],
}

impl NewOperation {
    pub(crate) fn told(&self) -> Told<'_> {
        let NewOperation { service, service_name, kind, name, texts } = self;
        let texts = std::array::from_fn(|index| &*texts[index]);
        Told { service: *service, service_name: *service_name, kind: *kind, name, texts }
    }
}

/// All operations met so far.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Operations {
    list: Vec<Operation>,
    ids: HashMap<u64, OperationId, FixedState>,
    /// Operations that were folded into one called `other`, since there are too many.
    pub(crate) overflowed: u64,
}

impl Operations {
    /// The operation of this hash, if it was met before.
    pub(crate) fn find(&self, hash: u64) -> Option<OperationId> {
        self.ids.get(&hash).copied()
    }

    /// The operation that a span tells of, entered if it is new.
    pub(crate) fn enter(&mut self, told: Told<'_>, symbols: &mut Symbols) -> OperationId {
        if let Some(id) = self.find(told.hash()) {
            return id;
        }
        let is_full = self.list.len() >= MAX_OPERATIONS;
        self.overflowed += u64::from(is_full);
        let told = if is_full { Told { name: b"other", texts: [b""; 5], ..told } } else { told };
        let next = OperationId(self.list.len() as u32);
        let id = *self.ids.entry(told.hash()).or_insert(next);
        if id == next {
            let mut text = |text: &[u8]| (!text.is_empty()).then(|| symbols.intern_watched(text));
            let name = text(told.name).unwrap_or(OTHER);
            let [peer, subject, group, verb, system] = told.texts.map(text);
            let Told { service, service_name, kind, .. } = told;
            self.list.push(Operation { service, service_name, kind, name, peer, subject, group, verb, system });
        }
        id
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (OperationId, &Operation)> {
        self.list.iter().enumerate().map(|(index, operation)| (OperationId(index as u32), operation))
    }
}

impl std::ops::Index<OperationId> for Operations {
    type Output = Operation;
    fn index(&self, id: OperationId) -> &Operation {
        &self.list[id.0 as usize]
    }
}
