//! Taking digests in, one by one and in order: coverage hears of their senders, records are bound to keys, and
//! observations with a key go to the ledger.

use std::sync::Arc;

use truegreen_model::flow::FlowId;
use truegreen_model::observation::{Evidence, InstanceId, Role, TraceId};
use truegreen_model::time::Timestamp;
use truegreen_otlp::{DataPoint, LogRecord, LogSink, MetricSink, Resource as Sent, Span, TraceSink};

use super::digest::{Bind, Counted, Digest, Dropped, Item, Key, Reason, Shows, Sighted, Traced, When};
use crate::counters;
use crate::engine::Engine;
use crate::input::Input;
use crate::ledger::case::Seen;
use crate::ledger::{Arrival, Binding};
use crate::matcher::key;
use crate::matcher::key::KeyText;
use crate::matcher::resource::{Registers, Resource, Resources};
use crate::trace::span::TracedSpan;
use crate::trace::{Bound, Sighting};
use crate::watch::{LevelPoint, View};

impl Engine {
    /// Takes in what a body says.
    pub(crate) fn take_in(&mut self, digest: Digest, sequence: u64) {
        let Digest { sections, items, passing, traced, dropped, levels, counted, exported, counts } = digest;
        for (counter, n) in counts {
            self.counters.add(counter, n);
        }
        let mut ends: Vec<usize> = sections.iter().skip(1).map(|section| section.items).collect();
        ends.push(items.len());
        let mut items = items.into_iter();
        for (section, end) in sections.into_iter().zip(ends) {
            let resource = section.resource;
            self.coverage.hear(resource.service, resource.instance, &section.heard, self.now);
            let mut among_versions = Vec::new();
            for item in items.by_ref().take(end - section.items) {
                match item {
                    Item::Sighted(sighted) => {
                        let has_rivals = self.matcher.plan(sighted.flow).has_rivals;
                        match self.sight(sighted, &resource, sequence) {
                            Some(bound) if has_rivals => among_versions.push(bound),
                            Some(bound) => self.place(bound),
                            None => {}
                        }
                    }
                    Item::Lend(lend) => self.binder.lend(&lend.place, &lend.keys, self.now, &mut self.counters),
                    Item::Bind(bind) => self.bind(&bind),
                }
            }
            self.place_among_versions(among_versions);
        }
        let mut bound = Vec::new();
        self.binder.settle(&passing, &self.matcher, self.now, &mut self.counters, &mut bound);
        self.place_bound(bound);
        self.gather(traced, sequence);
        self.hear_of_drops(dropped);
        self.hear_of_levels(levels);
        self.hear_of_counters(counted, exported);
    }

    /// Takes what services count of what they drop or skip.
    fn hear_of_counters(&mut self, counted: Vec<Counted>, exported: Vec<(FlowId, u8, InstanceId, Timestamp)>) {
        for Counted { flow, index, point, reason } in counted {
            let reason = reason.map(|reason| self.symbols.intern_watched(&reason));
            self.accounts.count(self.matcher.plan(flow), index, &point, reason, self.now);
        }
        for (flow, index, instance, time) in exported {
            self.accounts.exported(self.matcher.plan(flow), index, instance, time);
        }
    }

    /// Takes what services say of requests in flight.
    fn hear_of_levels(&mut self, levels: Vec<(LevelPoint, Box<[u8]>)>) {
        for (mut point, route) in levels {
            point.route = (!route.is_empty()).then(|| self.symbols.intern_watched(&route));
            let Engine { operations, symbols, coverage, watch, findings, .. } = self;
            let view = View { operations, symbols, coverage, now: self.now };
            watch.in_flight(&point, &view, findings);
        }
    }

    /// Takes what SDKs say of spans that they dropped.
    fn hear_of_drops(&mut self, dropped: Vec<Dropped>) {
        for Dropped { mut point, why } in dropped {
            point.why = Some(self.symbols.intern_watched(&why));
            let Engine { operations, symbols, coverage, watch, findings, .. } = self;
            let view = View { operations, symbols, coverage, now: self.now };
            watch.dropped(&point, &view, findings);
        }
    }

    /// Adds spans to their traces.
    fn gather(&mut self, traced: Vec<Traced>, sequence: u64) {
        for traced in traced {
            let (trace, span) = self.traced(traced, sequence);
            let Engine { operations, symbols, coverage, watch, findings, .. } = self;
            let view = View { operations, symbols, coverage, now: self.now };
            watch.heard(trace, &span, &view, findings);
            self.assembly.take(trace, span, self.watch.quiet(), &mut self.counters);
        }
    }

    /// Adds spans to their traces that were added to them before a restart.
    pub(crate) fn gather_again(&mut self, traced: Vec<Traced>, sequence: u64) {
        for traced in traced {
            let (trace, span) = self.traced(traced, sequence);
            let quiet = self.watch.quiet_at(span.received);
            self.assembly.take_again(trace, span, quiet, &self.outline);
        }
    }

    fn traced(&mut self, traced: Traced, sequence: u64) -> (TraceId, TracedSpan) {
        let Traced { trace, mut span, news } = traced;
        if let Some(news) = news {
            let mut text = |text: &[u8]| (!text.is_empty()).then(|| self.symbols.intern_watched(text));
            span.error = text(&news.error);
            span.partition = text(&news.partition);
            span.operation = self.operations.enter(news.operation.told(), &mut self.symbols);
        }
        span.evidence.sequence = sequence;
        (trace, span)
    }

