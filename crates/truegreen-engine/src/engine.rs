//! The engine as a whole: one function in, a few to read.

use std::time::Duration;

use truegreen_model::flow::Flow;
use truegreen_model::time::Timestamp;
use truegreen_otlp::Limits;

use crate::accounts::{Accounts, Turn};
use crate::counters::Counters;
use crate::coverage::{Coverage, LIMIT_BEYOND_LAG};
use crate::input::{Effect, Input, Request};
use crate::intake::{Intake, place_bound};
use crate::ledger::{Desk, Ledger};
use crate::matcher::Matcher;
use crate::matcher::plan::Plan;
use crate::matcher::resource::Resources;
use crate::symbols::Symbols;
use crate::timers::{Timer, Timers};
use crate::trace::Binder;

/// Bounds and windows; every one has a counter for when it is reached.
#[derive(Clone, Debug)]
pub struct Options {
    /// Event times older than this are replaced by the time of receipt; ended journeys are forgotten after it.
    pub retention: Duration,
    /// How long a trace is kept at the least for records that inherit a key from it. Where flows give their steps
    /// more time, so long.
    pub bind_window: Duration,
    /// Most journeys in memory. Ended ones make room for new ones; where all are open, [`Engine::is_full`].
    pub max_journeys: usize,
    /// Most traces held for binding.
    pub max_traces: usize,
    /// The limits that the receiver applied to what it accepted.
    pub limits: Limits,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            retention: Duration::from_secs(6 * 3600),
            bind_window: Duration::from_secs(120),
            max_journeys: 1_000_000,
            max_traces: 500_000,
            limits: Limits::default(),
        }
    }
}

/// The pure state machine.
#[derive(Debug)]
pub struct Engine {
    options: Options,
    /// The latest `now`; time never runs backwards in here.
    pub(crate) now: Timestamp,
    pub(crate) matcher: Matcher,
    pub(crate) symbols: Symbols,
    pub(crate) counters: Counters,
    resources: Resources,
    pub(crate) coverage: Coverage,
    binder: Binder,
    pub(crate) ledger: Ledger,
    pub(crate) accounts: Accounts,
    timers: Timers,
}

impl Engine {
    /// An engine that watches these flows.
    pub fn new(flows: Vec<Flow>, options: Options) -> Engine {
        let mut symbols = Symbols::new();
        let matcher = Matcher::new(flows, &mut symbols);
        Engine {
            now: Timestamp(0),
            counters: Counters::default(),
            resources: Resources::default(),
            coverage: Coverage::default(),
            binder: Binder::new(trace_window(&matcher, &options), options.max_traces),
            ledger: Ledger::new(&matcher, options.retention, options.max_journeys),
            accounts: Accounts::new(&matcher),
            timers: Timers::default(),
            matcher,
            symbols,
            options,
        }
    }

    /// Fires all timers due at `now` (made monotonic), each at its own time, then takes the input.
    pub fn apply(&mut self, now: Timestamp, input: Input<'_>) -> Vec<Effect> {
        // What came due while we did not listen is judged knowing that we did not.
        if let Input::Resumed { down_since } = input {
            self.coverage.outage(down_since, self.now.max(now));
        }
        self.fire(now);
        self.now = self.now.max(now);
        match input {
            Input::Traces(request) => self.intake(&request).traces(request.body),
            Input::Logs(request) => self.intake(&request).logs(request.body),
            Input::Metrics(request) => self.intake(&request).metrics(request.body),
            Input::Refused { service, instance } => {
                if let Some(service) = self.symbols.find(service) {
                    self.coverage.refused(service, instance, self.now);
                }
            }
            Input::Resumed { .. } | Input::Tick => {}
        }
        if std::mem::take(&mut self.coverage.newly_sampled) {
            let (mut desk, ledger, _) = self.desk();
            ledger.rejudge_unaccounted(&mut desk);
        }
        self.effects()
    }

    /// Whether a bound on memory is reached, so that senders must be told to retry.
    pub fn is_full(&self) -> bool {
        self.ledger.open() >= self.options.max_journeys as u64
    }

    /// The flows that are watched.
    pub fn flows(&self) -> impl Iterator<Item = &Flow> {
        self.matcher.plans.iter().map(|plan| &plan.flow)
    }

    /// Journeys not decided yet, over all flows.
    pub fn open_journeys(&self) -> u64 {
        self.ledger.open()
    }

    fn fire(&mut self, now: Timestamp) {
        while let Some((at, due)) = self.timers.pop_due(now) {
            self.now = self.now.max(at);
            let (mut desk, ledger, binder) = self.desk();
            for timer in due {
                match timer {
                    Timer::Journey(flow, key) => ledger.wake(flow, key, &mut desk),
                    Timer::HoldOver(trace) => {
                        let mut bound = Vec::new();
                        binder.hold_over(trace, desk.matcher, desk.now, desk.counters, &mut bound);
                        place_bound(bound, ledger, &mut desk);
                    }
                }
            }
        }
        self.now = self.now.max(now);
        let (mut desk, ledger, binder) = self.desk();
        binder.expire(desk.now, desk.counters);
        ledger.expire(&mut desk);
    }

    fn desk(&mut self) -> (Desk<'_>, &mut Ledger, &mut Binder) {
        let desk = Desk {
            matcher: &self.matcher,
            coverage: &mut self.coverage,
            accounts: &mut self.accounts,
            timers: &mut self.timers,
            counters: &mut self.counters,
            now: self.now,
        };
        (desk, &mut self.ledger, &mut self.binder)
    }

    fn intake(&mut self, request: &Request<'_>) -> Intake<'_> {
        Intake {
            desk: Desk {
                matcher: &self.matcher,
                coverage: &mut self.coverage,
                accounts: &mut self.accounts,
                timers: &mut self.timers,
                counters: &mut self.counters,
                now: self.now,
            },
            ledger: &mut self.ledger,
            binder: &mut self.binder,
            resources: &mut self.resources,
            symbols: &mut self.symbols,
            retention: self.options.retention,
            limits: &self.options.limits,
            sequence: request.sequence,
            sender: None,
        }
    }

    fn effects(&mut self) -> Vec<Effect> {
        let turns = self.accounts.findings.take_turns();
        let effect = |turn: Turn| match turn {
            Turn::Opened(finding) => Effect::FindingOpened(self.finding_report(&finding)),
            Turn::Closed(finding) => Effect::FindingClosed(self.finding_report(&finding)),
        };
        turns.into_iter().map(effect).collect()
    }

    pub(crate) fn resource_overflows(&self) -> u64 {
        self.resources.emptied
    }
}

/// A consumer may link to a producer's span for as long as its step may still be due.
fn trace_window(matcher: &Matcher, options: &Options) -> Duration {
    let longest = matcher.plans.iter().map(Plan::longest).max().unwrap_or_default();
    options.bind_window.max(longest + LIMIT_BEYOND_LAG).min(options.retention)
}
