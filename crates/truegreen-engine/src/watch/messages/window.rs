//! Messages of the last minutes: each publication, and who processed it. The two are told in either order, by traces of
//! their own that link to each other, or by one.
//!
//! Where there are too many to remember, all that belong to some of the traces are left out: what is remembered of a
//! message is then still all of it.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use truegreen_model::observation::{InstanceId, Symbol, TraceId};
use truegreen_model::time::Timestamp;

use super::super::table::Table;
use crate::matcher::key::mix;
use crate::trace::SpanRef;
use crate::trace::operation::OperationId;

/// Publications remembered before fewer traces are followed, and so few that more are.
const MANY: usize = 20_000;
const FEW: usize = 5_000;
/// A processing whose publication does not come is forgotten.
const EARLY: Duration = Duration::from_secs(180);
/// Processings of one message that are remembered until its publication comes.
const MAX_EARLY: usize = 8;
/// At least one trace in so many (as a power of two) is followed.
const LEAST_FOLLOWED: u32 = 16;

/// Names a message.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub(super) struct MessageId(u64);

impl MessageId {
    /// By the span that published it.
    pub(super) fn of_span(SpanRef { trace, span }: SpanRef) -> Self {
        MessageId(mix(mix(trace.0 as u64, (trace.0 >> 64) as u64), span))
    }

    /// By its own id within its destination.
    pub(super) fn of_text(subject: Symbol, key: u64) -> Self {
        MessageId(mix(key, u64::from(subject.0) | 1 << 40))
    }
}

/// A message that was published.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Publication {
    pub(super) operation: OperationId,
    pub(super) instance: InstanceId,
    pub(super) subject: Symbol,
    pub(super) partition: Option<Symbol>,
    pub(super) trace: TraceId,
    pub(super) start: Timestamp,
    pub(super) end: Timestamp,
    /// The end by the reference's clock, as far as it was known.
    pub(super) at: Timestamp,
    pub(super) received: Timestamp,
    /// When it was last processed, or published, as received.
    pub(super) latest: Timestamp,
    pub(super) failed: bool,
    pub(super) error: Option<Symbol>,
    /// Its trace has settled, so that what follows is known.
    pub(super) is_settled: bool,
    /// It failed, and who wanted it published knows.
    pub(super) is_told: bool,
    /// Another publication of the same, tried before or after this one.
    pub(super) twin: Option<MessageId>,
    pub(super) taken: SmallVec<[Taken; 1]>,
}

/// Who processed it.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Taken {
    pub(super) stream: u16,
    pub(super) instance: InstanceId,
    /// The span of the first that did.
    pub(super) by: MessageId,
    pub(super) went_well: bool,
    /// That it was processed again was counted.
    pub(super) is_repeated: bool,
}

/// One message being processed.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Processing {
    pub(super) stream: u16,
    pub(super) instance: InstanceId,
    /// The span itself.
    pub(super) by: MessageId,
    pub(super) trace: TraceId,
    pub(super) start: Timestamp,
    pub(super) end: Timestamp,
    pub(super) received: Timestamp,
    pub(super) went_well: bool,
}

impl Publication {
    pub(super) fn taken(&self, stream: u16) -> Option<&Taken> {
        self.taken.iter().find(|taken| taken.stream == stream)
    }
}

/// The messages of the last minutes.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Window {
    publications: Table<MessageId, Publication>,
    /// From a message's own id to its publication.
    named: Table<MessageId, MessageId>,
    early: Table<MessageId, (Timestamp, SmallVec<[Processing; 1]>)>,
    /// When the publication of each of those should have come.
    expected: VecDeque<(Timestamp, MessageId)>,
    /// When each is looked at, in seconds.
    due: BTreeMap<u64, Vec<(MessageId, Option<MessageId>)>>,
    /// One in two to the power of this many traces is followed.
    rarity: u32,
    tidied: Timestamp,
}

impl Window {
    pub(super) fn overflowed(&self) -> u64 {
        self.publications.overflowed() + self.early.overflowed()
    }

    /// Whether messages published in this trace are remembered.
    pub(super) fn follows(&self, trace: TraceId) -> bool {
        let mixed = mix(trace.0 as u64, (trace.0 >> 64) as u64);
        self.rarity == 0 || mixed.trailing_zeros() >= self.rarity
    }

    pub(super) fn get(&self, id: MessageId) -> Option<&Publication> {
        self.publications.get(&id)
    }

