//! Whether what is missing of a service may have happened all the same: it is sampled, it loses spans on the way, we did
//! not listen, or one of its processes ended with spans that it never sent (INV-UNKNOWN-1).
//!
//! A span that is no server's or consumer's has its parent in the same process. Where such parents do not come, their
//! sender lost them.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use truegreen_model::flow::SpanKind;
use truegreen_model::time::Timestamp;

use super::View;
use crate::coverage::ServiceId;
use crate::trace::tree::{Parent, Tree};

/// Spans over which the share of missing parents is taken.
const RECENT: f64 = 100.0;
/// Requests that never end let parents be missing too, so a few are tolerated.
const LOSSY: f64 = 0.025;
/// What was doubted so shortly ago still is.
const LATELY: Duration = Duration::from_secs(60);
/// Spans that a process which is killed takes with it: exporters wait so long.
const UNSENT: Duration = Duration::from_secs(15);

/// Which services lose spans.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Hearing {
    /// The share of local parents that did not come, by service.
    missing: Vec<f64>,
}

impl Hearing {
    pub(super) fn settled(&mut self, tree: &Tree, view: &View<'_>) {
        if tree.is_partial {
            return;
        }
        for (index, span) in tree.spans.iter().enumerate() {
            let parent = tree.parent(index);
            if parent == Parent::Root {
                continue;
            }
            let operation = &view.operations[span.operation];
            if matches!(operation.kind, SpanKind::Server | SpanKind::Consumer) {
                continue;
            }
            let at = operation.service.index() as usize;
            if at >= self.missing.len() {
                self.missing.resize(view.coverage.services().len().max(at + 1), 0.0);
            }
            let is_missing = f64::from(u8::from(parent == Parent::Missing));
            self.missing[at] += (is_missing - self.missing[at]) / RECENT;
        }
    }

    /// Whether spans of this service may be missing that were never sent, or not kept.
    pub(super) fn is_doubtful(&self, service: ServiceId, view: &View<'_>) -> bool {
        view.coverage[service].sampled().is_some()
            || view.coverage.is_doubted(service, view.now - LATELY, view.now)
            || self.missing.get(service.index() as usize).is_some_and(|missing| *missing > LOSSY)
    }

    /// Whether what the service did between these times of receipt may have been lost for another reason.
    pub(super) fn has_gap(service: ServiceId, from: Timestamp, until: Timestamp, view: &View<'_>) -> bool {
        view.coverage.gap(&[service], from, until).is_some()
            || view.coverage.is_doubted(service, from, until)
            || view.coverage.fell_silent(service, from - UNSENT, until, view.now - UNSENT)
    }
}
