//! Messages from their publication to what is done with them: consumers that fall behind, stand still or skip, messages
//! that are lost, never published, or processed more than once.
//!
//! A processing is joined to its publication by its link, else by its parent, else by the message's own id, across traces
//! and whichever is told first. Of what is missing nothing is concluded where it may have happened unheard ([`Hearing`]),
//! nor where consumers do not say what they process: then context is lost, and messages are not.
//!
//! Each span is met twice. As it comes, it moves queues on: how long messages wait and whether they move need no more
//! than that. Once its trace has settled, it is known what it belongs to and what was done under it.

#[cfg(test)]
mod alone;
mod lane;
mod load;
mod losses;
mod omitted;
mod pace;
mod processing;
mod publishing;
mod reach;
mod repeats;
mod skipping;
mod stream;
#[cfg(test)]
mod tests;
mod window;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use truegreen_model::observation::{Symbol, TraceId};

use super::View;
use super::clocks::Clocks;
use super::hearing::Hearing;
use super::role::{Role, Roles};
use super::table::Table;
use crate::finding::PlaceFindings;
use crate::trace::span::TracedSpan;
use crate::trace::tree::Tree;
use omitted::Omitted;
use reach::Reach;
use skipping::Skipping;
use stream::Stream;
use window::Window;

const MAX_STREAMS: usize = 5_000;
/// Groups of one destination.
const MAX_GROUPS: usize = 16;
/// Messages of one batch that are followed.
const MAX_BATCH: usize = 256;
/// Telemetry takes an export lag to come, of this at least.
const LEAST_LAG: Duration = Duration::from_secs(10);
const MOST_LAG: Duration = Duration::from_secs(60);
/// Batches of one sender overtake each other by so much.
const OUT_OF_ORDER: Duration = Duration::from_secs(2);

/// All messages.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Messages {
    #[serde(skip)]
    roles: Roles,
    hearing: Hearing,
    window: Window,
    streams: Vec<Stream>,
    /// By destination, service and group.
    stream_ids: Table<(Symbol, Symbol, Option<Symbol>), u16>,
    /// Of each destination.
    groups: Table<Symbol, SmallVec<[u16; 2]>>,
    skipping: Skipping,
    omitted: Omitted,
    reach: Reach,
    /// How long telemetry takes to come, as of the last tick.
    lag: Duration,
    overflowed: u64,
}

impl Messages {
    pub(super) fn overflowed(&self) -> u64 {
        let tables = self.window.overflowed() + self.skipping.overflowed() + self.omitted.overflowed();
        tables + self.stream_ids.overflowed() + self.overflowed
    }

    /// A span came.
    pub(super) fn heard(
        &mut self,
        (trace, span): (TraceId, &TracedSpan),
        clocks: &mut Clocks,
        view: &View<'_>,
        findings: &mut PlaceFindings,
    ) {
        self.reach.heard(span.instance, span.end, span.received);
        match self.roles.of(span.operation, view.operations, view.symbols) {
            Role::Publish => self.sent((trace, span), clocks, view, findings),
            Role::Process => self.taken((trace, span), clocks, view, findings),
            _ => {}
        }
    }

    /// The trace of spans that came has settled.
    pub(super) fn settled(&mut self, tree: &Tree, clocks: &mut Clocks, view: &View<'_>, findings: &mut PlaceFindings) {
        self.hearing.settled(tree, view);
        let (mut publishing, mut processing) = (SmallVec::<[usize; 8]>::new(), SmallVec::<[usize; 8]>::new());
        let mut is_asked = false;
        for (index, span) in tree.spans.iter().enumerate() {
            match self.roles.of(span.operation, view.operations, view.symbols) {
                Role::Publish => publishing.push(index),
                Role::Process => processing.push(index),
                _ => is_asked |= self.omitted.is_known(span.operation),
            }
        }
        for index in &publishing {
            self.published(tree, *index, view, findings);
        }
        for index in processing {
            self.processed(tree, index, clocks, view, findings);
        }
        if !publishing.is_empty() || is_asked {
            self.omitted.settled(tree, &publishing, (&self.hearing, view), findings);
        }
    }

    fn lag(&self) -> Duration {
        self.lag.clamp(LEAST_LAG, MOST_LAG)
    }

    /// Time passed; `lag` is how long telemetry takes to come.
    pub(super) fn tick(&mut self, lag: Duration, clocks: &Clocks, view: &View<'_>, findings: &mut PlaceFindings) {
        self.lag = lag;
        for (id, name) in self.window.take_due(view.now) {
            match self.missing(id, clocks, view, findings) {
                Some(again) => self.window.look_again((id, name), again),
                None => self.forget((id, name)),
            }
        }
        if self.window.tidy(view.now) {
            self.recount();
        }
        for stream in self.window.unheard(view.now) {
            self.streams[stream as usize].hears(false);
        }
        self.reach.tidy(view.now);
        self.skipping.decide(self.lag(), view, findings);
        for stream in &mut self.streams {
            stream.count(view);
            if !stream.is_astir(view.now) {
                continue;
            }
            stream.keep_pace(view, findings);
            let Some(until) = self.reach.until(stream.service, view.now - OUT_OF_ORDER, view.now, clocks) else {
                continue;
            };
            if stream.is_followed() && !self.hearing.is_doubtful(stream.service, view) {
                stream.move_on(until, view, findings);
            }
        }
    }
}
