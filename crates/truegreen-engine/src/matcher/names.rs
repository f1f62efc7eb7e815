//! The attribute names that any contract reads. Most attributes of most records are none of them, so saying "no"
//! must be nearly free.

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use truegreen_otlp::{Attribute, Value};

/// An attribute name that some contract reads.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub(crate) struct NameId(u16);

impl NameId {
    pub(crate) fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// Names from before OpenTelemetry's conventions were stable, still sent by many; each stands for the newer one.
const OLD_NAMES: &[(&str, &str)] = &[
    ("db.name", "db.namespace"),
    ("db.operation", "db.operation.name"),
    ("db.sql.table", "db.collection.name"),
    ("db.statement", "db.query.text"),
    ("db.system", "db.system.name"),
    ("deployment.environment", "deployment.environment.name"),
    ("http.method", "http.request.method"),
    ("http.status_code", "http.response.status_code"),
    ("messaging.destination", "messaging.destination.name"),
    ("messaging.kafka.consumer.group", "messaging.consumer.group.name"),
    ("messaging.operation", "messaging.operation.type"),
];

/// The names, numbered.
#[derive(Debug, Default)]
pub(crate) struct Names {
    ids: HashMap<Box<[u8]>, NameId, FixedState>,
    /// In the order of their numbers.
    all: Vec<Box<str>>,
    /// Bit set for every (length, last byte) that some name has.
    shapes: [u64; 4],
}

/// The values of a record under the names that contracts read.
pub(crate) type Found<'a> = SmallVec<[(NameId, Value<'a>); 8]>;

impl Names {
    pub(crate) fn intern(&mut self, name: &str) -> NameId {
        if let Some(id) = self.ids.get(name.as_bytes()) {
            return *id;
        }
        let id = NameId(self.all.len() as u16);
        self.all.push(name.into());
        self.insert(name, id);
        for (old, _) in OLD_NAMES.iter().filter(|(_, new)| *new == name) {
            self.insert(old, id);
        }
        id
    }

    /// Every name, in the order of their numbers.
    pub(crate) fn all(&self) -> impl Iterator<Item = &str> {
        self.all.iter().map(|name| &**name)
    }

    fn insert(&mut self, name: &str, id: NameId) {
        let shape = shape(name.as_bytes());
        self.shapes[shape / 64] |= 1 << (shape % 64);
        self.ids.entry(name.as_bytes().into()).or_insert(id);
    }

    fn lookup(&self, name: &[u8]) -> Option<NameId> {
        let shape = shape(name);
        if self.shapes[shape / 64] & (1 << (shape % 64)) == 0 {
            return None;
        }
        self.ids.get(name).copied()
    }

    /// Gathers what contracts read from these attributes. Of a name given twice the first counts.
    pub(crate) fn gather<'a>(&self, attributes: &[Attribute<'a>], found: &mut Found<'a>) {
        found.clear();
        for attribute in attributes {
            if let Some(id) = self.lookup(attribute.key)
                && !found.iter().any(|(seen, _)| *seen == id)
            {
                found.push((id, attribute.value));
            }
        }
    }
}

fn shape(name: &[u8]) -> usize {
    let last = name.last().copied().unwrap_or(0);
    (name.len().wrapping_mul(31) ^ usize::from(last)) & 255
}
