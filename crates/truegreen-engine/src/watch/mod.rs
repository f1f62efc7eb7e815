//! What is watched without any contract: traces as they settle, and time as it passes. Each detector is a file of its
//! own: it is shown every trace once, keeps what is usual, and tells what deviates as [`Sign`]s of one kind.

mod cache;
mod clocks;
mod context;
mod drops;
mod edges;
mod habit;
mod health;
mod hearing;
mod kin;
mod level;
pub(crate) mod map;
mod masked;
mod messages;
mod role;
mod rows;
mod share;
mod silence;
#[cfg(test)]
mod stage;
mod surge;
mod table;
mod unfinished;

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use truegreen_model::observation::{InstanceId, Symbol, TraceId};
use truegreen_model::time::Timestamp;
use truegreen_model::verdict::Why;

use crate::coverage::{Coverage, HostOffset, ServiceId};
use crate::finding::PlaceFindings;
use crate::symbols::Symbols;
use crate::timers::Tick;
use crate::trace::operation::Operations;
use crate::trace::span::TracedSpan;
use crate::trace::tree::Tree;
use cache::Caches;
use clocks::Clocks;
use context::Context;
use drops::Drops;
use edges::Edges;
use health::Health;
use kin::Kin;
use level::Levels;
use map::Paths;
use masked::Masked;
use messages::Messages;
use rows::Rows;
use silence::Silence;
use table::Table;
use unfinished::Unfinished;

pub(crate) use level::LevelPoint;

/// Detectors that act on time are asked so often.
const EVERY: Duration = Duration::from_secs(1);
/// Batch exporters wait five seconds, and parts of a trace come from several.
const SHORTEST_QUIET: Duration = Duration::from_secs(10);
const LONGEST_QUIET: Duration = Duration::from_secs(60);
/// The first count of a series is news where it counts since so lately.
const FIRST_COUNTS_FOR: Duration = Duration::from_secs(120);
/// Changes of it that are remembered: more than there are seconds in which a trace is put together.
const MAX_QUIETS: usize = 256;

/// What detectors may look at.
#[derive(Clone, Copy)]
pub(crate) struct View<'v> {
    pub(crate) operations: &'v Operations,
    pub(crate) symbols: &'v Symbols,
    pub(crate) coverage: &'v Coverage,
    /// By our clock.
    pub(crate) now: Timestamp,
}

/// What a service does shows only in part, or cannot be told to belong: a stretch of time in which nothing follows from what
/// is missing of it.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Doubt {
    pub(crate) service: ServiceId,
    pub(crate) why: Why,
    pub(crate) from: Timestamp,
    pub(crate) until: Timestamp,
    /// It was not known before, so what was decided since `from` is to be judged anew.
    pub(crate) is_new: bool,
}

/// A data point of an SDK's own metrics: spans that it dropped.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DroppedSpans {
    pub(crate) service: ServiceId,
    pub(crate) instance: InstanceId,
    /// Of the metric and its attributes.
    pub(crate) series: u64,
    pub(crate) count: f64,
    /// Since when it counts; nothing where it counts since the point before.
    pub(crate) since: Option<Timestamp>,
    /// `error.type`.
    pub(crate) why: Option<Symbol>,
}

/// All detectors.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Watch {
    kin: Kin,
    paths: Paths,
    masked: Masked,
    unfinished: Unfinished,
    rows: Rows,
    health: Health,
    silence: Silence,
    edges: Edges,
    context: Context,
    drops: Drops,
    levels: Levels,
    /// The latest counts of dropped spans, by instance and series.
    dropped: Table<(u32, u64), f64>,
    /// What coverage has not been told yet.
    doubts: Vec<Doubt>,
    clocks: Clocks,
    messages: Messages,
    caches: Caches,
    next: Tick,
    /// How long nothing must come of a trace until it is looked at, and since when; the latest last.
    quiets: VecDeque<(Timestamp, Duration)>,
}

impl Watch {
    /// Time begins.
    pub(crate) fn start(&mut self, tick: Tick) {
        self.next = tick;
    }

    /// What was not watched, since tables were full.
    pub(crate) fn overflowed(&self) -> u64 {
        self.paths.overflowed()
            + self.masked.overflowed()
            + self.unfinished.overflowed()
            + self.rows.overflowed()
            + self.health.overflowed()
            + self.silence.overflowed()
            + self.edges.overflowed()
            + self.context.overflowed()
            + self.dropped.overflowed()
            + self.levels.overflowed()
            + self.clocks.overflowed()
            + self.messages.overflowed()
            + self.caches.overflowed()
    }

    /// A span came.
    pub(crate) fn heard(&mut self, trace: TraceId, span: &TracedSpan, view: &View<'_>, findings: &mut PlaceFindings) {
        self.unfinished.heard(span.instance, span.end, span.received);
        self.clocks.heard(trace, span, view);
        self.messages.heard((trace, span), &mut self.clocks, view, findings);
        self.caches.heard(trace, span, &self.clocks, view, findings);
    }

