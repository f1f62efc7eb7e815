//! The engine as a whole: one function in, a few to read.

use std::sync::Arc;
use std::time::Duration;

use truegreen_model::confirmation::Question;
use truegreen_model::flow::{Flow, FlowId};
use truegreen_model::observation::KeyHash;
use truegreen_model::time::Timestamp;
use truegreen_otlp::Limits;

use crate::accounts::{Accounts, Turn};
use crate::counters::{self, Counters};
use crate::coverage::{Coverage, LIMIT_BEYOND_LAG};
use crate::explain::changes::KnownChanges;
use crate::finding::{self, PlaceFindings};
use crate::input::{Effect, Input};
use crate::intake::digest::Digest;
use crate::intake::{Lamp, Reading, Stranger};
use crate::ledger::event::Event;
use crate::ledger::{Learned, Ledger};
use crate::matcher::Matcher;
use crate::matcher::plan::Plan;
use crate::matcher::resource::{Resource, Resources};
use crate::matcher::scopes::Scopes;
use crate::questions::Questions;
use crate::side_by_side::side_by_side;
use crate::symbols::Symbols;
use crate::timers::Tick;
use crate::trace::Binder;
use crate::trace::assembly::{Assembly, Outline};
use crate::trace::operation::Operations;
use crate::watch::{View, Watch};

/// Bounds and windows; every one has a counter for when it is reached.
#[derive(Clone, Debug)]
pub struct Options {
    /// Event times older than this are replaced by the time of receipt; ended journeys are forgotten after it.
    pub retention: Duration,
    /// How long a trace is kept at the least for records that inherit a key from it. Where flows give their steps
    /// more time, so long.
    pub bind_window: Duration,
    /// Most journeys in memory, about 150 bytes each. Ended ones make room for new ones; where all are open,
    /// [`Engine::is_full`].
    pub max_journeys: usize,
    /// Most traces held for binding.
    pub max_traces: usize,
    /// Whether traces are put together and watched for what no contract names.
    pub watches_traces: bool,
    /// Most spans held while traces are put together, about 200 bytes each.
    pub max_assembled_spans: usize,
    /// The limits that the receiver applied to what it accepted.
    pub limits: Limits,
    /// Threads that share the work on large batches. No verdict depends on it.
    pub threads: usize,
    /// Whether what changes is remembered until [`Engine::checkpoint`] asks for it. Who never asks must not let it grow.
    pub keeps_changes: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            retention: Duration::from_secs(6 * 3600),
            bind_window: Duration::from_secs(120),
            max_journeys: 1_000_000,
            max_traces: 500_000,
            watches_traces: true,
            max_assembled_spans: 4_000_000,
            limits: Limits::default(),
            threads: 1,
            keeps_changes: false,
        }
    }
}

/// The pure state machine.
///
/// A batch goes through it in four steps. All bodies are *read*, side by side. One by one they are *taken in*: coverage
/// hears of their senders, records are bound to keys. The ledger *settles* what arrived, side by side by key. The
/// accounts act on what that changed, in order. On every tick (of 100 ms, by the time of receipt) the ledger *wakes*
/// journeys that are due, while coverage stands still.
#[derive(Debug)]
pub struct Engine {
    pub(crate) options: Options,
    /// The latest `now`; time never runs backwards in here.
    pub(crate) now: Timestamp,
    /// The last tick that was looked at.
    pub(crate) ticked: Tick,
    /// When unaccounted and late journeys are judged anew, since telemetry turned out to be a sample, or a clock to be
    /// wrong.
    pub(crate) doubts: Tick,
    /// When versions of contracts that are no longer in force are let go of, if they have nothing any more.
    pub(crate) letting_go: Tick,
    pub(crate) matcher: Matcher,
    pub(crate) symbols: Symbols,
    pub(crate) scopes: Scopes,
    pub(crate) counters: Counters,
    pub(crate) resources: Resources,
    pub(crate) coverage: Coverage,
    pub(crate) binder: Binder,
    pub(crate) ledger: Ledger,
    pub(crate) learned: Learned,
    pub(crate) accounts: Accounts,
    pub(crate) operations: Operations,
    pub(crate) assembly: Assembly,
    pub(crate) watch: Watch,
    pub(crate) findings: PlaceFindings,
    pub(crate) questions: Questions,
    pub(crate) changes: KnownChanges,
    /// Questions that are to be asked now.
    pub(crate) asking: Vec<Question>,
    /// Of the traces that were being put together when what is restored was kept.
    pub(crate) outline: Outline,
    pub(crate) events: Vec<Event>,
}