    /// Hands observations whose key is known to the ledger.
    pub(crate) fn place_bound(&mut self, bound: Vec<Bound>) {
        let mut among_versions = Vec::new();
        for bound in bound {
            if self.matcher.plan(bound.sighting.flow).has_rivals {
                among_versions.push(bound);
            } else {
                self.place(bound);
            }
        }
        self.place_among_versions(among_versions);
    }

    /// Enters the senders of a body.
    pub(crate) fn introduce(&mut self, input: &Input<'_>) -> Vec<(u64, Arc<Resource>)> {
        let Engine { matcher, coverage, symbols, scopes, resources, options, .. } = self;
        let registers = Registers { matcher, coverage, symbols, scopes };
        let mut senders = Senders { registers, resources, introduced: Vec::new() };
        let limits = &options.limits;
        match input {
            Input::Traces(request) => drop(truegreen_otlp::scan_traces(request.body, limits, &mut senders)),
            Input::Logs(request) => drop(truegreen_otlp::scan_logs(request.body, limits, &mut senders)),
            Input::Metrics(request) => drop(truegreen_otlp::scan_metrics(request.body, limits, &mut senders)),
            Input::Refused { .. }
            | Input::Resumed { .. }
            | Input::Contracts(_)
            | Input::Confirmed(_)
            | Input::Change(_)
            | Input::Tick => {}
        }
        senders.introduced
    }

    /// Makes an observation of it; returned where the record says itself whose it is.
    fn sight(&mut self, sighted: Sighted, sender: &Resource, sequence: u64) -> Option<Bound> {
        let instance = sender.instance?;
        let Sighted { flow, shows, key, place, trace, began, done, attempt, .. } = sighted;
        // What the sender's clock is ahead of ours, or behind, is taken back.
        let ahead = self.coverage.ahead(instance, self.now);
        let at = |when: When| match when {
            When::Told(time) => ahead.taken_back(time, self.now),
            When::Replaced => self.now,
        };
        // Negative durations become 0.
        let at = done.map_or(at(began), |done| at(done).max(at(began)));
        let role = match shows {
            Shows::Step(step) => Role::Step(step),
            Shows::Exit(exit, Reason::None) => Role::Exit(exit, None),
            Shows::Exit(exit, Reason::Known(reason)) => Role::Exit(exit, Some(reason)),
            Shows::Exit(exit, Reason::New(text)) => Role::Exit(exit, Some(self.symbols.intern(&text))),
        };
        let seen = Seen {
            role,
            identity: sighted.identity,
            at,
            attempt,
            instance,
            trace,
            conditions: sighted.conditions,
            shares: sighted.shares,
            evidence: Evidence { sequence, offset: sighted.offset },
        };
        let scope = sender.scopes[flow.0 as usize];
        // What a former version misses is counted, if at all, for the one in force: once.
        let plan = self.matcher.plan(flow);
        let is_counted = !plan.has_rivals || self.matcher.is_current(plan);
        let declared = sighted.declared && is_counted;
        let sighting = Sighting { flow, scope, service: sender.name, seen, declared };
        match (key, place) {
            (Key::Own(name, text), _) => return Some(Bound { sighting, name, text }),
            (Key::Trace, _) if trace != TraceId(0) => {
                let text = KeyText::from_slice(format!("{:032x}", trace.0).as_bytes());
                return Some(Bound { sighting, name: key::PRIMARY, text });
            }
            (Key::Trace, _) if is_counted => self.counters.count(counters::UNBOUND_NO_TRACE),
            (Key::None, Some(place)) => self.binder.wait(sighting, place, self.now, &mut self.counters),
            (Key::None, None) if declared => self.counters.count(counters::UNBOUND_NO_TRACE),
            (Key::Trace | Key::None, _) => {}
        }
        None
    }

    pub(super) fn place(&mut self, bound: Bound) {
        let Bound { sighting: Sighting { flow, scope, service, seen, .. }, name, text } = bound;
        let key = key::key(scope.hash, name, &text);
        self.ledger.arrive(Arrival { now: self.now, flow, key, text, scope: scope.id, service, seen });
    }

    fn bind(&mut self, bind: &Bind) {
        if self.matcher.plan(bind.flow).has_rivals && !self.is_bound_here(bind) {
            return;
        }
        match self.ledger.bind(bind.flow, bind.owner, bind.other, self.now) {
            Binding::Known => {}
            Binding::Conflict => self.counters.count(counters::BIND_CONFLICT),
            Binding::Merges { owner, other } => self.merge(bind.flow, owner, other),
        }
    }
}

/// Reads nothing of a body but its senders.
struct Senders<'r> {
    registers: Registers<'r>,
    resources: &'r mut Resources,
    introduced: Vec<(u64, Arc<Resource>)>,
}

impl Senders<'_> {
    fn meet(&mut self, sent: &Sent<'_, '_>) {
        self.introduced.push(self.resources.introduce(sent, &mut self.registers));
    }
}

impl<'a> TraceSink<'a> for Senders<'_> {
    fn resource(&mut self, sent: &Sent<'a, '_>) {
        self.meet(sent);
    }
    fn span(&mut self, _span: &Span<'a, '_>) {}
}

impl<'a> LogSink<'a> for Senders<'_> {
    fn resource(&mut self, sent: &Sent<'a, '_>) {
        self.meet(sent);
    }
    fn log(&mut self, _log: &LogRecord<'a, '_>) {}
}

impl<'a> MetricSink<'a> for Senders<'_> {
    fn resource(&mut self, sent: &Sent<'a, '_>) {
        self.meet(sent);
    }
    fn point(&mut self, _point: &DataPoint<'a, '_>) {}
}