    /// An SDK said how many spans it dropped.
    pub(crate) fn dropped(&mut self, point: &DroppedSpans, view: &View<'_>, findings: &mut PlaceFindings) {
        let Some(latest) = self.dropped.entry((point.instance.0, point.series), || f64::NAN) else { return };
        let before = std::mem::replace(latest, point.count);
        // A count that we would have heard begins with its first drop.
        let heard_since = view.coverage.instance_heard_since(point.instance);
        let is_news = heard_since.is_some_and(|since| since + FIRST_COUNTS_FOR < view.now);
        let dropped = match point.since {
            None => point.count,
            // A count that fell began anew.
            Some(_) if before <= point.count => point.count - before,
            // What was dropped before we listened says nothing of what we see.
            Some(since) if before.is_nan() && !is_news && since + FIRST_COUNTS_FOR < view.now => 0.0,
            Some(_) => point.count,
        };
        if dropped > 0.0 {
            let why = point.why.map_or("no reason given", |why| view.symbols.text(why));
            self.drops.told(point.service, dropped, why, view, findings, &mut self.doubts);
        }
    }

    /// A service said how many requests it has in flight.
    pub(crate) fn in_flight(&mut self, point: &LevelPoint, view: &View<'_>, findings: &mut PlaceFindings) {
        self.levels.told(point, view, findings);
    }

    /// A journey ended that these services had to pass on; `lost` is the key of one that was lost there.
    pub(crate) fn passed_on(&mut self, services: &[Symbol], lost: Option<&str>, now: Timestamp) {
        services.iter().for_each(|service| self.health.passed_on(*service, lost, now));
    }

    /// What coverage has to be told of, handed over once.
    pub(crate) fn take_doubts(&mut self) -> Vec<Doubt> {
        std::mem::take(&mut self.doubts)
    }

    /// Nothing more is expected of this trace.
    pub(crate) fn settled(&mut self, tree: &Tree, view: &View<'_>, findings: &mut PlaceFindings) {
        findings.pass(view.now);
        self.paths.settled(tree, view);
        self.masked.settled(tree, view, findings);
        self.unfinished.settled(tree, &self.kin, view, findings);
        self.rows.settled(tree, view, findings);
        self.health.settled(tree, view, findings);
        self.silence.settled(tree, view, findings);
        self.edges.settled(tree, &self.kin, view, findings);
        self.context.settled(tree, &self.kin, view, findings, &mut self.doubts);
        self.drops.settled(tree, &self.kin, view);
        self.clocks.settled(tree, view);
        self.messages.settled(tree, &mut self.clocks, view, findings);
        self.caches.settled(tree, &self.clocks, view, findings);
        self.kin.learn(tree);
    }

    /// More and more comes of this trace, which goes on.
    pub(crate) fn goes_on(&mut self, tree: &Tree, view: &View<'_>, findings: &mut PlaceFindings) {
        self.unfinished.goes_on(tree, &self.kin, view, findings);
    }

    /// By how much clocks are wrong.
    pub(crate) fn clocks(&self) -> Vec<HostOffset> {
        self.clocks.offsets()
    }

    /// The map that traffic draws.
    pub(crate) fn paths(&self) -> &Paths {
        &self.paths
    }

    /// The first tick on which a detector has to be asked.
    pub(crate) fn next_timer(&self) -> Tick {
        self.next
    }

    /// How long nothing must come of a trace until it is looked at: so long the slowest exporter takes.
    pub(crate) fn quiet(&self) -> Duration {
        self.quiets.back().map_or(SHORTEST_QUIET, |(_, quiet)| *quiet)
    }

    /// The same, at a time of the last minutes.
    pub(crate) fn quiet_at(&self, time: Timestamp) -> Duration {
        let until_then = self.quiets.iter().take_while(|(since, _)| *since <= time).last();
        until_then.map_or(SHORTEST_QUIET, |(_, quiet)| *quiet)
    }

    /// Time passed.
    pub(crate) fn tick(&mut self, tick: Tick, view: &View<'_>, findings: &mut PlaceFindings) {
        findings.pass(view.now);
        self.unfinished.tick(&self.kin, &mut self.drops, view, findings);
        self.silence.tick(view, findings);
        self.context.tick(view, &mut self.doubts);
        self.drops.tick(view, findings, &mut self.doubts);
        self.clocks.tick(view, findings);
        self.messages.tick(self.quiet(), &self.clocks, view, findings);
        self.caches.tick(view, findings);
        let quiet = view.coverage.longest_export_lag().clamp(SHORTEST_QUIET, LONGEST_QUIET);
        if quiet != self.quiet() {
            // Nothing arrives on a tick: what comes at this very time comes after it.
            self.quiets.push_back((view.now, quiet));
            if self.quiets.len() > MAX_QUIETS {
                self.quiets.pop_front();
            }
        }
        self.next = Tick::at_or_after(tick.time() + EVERY);
    }
}

/// A trace id as people and tools write it.
pub(crate) fn hex(trace: TraceId) -> String {
    format!("{:032x}", trace.0)
}