impl Engine {
    /// An engine that watches these flows.
    pub fn new(flows: Vec<Flow>, options: Options) -> Engine {
        let mut symbols = Symbols::new();
        let matcher = Matcher::new(&flows, &mut symbols, options.watches_traces);
        Engine {
            now: Timestamp(0),
            ticked: Tick(0),
            doubts: Tick::NEVER,
            letting_go: Tick::NEVER,
            scopes: Scopes::default(),
            counters: Counters::default(),
            resources: Resources::default(),
            coverage: Coverage::default(),
            binder: Binder::new(trace_window(&matcher, &options), options.max_traces, options.keeps_changes),
            ledger: Ledger::new(&matcher, &options),
            learned: Learned::new(&matcher),
            accounts: Accounts::new(&matcher),
            operations: Operations::default(),
            assembly: Assembly::new(options.max_assembled_spans),
            watch: Watch::default(),
            findings: PlaceFindings::default(),
            questions: Questions::default(),
            changes: KnownChanges::default(),
            asking: Vec::new(),
            outline: Outline::default(),
            events: Vec::new(),
            matcher,
            symbols,
            options,
        }
    }

    /// Lets time pass until `now` (made monotonic), each timer firing at its own time, then takes the input.
    pub fn apply(&mut self, now: Timestamp, input: Input<'_>) -> Vec<Effect> {
        self.apply_batch(&[(now, input)])
    }

