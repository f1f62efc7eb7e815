//! The attribute names that are read of every span, whatever contracts say: those of OpenTelemetry's conventions that
//! tell what an operation is done to and how it went. `cache.hit` and `cache.key` are ours, since there is no convention.

use super::names::{NameId, Names};

/// The names, numbered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Vocabulary {
    pub(crate) status: NameId,
    pub(crate) error: NameId,
    pub(crate) peer: [NameId; 2],
    pub(crate) subject: [NameId; 3],
    pub(crate) group: NameId,
    pub(crate) verb: [NameId; 4],
    pub(crate) system: [NameId; 2],
    pub(crate) rows: [NameId; 2],
    pub(crate) hit: NameId,
    pub(crate) message: NameId,
    pub(crate) cache_key: NameId,
    pub(crate) statement: NameId,
    pub(crate) partition: NameId,
    /// Ours, of the library for consumers.
    pub(crate) outcome: NameId,
}

impl Vocabulary {
    pub(super) fn new(names: &mut Names) -> Self {
        let mut name = |name| names.intern(name);
        Vocabulary {
            status: name("http.response.status_code"),
            error: name("error.type"),
            peer: [name("peer.service"), name("server.address")],
            subject: [name("messaging.destination.name"), name("db.collection.name"), name("cache.name")],
            group: name("messaging.consumer.group.name"),
            verb: [
                name("messaging.operation.type"),
                name("messaging.operation.name"),
                name("db.operation.name"),
                name("cache.operation"),
            ],
            system: [name("messaging.system"), name("db.system.name")],
            rows: [name("db.response.affected_rows"), name("db.response.returned_rows")],
            hit: name("cache.hit"),
            message: name("messaging.message.id"),
            cache_key: name("cache.key"),
            statement: name("db.query.text"),
            partition: name("messaging.destination.partition.id"),
            outcome: name(super::plan::OUTCOME),
        }
    }
}
