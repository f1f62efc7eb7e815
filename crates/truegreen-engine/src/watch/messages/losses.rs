//! Messages that were published and never processed, though later ones were.

use std::time::Duration;

use truegreen_model::finding::FindingKind;
use truegreen_model::time::Timestamp;

use super::super::clocks::Clocks;
use super::super::hearing::Hearing;
use super::super::share::Deviation;
use super::super::{View, hex};
use super::window::{MessageId, Publication};
use super::{Messages, OUT_OF_ORDER};
use crate::finding::PlaceFindings;
use crate::finding::place::Place;

/// A message is looked at so long after traces that were told with it have settled, which may show that spans are lost.
pub(super) const CHECKED_AFTER: Duration = Duration::from_secs(5);
/// And again, at first in haste, then ever more seldom.
const AGAIN: Duration = Duration::from_secs(2);
const HASTE: Duration = Duration::from_secs(40);
const SELDOM: Duration = Duration::from_secs(60);
/// Metrics are sent at least so often, mostly.
const COUNTED_AFTER: Duration = Duration::from_secs(30);
/// Beyond this, and the longest that any took, it is not just waiting, or being worked at.
const LEAST_PATIENCE: Duration = Duration::from_secs(10);
/// A message is followed so long.
const FOLLOWED: Duration = Duration::from_secs(600);
/// One that was processed by all is followed so long, should it be processed again.
const REPEATED: Duration = Duration::from_secs(120);

impl Messages {
    /// Looks at a message that should have been processed by now; when to look again, if ever.
    pub(super) fn missing(
        &mut self,
        id: MessageId,
        clocks: &Clocks,
        view: &View<'_>,
        findings: &mut PlaceFindings,
    ) -> Option<Timestamp> {
        let publication = self.window.get(id)?;
        let age = view.now.since(publication.received);
        // What is tried again and again goes on being known.
        if view.now.since(publication.latest) >= FOLLOWED {
            return None;
        }
        let mut again = None;
        let mut lost = None;
        for group in self.groups.get(&publication.subject).into_iter().flatten() {
            if publication.taken(*group).is_some() || self.is_made_good(publication, *group) {
                continue;
            }
            again = Some(view.now + if age < HASTE { AGAIN } else { (age / 4).min(SELDOM) });
            if self.is_lost(publication, *group, clocks, view) {
                lost = Some(*group);
                break;
            }
        }
        let Some(group) = lost else {
            // Should it be processed again.
            let until = publication.latest + REPEATED;
            return again.or((until > view.now).then_some(until));
        };
        let place = published_at(publication, view);
        let (at, trace) = (publication.end, publication.trace);
        let error = publication.error.filter(|_| publication.failed);
        let deviation = Deviation { at, trace };
        let stream = &mut self.streams[group as usize];
        let evidence = || {
            let failed = error.map_or_else(String::new, |error| {
                format!(" ended with `{}`, which its caller did not tell, and", view.symbols.text(error))
            });
            format!(
                "the message of trace {}{failed} was not processed by `{}` within {} s, though several published after it were",
                hex(trace),
                view.symbols.text(stream.place.service),
                age.as_secs(),
            )
        };
        stream.last_lost = view.now;
        stream.lost.deviated((FindingKind::LostPublish, place), deviation, evidence, view, findings);
        None
    }

    /// Whether it failed, and another attempt did not.
    fn is_made_good(&self, publication: &Publication, group: u16) -> bool {
        let twin = || publication.twin.and_then(|twin| self.window.get(twin));
        publication.failed && twin().is_some_and(|twin| twin.taken(group).is_some() || !twin.failed)
    }

    fn is_lost(&self, publication: &Publication, group: u16, clocks: &Clocks, view: &View<'_>) -> bool {
        let stream = &self.streams[group as usize];
        if !stream.has_overtaken(publication) || publication.is_told || !publication.is_settled {
            return false;
        }
        let until = self.reach.until(stream.service, view.now - OUT_OF_ORDER, view.now, clocks);
        let producer = view.operations[publication.operation].service;
        // Whose exporter dropped spans says so in its metrics, where it sends any, and else in traces later on.
        let is_counted = stream.counted > publication.received || view.now.since(publication.received) >= COUNTED_AFTER;
        (is_counted || publication.failed)
            && until >= Some(publication.at + LEAST_PATIENCE.max(stream.patience()))
            && stream.is_followed()
            && view.coverage[producer].sampled().is_none()
            && !self.hearing.is_doubtful(stream.service, view)
            && !Hearing::has_gap(stream.service, publication.received - self.lag(), view.now, view)
    }

    pub(super) fn forget(&mut self, ids: (MessageId, Option<MessageId>)) {
        let Some(publication) = self.window.forget(ids) else { return };
        for group in self.groups.get(&publication.subject).into_iter().flatten() {
            if publication.taken(*group).is_none() && !publication.failed {
                self.streams[*group as usize].lane(publication.partition).no_longer_pending();
            }
        }
    }

    /// Fewer messages are followed from now on, so what waited is not known any more.
    pub(super) fn recount(&mut self) {
        for stream in &mut self.streams {
            stream.lanes.values_mut().for_each(super::lane::Lane::forget_waiting);
        }
    }
}

/// Where a message was published.
pub(super) fn published_at(publication: &Publication, view: &View<'_>) -> Place {
    Place { peer: None, ..Place::operation(&view.operations[publication.operation]) }
}
