//! The attribute names that are read of every span, whatever contracts say: those of OpenTelemetry's conventions that
//! tell what an operation is done to and how it went. `cache.hit` and `cache.key` are ours, since there is no convention.

use std::borrow::Cow;

use truegreen_otlp::Value;

use super::names::{Found, NameId, Names};

/// What a name is read for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Word {
    Status,
    Error,
    PeerService,
    ServerAddress,
    Destination,
    Collection,
    Cache,
    Group,
    MessageOperationType,
    MessageOperation,
    Statement,
    DatabaseOperation,
    CacheOperation,
    MessagingSystem,
    DatabaseSystem,
    AffectedRows,
    ReturnedRows,
    Hit,
    Message,
    CacheKey,
    Partition,
    /// Ours, of the library for consumers.
    Outcome,
}

const NAMES: [(Word, &str); 22] = [
    (Word::Status, "http.response.status_code"),
    (Word::Error, "error.type"),
    (Word::PeerService, "peer.service"),
    (Word::ServerAddress, "server.address"),
    (Word::Destination, "messaging.destination.name"),
    (Word::Collection, "db.collection.name"),
    (Word::Cache, "cache.name"),
    (Word::Group, "messaging.consumer.group.name"),
    (Word::MessageOperationType, "messaging.operation.type"),
    (Word::MessageOperation, "messaging.operation.name"),
    (Word::Statement, "db.query.text"),
    (Word::DatabaseOperation, "db.operation.name"),
    (Word::CacheOperation, "cache.operation"),
    (Word::MessagingSystem, "messaging.system"),
    (Word::DatabaseSystem, "db.system.name"),
    (Word::AffectedRows, "db.response.affected_rows"),
    (Word::ReturnedRows, "db.response.returned_rows"),
    (Word::Hit, "cache.hit"),
    (Word::Message, "messaging.message.id"),
    (Word::CacheKey, "cache.key"),
    (Word::Partition, "messaging.destination.partition.id"),
    (Word::Outcome, super::plan::OUTCOME),
];

/// The names, numbered.
#[derive(Clone, Debug)]
pub(crate) struct Vocabulary {
    /// By the numbers of names.
    words: Vec<Option<Word>>,
}

impl Vocabulary {
    pub(super) fn new(names: &mut Names) -> Self {
        let mut words = Vec::new();
        for (word, name) in NAMES {
            let id = names.intern(name).index();
            words.resize(words.len().max(id + 1), None);
            words[id] = Some(word);
        }
        Vocabulary { words }
    }

    /// What a span says, by the names it is read for.
    pub(crate) fn said<'f, 'a>(&self, found: &'f Found<'a>) -> Said<'f, 'a> {
        let mut places = [0; NAMES.len()];
        for (place, (id, _)) in found.iter().enumerate() {
            if let Some(word) = self.word(*id) {
                places[word as usize] = u16::try_from(place + 1).unwrap_or(0);
            }
        }
        Said { found, places }
    }

    fn word(&self, id: NameId) -> Option<Word> {
        self.words.get(id.index()).copied().flatten()
    }
}

/// What a span says. Every span is asked for every word, so each answer is one look.
#[derive(Debug)]
pub(crate) struct Said<'f, 'a> {
    found: &'f Found<'a>,
    /// Where each word's value stands among those found, from 1; 0 where the span does not say.
    places: [u16; NAMES.len()],
}

impl<'a> Said<'_, 'a> {
    pub(crate) fn value(&self, word: Word) -> Option<Value<'a>> {
        let place = usize::from(self.places[word as usize]).checked_sub(1)?;
        self.found.get(place).map(|(_, value)| *value)
    }

    /// The first that is said; empty where none is.
    pub(crate) fn text(&self, words: &[Word]) -> Cow<'a, [u8]> {
        words.iter().find_map(|word| self.value(*word)).map(|value| value.text()).unwrap_or_default()
    }
}
