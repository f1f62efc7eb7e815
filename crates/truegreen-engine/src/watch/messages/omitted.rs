//! Requests that usually publish a message and answer with success without having published one.

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use truegreen_model::finding::FindingKind;
use truegreen_model::flow::SpanKind;
use truegreen_model::observation::Symbol;

use super::super::habit::Habit;
use super::super::hearing::Hearing;
use super::super::share::Deviation;
use super::super::table::Table;
use super::super::{View, hex};
use crate::finding::PlaceFindings;
use crate::finding::place::Place;
use crate::trace::operation::OperationId;
use crate::trace::tree::Tree;

/// Destinations of one operation told apart.
const MAX_DESTINATIONS: usize = 8;

/// What requests usually publish, by their operation.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Omitted {
    requests: Table<OperationId, SmallVec<[(Symbol, Habit); 1]>>,
    /// By operation, whether it is one of them: most are not.
    is_known: Vec<bool>,
}

impl Omitted {
    pub(super) fn overflowed(&self) -> u64 {
        self.requests.overflowed()
    }

    /// Whether these usually publish.
    pub(super) fn is_known(&self, operation: OperationId) -> bool {
        self.is_known.get(operation.0 as usize).is_some_and(|is_known| *is_known)
    }

    pub(super) fn settled(
        &mut self,
        tree: &Tree,
        publishing: &[usize],
        (hearing, view): (&Hearing, &View<'_>),
        findings: &mut PlaceFindings,
    ) {
        // Of each publication the request it was published for.
        let mut published: SmallVec<[(usize, Symbol); 4]> = SmallVec::new();
        for index in publishing.iter().copied() {
            let operation = &view.operations[tree.spans[index].operation];
            let is_request = |at: &usize| view.operations[tree.spans[*at].operation].kind == SpanKind::Server;
            let request = tree.upwards(index).take(64).find(is_request);
            let of_own = |at: &usize| view.operations[tree.spans[*at].operation].service == operation.service;
            if let (Some(request), Some(subject)) = (request.filter(of_own), operation.subject) {
                published.push((request, subject));
                let operation = tree.spans[request].operation;
                let known = self.requests.entry(operation, SmallVec::new);
                if known.is_some() {
                    let least = (operation.0 as usize + 1).max(self.is_known.len());
                    self.is_known.resize(least, false);
                    self.is_known[operation.0 as usize] = true;
                }
                if let Some(known) = known
                    && known.len() < MAX_DESTINATIONS
                    && known.iter().all(|(destination, _)| *destination != subject)
                {
                    known.push((subject, Habit::default()));
                }
            }
        }
        for (index, span) in tree.spans.iter().enumerate() {
            if !self.is_known(span.operation) {
                continue;
            }
            let operation = &view.operations[span.operation];
            let Some(known) = self.requests.get_mut(&span.operation) else { continue };
            let went_well = !span.failed() && span.status < 400 && !span.refused && span.error.is_none();
            if !went_well || tree.is_partial || hearing.is_doubtful(operation.service, view) {
                continue;
            }
            for (subject, habit) in known {
                let place = Place { subject: Some(*subject), peer: None, ..Place::operation(operation) };
                let kind = FindingKind::LostPublish;
                if published.contains(&(index, *subject)) {
                    habit.kept(kind, place, findings);
                    continue;
                }
                let evidence = |habit: &Habit| {
                    format!(
                        "`{}` in trace {} answered with success without publishing to `{}`; usually {:.1} % publish",
                        view.symbols.text(operation.name),
                        hex(tree.trace),
                        view.symbols.text(*subject),
                        habit.percent(),
                    )
                };
                let deviation = Deviation { at: span.start, trace: tree.trace };
                habit.broken((kind, place), deviation, evidence, view, findings);
            }
        }
    }
}