    pub(super) fn get_mut(&mut self, id: MessageId) -> Option<&mut Publication> {
        self.publications.get_mut(&id)
    }

    /// The publication of a message by its span or its own id.
    pub(super) fn find(&self, id: MessageId) -> Option<MessageId> {
        if self.publications.get(&id).is_some() { Some(id) } else { self.named.get(&id).copied() }
    }

    /// Enters a publication, to be looked at when `due`; hands over who processed it before it was told. `None` where
    /// it is known.
    pub(super) fn publish(
        &mut self,
        (id, name): (MessageId, Option<MessageId>),
        publication: Publication,
        due: Timestamp,
    ) -> Option<SmallVec<[Processing; 1]>> {
        if !self.publications.insert(id, publication) {
            return None;
        }
        self.look_again((id, name), due);
        let mut early = SmallVec::new();
        if !self.early.is_empty() {
            let of_both = [Some(id), name].into_iter().flatten();
            early.extend(of_both.filter_map(|id| self.early.remove(&id)).flat_map(|(_, early)| early));
        }
        if let Some(name) = name {
            self.named.insert(name, id);
        }
        Some(early)
    }

    /// It was processed, though its publication is not known yet; true where another span of the same consumer did so
    /// before.
    pub(super) fn wait(&mut self, id: MessageId, processing: Processing) -> bool {
        let new = || (processing.received, SmallVec::new());
        let Some((since, waiting)) = self.early.entry(id, new) else { return false };
        *since = processing.received;
        let mut of_consumer = waiting.iter().filter(|known: &&Processing| known.stream == processing.stream);
        let first = of_consumer.next().map(|first| first.by);
        if first != Some(processing.by) && waiting.len() < MAX_EARLY {
            waiting.push(processing);
        }
        first.is_some_and(|first| first != processing.by)
    }

    /// The same, once it is known that this is what it processes: its publication should come until `due`. True where no
    /// other span of the same consumer processed it before.
    pub(super) fn expect(&mut self, id: MessageId, processing: Processing, due: Timestamp) -> bool {
        let is_again = self.wait(id, processing);
        if !is_again {
            self.expected.push_back((due, id));
        }
        !is_again
    }

    /// Who processed what should have been published by now as far as is known, and was not.
    pub(super) fn unheard(&mut self, now: Timestamp) -> SmallVec<[u16; 8]> {
        let mut streams = SmallVec::new();
        while let Some((_, id)) = self.expected.pop_front_if(|(due, _)| *due <= now) {
            streams.extend(self.early.get(&id).and_then(|(_, waiting)| waiting.first()).map(|first| first.stream));
        }
        streams
    }

    /// Whether messages of all traces are remembered.
    pub(super) fn follows_all(&self) -> bool {
        self.rarity == 0
    }

    pub(super) fn look_again(&mut self, ids: (MessageId, Option<MessageId>), at: Timestamp) {
        self.due.entry(at.0 / 1_000_000_000 + 1).or_default().push(ids);
    }

    /// Those that are due.
    pub(super) fn take_due(&mut self, now: Timestamp) -> Vec<(MessageId, Option<MessageId>)> {
        let mut due = Vec::new();
        while let Some(first) = self.due.first_entry().filter(|first| *first.key() <= now.0 / 1_000_000_000) {
            due.append(&mut first.remove());
        }
        due
    }

    pub(super) fn forget(&mut self, (id, name): (MessageId, Option<MessageId>)) -> Option<Publication> {
        if let Some(name) = name.filter(|name| self.named.get(name) == Some(&id)) {
            self.named.remove(&name);
        }
        self.publications.remove(&id)
    }

    /// Keeps within bounds; true where publications were forgotten for that.
    pub(super) fn tidy(&mut self, now: Timestamp) -> bool {
        if self.publications.len() >= MANY && self.rarity < LEAST_FOLLOWED {
            self.rarity += 1;
            let rarity = self.rarity;
            let follows = |trace: TraceId| mix(trace.0 as u64, (trace.0 >> 64) as u64).trailing_zeros() >= rarity;
            self.publications.retain(|_, publication| follows(publication.trace));
            let Window { publications, named, .. } = self;
            named.retain(|_, id| publications.get(id).is_some());
            return true;
        }
        if now.since(self.tidied) >= EARLY / 6 {
            self.tidied = now;
            self.early.retain(|_, (since, _)| now.since(*since) < EARLY);
            if self.publications.len() <= FEW {
                self.rarity = self.rarity.saturating_sub(1);
            }
        }
        false
    }
}