    /// Applies inputs in order, as if one by one, but shares the work among [`Options::threads`].
    pub fn apply_batch(&mut self, inputs: &[(Timestamp, Input<'_>)]) -> Vec<Effect> {
        let digests = self.read(inputs);
        let epoch = self.matcher.epoch;
        for ((now, input), digest) in inputs.iter().zip(digests) {
            // What came due while we did not listen is judged knowing that we did not.
            if let Input::Resumed { down_since } = input {
                self.coverage.outage(*down_since, self.now.max(*now));
            }
            self.pass(*now);
            match input {
                Input::Traces(request) | Input::Logs(request) | Input::Metrics(request) => {
                    let digest = match digest {
                        Some(Ok(digest)) if self.matcher.epoch == epoch => digest,
                        // Or the contracts are others since it was read.
                        _ => self.read_stranger(input),
                    };
                    self.take_in(digest, request.sequence);
                }
                Input::Refused { service, instance } => {
                    if let Some(service) = self.symbols.find(service) {
                        self.coverage.refused(service, *instance, self.now);
                        self.accounts.missed(&self.matcher, Some(service), &self.symbols, self.now);
                    }
                }
                Input::Contracts(flows) => self.revise(flows),
                Input::Confirmed(confirmation) => self.confirm(confirmation),
                Input::Change(change) => {
                    if self.changes.take(change) {
                        self.counters.count(counters::CHANGES_BOUND);
                    }
                }
                Input::Resumed { .. } => self.accounts.missed(&self.matcher, None, &self.symbols, self.now),
                Input::Tick => {}
            }
            if std::mem::take(&mut self.coverage.newly_sampled) {
                self.doubts = self.doubts.min(Tick::at_or_after(self.now));
            }
        }
        self.settle();
        self.effects()
    }

    /// Of an engine that was restored: the first accepted request that has to be given to [`Engine::recall`] again.
    pub fn recalls_from(&self) -> Option<u64> {
        self.outline.from
    }

    /// Takes traces of an accepted request once more that were being put together when what is restored was kept. Every
    /// request from [`Engine::recalls_from`] on, up to the restored sequence and with its time of receipt, is given to it
    /// before anything else is applied.
    pub fn recall(&mut self, received_at: Timestamp, input: Input<'_>) {
        let Input::Traces(request) = input else { return };
        let introduced = self.introduce(&input);
        let read = read(Lamp { now: received_at, ..self.lamp(received_at) }, &input, &introduced);
        if let Some(Ok(digest)) = read {
            self.gather_again(digest.traced, request.sequence);
        }
    }

    /// The latest time that was told to it.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Whether a bound on memory is reached, so that senders must be told to retry.
    pub fn is_full(&self) -> bool {
        self.ledger.open() >= self.options.max_journeys as u64
    }

    /// The contracts in force, and of removed ones the latest version as long as it has open journeys.
    pub fn flows(&self) -> impl Iterator<Item = &Flow> {
        self.shown().map(|plan| &plan.flow)
    }

    /// Journeys not decided yet, over all flows.
    pub fn open_journeys(&self) -> u64 {
        self.ledger.open()
    }

    /// Makes digests of all bodies whose senders are known.
    fn read(&self, inputs: &[(Timestamp, Input<'_>)]) -> Vec<Option<Result<Digest, Stranger>>> {
        let mut latest = self.now;
        let mut work = Vec::with_capacity(inputs.len());
        for (now, input) in inputs {
            latest = latest.max(*now);
            work.push((latest, *input));
        }
        let threads = if work.len() < 2 { 1 } else { self.options.threads };
        side_by_side(threads, work, |(now, input), digests| digests.push(read(self.lamp(now), &input, &[])))
    }

    /// Introduces the senders of a body, and reads it then.
    fn read_stranger(&mut self, input: &Input<'_>) -> Digest {
        let introduced = self.introduce(input);
        let digest = read(self.lamp(self.now), input, &introduced);
        // Every sender was introduced, so none is a stranger any more; what cannot be read all the same is counted.
        digest.and_then(Result::ok).unwrap_or_else(|| {
            self.counters.count(counters::UNREADABLE_BODY);
            Digest::default()
        })
    }

    fn lamp(&self, now: Timestamp) -> Lamp<'_> {
        Lamp {
            matcher: &self.matcher,
            symbols: &self.symbols,
            resources: &self.resources,
            coverage: &self.coverage,
            operations: &self.operations,
            limits: &self.options.limits,
            retention: self.options.retention,
            now,
        }
    }

    /// Lets time pass: everything due is looked at on its own tick, after what arrived before it.
    fn pass(&mut self, now: Timestamp) {
        let last = Tick::at_or_before(now);
        if self.ticked == Tick(0) {
            self.watch.start(last);
        }
        if last > self.ticked {
            self.settle();
            loop {
                let next = self.ledger.next_timer().min(self.binder.next_timer()).min(self.doubts);
                let next = next.min(self.letting_go).min(self.next_look()).min(self.accounts.next_look());
                let next = next.min(self.questions.next_timer());
                if next > last {
                    break;
                }
                self.tick(next);
            }
            self.ticked = last;
        }
        self.now = self.now.max(now);
    }

    fn tick(&mut self, tick: Tick) {
        self.now = self.now.max(tick.time());
        let mut bound = Vec::new();
        self.binder.wake(tick, &self.matcher, &mut self.counters, &mut bound);
        self.place_bound(bound);
        self.settle();
        let doubts = std::mem::replace(&mut self.doubts, Tick::NEVER);
        let newly_sampled = doubts <= tick;
        if !newly_sampled {
            self.doubts = doubts;
        }
        let known = (&self.matcher, &self.coverage, &self.learned);
        self.ledger.wake(tick, known, newly_sampled, &mut self.events);
        self.account();
        if self.accounts.next_look() <= tick {
            self.accounts.look(&self.matcher, &self.coverage, &self.symbols, tick);
        }
        self.ask(tick);
        if self.letting_go <= tick {
            self.let_go();
        }
        self.look(tick);
    }

    /// The first tick on which traces may have to be looked at.
    fn next_look(&self) -> Tick {
        if !self.options.watches_traces {
            return Tick::NEVER;
        }
        self.assembly.next_timer().min(self.watch.next_timer()).max(Tick(self.ticked.0 + 1))
    }

    /// Looks at traces that are complete as far as can be told, and at what time alone brings about.
    fn look(&mut self, tick: Tick) {
        if self.next_look() > tick {
            return;
        }
        let trees = self.assembly.settled(tick, &mut self.counters);
        let going_on = self.assembly.going_on(tick);
        let Engine { operations, symbols, coverage, watch, findings, .. } = self;
        let view = View { operations, symbols, coverage, now: tick.time() };
        for tree in &trees {
            watch.settled(tree, &view, findings);
        }
        findings.witness(&trees, operations);
        for tree in &going_on {
            watch.goes_on(tree, &view, findings);
        }
        if watch.next_timer() <= tick {
            watch.tick(tick, &view, findings);
            if coverage.correct_clocks(&watch.clocks(), tick.time()) {
                self.doubts = self.doubts.min(Tick(tick.0 + 1));
            }
        }
        self.cast_doubt(tick);
    }

    /// Tells coverage where nothing follows from what is missing.
    fn cast_doubt(&mut self, tick: Tick) {
        for doubt in self.watch.take_doubts() {
            self.coverage.doubt(doubt.service, doubt.why, doubt.from, doubt.until);
            if doubt.is_new {
                self.doubts = self.doubts.min(Tick(tick.0 + 1));
            }
        }
    }

    /// The ledger judges what arrived, and the accounts act on it.
    pub(crate) fn settle(&mut self) {
        self.ledger.settle(&self.matcher, &self.learned, &mut self.events);
        self.account();
    }

    /// Moves what was seen under a second name of a journey to it.
    pub(crate) fn merge(&mut self, flow: FlowId, owner: KeyHash, other: KeyHash) {
        self.settle();
        self.ledger.merge(flow, (owner, other), self.now, (&self.matcher, &self.learned), &mut self.events);
        self.account();
    }

    pub(crate) fn account(&mut self) {
        for event in self.events.drain(..) {
            match event {
                Event::Moved(moved) => {
                    self.accounts.move_journey(&self.matcher, &moved);
                    if let Some((step, lost)) = moved.ended().filter(|_| self.options.watches_traces) {
                        let services = self.learned.owing(self.matcher.plan(moved.flow), step);
                        self.watch.passed_on(services, lost, moved.at);
                    }
                }
                Event::Orphans(flow, by) => self.accounts.orphan(self.matcher.plan(flow).account, by),
                Event::Duplicates(flow, by) => self.accounts.duplicates(self.matcher.plan(flow).account, by),
                Event::CameDue(due) => {
                    let services = self.learned.owing(self.matcher.plan(due.flow), due.step);
                    self.coverage.came_due(&due, services);
                }
                Event::NoLongerDue(due) => {
                    let services = self.learned.owing(self.matcher.plan(due.flow), due.step);
                    self.coverage.no_longer_due(&due, services);
                }
                Event::Learned(flow, step, service) => {
                    for (flow, step) in self.matcher.kin(self.matcher.plan(flow), step) {
                        self.learned.learn(self.matcher.plan(flow), step, service);
                    }
                }
                Event::Unnamed(flow, names) => self.ledger.unname(flow, &names),
                Event::Counted(counter) => self.counters.count(counter),
                Event::Wanted(id, from) => {
                    // On the next tick at the earliest: this one may be over.
                    let next = Tick(Tick::at_or_before(self.now).0 + 1);
                    if !self.questions.want(id, from.max(next)) {
                        self.counters.count(counters::QUESTIONS_BOUND);
                    }
                }
            }
        }
    }

    fn effects(&mut self) -> Vec<Effect> {
        let turns = self.accounts.findings.take_turns();
        let of_places = self.findings.take_turns();
        let asking = std::mem::take(&mut self.asking).into_iter().map(Effect::Confirm);
        let effect = |turn: Turn| match turn {
            Turn::Opened(finding) => Effect::FindingOpened(self.finding_report(&finding)),
            Turn::Closed(finding) => Effect::FindingClosed(self.finding_report(&finding)),
        };
        let of_place = |turn: finding::Turn| match turn {
            finding::Turn::Opened(finding) => Effect::FindingOpened(finding.report(self.now, &self.symbols)),
            finding::Turn::Closed(finding) => Effect::FindingClosed(finding.report(self.now, &self.symbols)),
        };
        turns.into_iter().map(effect).chain(of_places.into_iter().map(of_place)).chain(asking).collect()
    }
}

fn read(lamp: Lamp<'_>, input: &Input<'_>, introduced: &[(u64, Arc<Resource>)]) -> Option<Result<Digest, Stranger>> {
    let reading = Reading::new(lamp, introduced);
    match input {
        Input::Traces(request) => Some(reading.traces(request.body)),
        Input::Logs(request) => Some(reading.logs(request.body)),
        Input::Metrics(request) => Some(reading.metrics(request.body)),
        _ => None,
    }
}

/// A consumer may link to a producer's span for as long as its step may still be due.
pub(crate) fn trace_window(matcher: &Matcher, options: &Options) -> Duration {
    let longest = matcher.live().map(Plan::longest).max().unwrap_or_default();
    options.bind_window.max(longest + LIMIT_BEYOND_LAG).min(options.retention)
}
