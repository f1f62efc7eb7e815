//! Messages that were processed more than once.

use truegreen_model::finding::FindingKind;

use super::super::share::Deviation;
use super::super::{View, hex};
use super::Messages;
use super::window::MessageId;
use crate::finding::PlaceFindings;

impl Messages {
    /// Whether this message and its twin were both processed well, which is told once.
    pub(super) fn took_twice(
        &mut self,
        id: MessageId,
        stream: u16,
        view: &View<'_>,
        findings: &mut PlaceFindings,
    ) -> bool {
        let taken = |id: MessageId| self.window.get(id).and_then(|publication| publication.taken(stream));
        let is_well = |id: MessageId| taken(id).is_some_and(|taken| taken.went_well && !taken.is_repeated);
        let Some(publication) = self.window.get(id) else { return false };
        let (at, trace, operation) = (publication.end, publication.trace, publication.operation);
        if !publication.twin.is_some_and(|twin| is_well(id) && is_well(twin)) {
            return false;
        }
        let own = self.window.get_mut(id).and_then(|known| known.taken.iter_mut().find(|taken| taken.stream == stream));
        own.into_iter().for_each(|taken| taken.is_repeated = true);
        let by = view.operations[operation].service_name;
        if let Some(stream) = self.streams.get_mut(usize::from(stream)) {
            stream.doubled_by = Some(by);
        }
        let what = "was published twice for one request, and both were processed";
        self.repeated(stream, Deviation { at, trace }, what, view, findings);
        true
    }

    pub(super) fn repeated(
        &mut self,
        stream: u16,
        deviation: Deviation,
        what: &str,
        view: &View<'_>,
        findings: &mut PlaceFindings,
    ) {
        let stream = &mut self.streams[stream as usize];
        let folder = (FindingKind::DuplicateDelivery, stream.repeats_at());
        let evidence = || format!("the message of trace {} {what}", hex(deviation.trace));
        stream.repeated.deviated(folder, deviation, evidence, view, findings);
    }
}
