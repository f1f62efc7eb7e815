//! Clock skew: whose clock is wrong, by how much, how sure that is, and whether it drifts.
//!
//! In true time a server's span lies within its client's. So every call between two instances bounds the difference of
//! their clocks, many calls narrow it down to about the quickest there and back, and a chain of such pairs compares any
//! two clocks. The reference is what most clocks agree on. Tokens that are refused as not yet or no longer valid where a
//! clock is wrong are a matter of time, not of authorisation, and the finding says so.
//!
//! A host that only takes and sends messages is bounded by them, from one side each, and by the receipt of its records.

mod alone;
mod halves;
mod host;
mod pair;
mod solver;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use truegreen_model::finding::{FindingKind, FindingStatus};
use truegreen_model::flow::SpanKind;
use truegreen_model::observation::{InstanceId, Symbol, TraceId};
use truegreen_model::time::Timestamp;

use super::View;
use super::table::Table;
use crate::coverage::HostOffset;
use crate::finding::place::Place;
use crate::finding::{Example, PlaceFindings, Sign};
use crate::trace::span::TracedSpan;
use crate::trace::tree::{Parent, Tree};
use alone::{Alone, Message};
use halves::{Halves, Side};
use host::Host;
use pair::{Agreed, Pair};
use solver::{Offset, PairBound, Receipt, solve};

/// Offsets are solved so often.
const EVERY: Duration = Duration::from_secs(2);
/// Clocks may be wrong by so much; tokens and time-outs are usually given more leeway.
const TOLERATED: i64 = 250_000_000;
/// An offset counts only where it is so many times what it may be wrong by.
const SURE: i64 = 3;
/// A finding is told again so often while it lasts, with what is known by then.
const TOLD_EVERY: Duration = Duration::from_secs(60);
/// A clock is well again after so long without a doubt.
const WELL_AFTER: Duration = Duration::from_secs(30);
/// An instance that makes no calls any more says nothing of its clock.
const GONE_AFTER: Duration = Duration::from_secs(900);

/// The clocks of all instances that call each other.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Clocks {
    /// By two instances in order.
    pairs: Table<(InstanceId, InstanceId), Pair>,
    hosts: Table<InstanceId, Host>,
    halves: Halves,
    next: Timestamp,
}

impl Clocks {
    pub(super) fn overflowed(&self) -> u64 {
        self.pairs.overflowed() + self.hosts.overflowed()
    }

    /// A span came.
    pub(super) fn heard(&mut self, trace: TraceId, span: &TracedSpan, view: &View<'_>) {
        if let Some(host) = self.hosts.entry(span.instance, Host::default) {
            host.arrived(span.end, span.received);
        }
        let operation = &view.operations[span.operation];
        let joined = match operation.kind {
            // Databases and brokers send no spans.
            SpanKind::Client if operation.system.is_none() && heard_the_end(span) => {
                self.halves.join(trace, span.span, Side::of(span, true))
            }
            SpanKind::Server if span.parent != 0 => self.halves.join(trace, span.parent, Side::of(span, false)),
            _ => None,
        };
        if let Some((client, server)) = joined {
            self.call(&client, &server, view.now);
        }
    }

    /// Nothing more is expected of this trace.
    pub(super) fn settled(&mut self, tree: &Tree, view: &View<'_>) {
        for (index, span) in tree.spans.iter().enumerate() {
            let parent = match tree.parent(index) {
                Parent::At(parent) => Some(&tree.spans[parent]),
                Parent::Root | Parent::Missing => None,
            };
            if refuses_token(span, view) {
                let caller = parent.map(|parent| parent.instance).filter(|caller| *caller != span.instance);
                for instance in [Some(span.instance), caller].into_iter().flatten() {
                    if let Some(host) = self.hosts.entry(instance, Host::default) {
                        host.refused_token(span.error, view.now);
                    }
                }
            }
            let Some(client) = parent else { continue };
            let (of_client, of_server) = (&view.operations[client.operation], &view.operations[span.operation]);
            // Who gave up did not wait for the end.
            if of_client.kind == SpanKind::Client && of_server.kind == SpanKind::Server && heard_the_end(client) {
                self.call(&Side::of(client, true), &Side::of(span, false), view.now);
            }
        }
    }

    fn call(&mut self, client: &Side, server: &Side, now: Timestamp) {
        // Within one process a span says nothing new of its clock.
        if client.instance == server.instance {
            return;
        }
        let lower = difference(server.end, client.end);
        let upper = difference(server.start, client.start);
        let (key, lower, upper) = if client.instance < server.instance {
            ((client.instance, server.instance), lower, upper)
        } else {
            ((server.instance, client.instance), upper.saturating_neg(), lower.saturating_neg())
        };
        if let Some(pair) = self.pairs.entry(key, Pair::default) {
            let heard = client.received.max(server.received);
            if pair.add(lower, upper, heard, now) {
                // Which of the two was set is not known yet.
                for own in [key.0, key.1] {
                    self.hosts.get_mut(&own).into_iter().for_each(|host| host.was_set(heard));
                }
            }
        }
    }

    /// What one instance published, another processed.
    pub(super) fn message(&mut self, from: (InstanceId, Timestamp), to: (InstanceId, Timestamp), now: Timestamp) {
        if from.0 == to.0 {
            return;
        }
        let is_backwards = from.0 > to.0;
        let key = if is_backwards { (to.0, from.0) } else { (from.0, to.0) };
        if let Some(pair) = self.pairs.entry(key, Pair::default) {
            pair.add_message(is_backwards, difference(to.1, from.1), now);
        }
    }

    /// The offsets of all clocks that can be compared, as of the last time they were solved.
    pub(super) fn offsets(&self) -> Vec<HostOffset> {
        let solved = |instance| self.hosts.get(&instance).and_then(|host| host.solved(instance));
        self.hosts.keys().into_iter().filter_map(solved).collect()
    }

    /// How long after `earlier` something was that another instance told, by clocks as far as they are known.
    pub(super) fn between(&self, earlier: (InstanceId, Timestamp), later: (InstanceId, Timestamp)) -> Duration {
        self.by_reference(later).since(self.by_reference(earlier))
    }

    /// When something was that an instance told, by the reference's clock as far as it is known.
    pub(super) fn by_reference(&self, (instance, at): (InstanceId, Timestamp)) -> Timestamp {
        let ahead = self.hosts.get(&instance).and_then(Host::offset).unwrap_or(0);
        let by = Duration::from_nanos(ahead.unsigned_abs());
        if ahead < 0 { at + by } else { at - by }
    }

    pub(super) fn tick(&mut self, view: &View<'_>, findings: &mut PlaceFindings) {
        if view.now < self.next {
            return;
        }
        self.next = view.now + EVERY;
        let mut bounds = Vec::new();
        let mut messages = Vec::new();
        for (a, b) in self.pairs.keys() {
            let Some(pair) = self.pairs.get_mut(&(a, b)) else { continue };
            let set = [a, b].into_iter().filter_map(|own| self.hosts.get(&own)).map(Host::set).max();
            if pair.is_forgotten(view.now) {
                self.pairs.remove(&(a, b));
            } else if set.is_some_and(|set| pair.is_in_doubt(set, view.now)) {
                // What two clocks were apart before one of them was set connects nothing any more.
            } else if let Some(Agreed { lower, upper }) = pair.tell(view.now) {
                bounds.push(PairBound { a, b, lower, upper });
            } else {
                let [there, back] = pair.one_sided();
                messages.extend(there.map(|most| Message { from: a, to: b, most }));
                messages.extend(back.map(|most| Message { from: b, to: a, most }));
            }
        }
        let instances = self.hosts.keys();
        let receipt = |instance: &InstanceId| {
            let ahead = self.hosts.get(instance)?.ahead()?;
            Some(Receipt { instance: *instance, ahead })
        };
        let receipts: Vec<Receipt> = instances.iter().filter_map(receipt).collect();
        let solved = solve(&bounds, &receipts);
        for stands in alone::stand(&solved, &messages, &receipts) {
            self.judge_alone(stands, view, findings);
        }
        for offset in solved {
            self.judge(offset, view, findings);
        }
        for instance in instances {
            let is_gone = self.hosts.get(&instance).is_some_and(|host| host.is_gone(view.now, GONE_AFTER));
            if is_gone && self.hosts.remove(&instance).is_some_and(|host| host.is_wrong()) {
                self.close(instance, view, findings);
            }
        }
    }

    fn judge(&mut self, solved: Offset, view: &View<'_>, findings: &mut PlaceFindings) {
        let Some(host) = self.hosts.entry(solved.instance, Host::default) else { return };
        host.solve(solved.offset, solved.error, view.now);
        let Offset { offset, error, .. } = solved;
        let is_wrong = offset.saturating_abs() > TOLERATED.max(error.saturating_mul(SURE));
        if !is_wrong {
            // In doubt it stays as it was told.
            let is_well = offset.saturating_abs().saturating_add(error) <= TOLERATED;
            if is_well && host.is_well_since(view.now, WELL_AFTER) {
                self.close(solved.instance, view, findings);
            }
            return;
        }
        self.tell(solved, "", view, findings);
    }

    /// A clock that was compared with others from one side only.
    fn judge_alone(&mut self, stands: Alone, view: &View<'_>, findings: &mut PlaceFindings) {
        let Some(host) = self.hosts.entry(stands.instance, Host::default) else { return };
        let wrong = stands.wrong(TOLERATED);
        let Some((offset, error)) = wrong else {
            host.unsolve();
            if host.is_well_since(view.now, WELL_AFTER) {
                self.close(stands.instance, view, findings);
            }
            return;
        };
        host.solve(offset, error, view.now);
        let Alone { instance, compared, agreeing, .. } = stands;
        let least = if stands.is_one_sided() { "at least " } else { "" };
        self.tell(Offset { instance, offset, error, compared, agreeing }, least, view, findings);
    }

    fn tell(&mut self, solved: Offset, least: &str, view: &View<'_>, findings: &mut PlaceFindings) {
        let Some(host) = self.hosts.get_mut(&solved.instance) else { return };
        if !host.tells(view.now, TOLD_EVERY) {
            return;
        }
        let instance = view.coverage.entry(solved.instance);
        let place = Place::service(view.coverage[instance.service].name);
        let told = told(&solved, least, host, &instance.label, view);
        let example = Some(Example::Named(instance.label.to_string()));
        let at = view.now;
        for evidence in told {
            let sign = Sign { kind: FindingKind::ClockSkew, place, at, example: example.clone(), share: 1.0, evidence };
            findings.deviate(sign, view.now, view.symbols);
        }
    }

    /// The finding is over where no other instance of the service is wrong.
    fn close(&mut self, instance: InstanceId, view: &View<'_>, findings: &mut PlaceFindings) {
        let service = view.coverage.entry(instance).service;
        let wrong = |other: &InstanceId| self.hosts.get(other).is_some_and(Host::is_wrong);
        let mut others = self.hosts.keys().into_iter().filter(|other| *other != instance);
        if !others.any(|other| view.coverage.entry(other).service == service && wrong(&other)) {
            let place = Place::service(view.coverage[service].name);
            findings.close(FindingKind::ClockSkew, place, FindingStatus::Resolved);
        }
    }
}

/// What is known of a clock that is wrong.
fn told(solved: &Offset, least: &str, host: &Host, label: &str, view: &View<'_>) -> Vec<String> {
    let seconds = |nanos: i64| nanos.unsigned_abs() as f64 / 1e9;
    let which = if solved.offset < 0 { "behind" } else { "ahead of" };
    let drift = host.drift_ppm().filter(|drift| drift.abs() > 20.0);
    let drift = drift.map_or_else(String::new, |ppm| format!(", and drifts by {:+.1} ms a minute", ppm * 0.06));
    let offset = format!(
        "the clock of `{label}` is {least}{:.3} s {which} that of {} of {} instances it was compared with, within {:.3} s{drift}",
        seconds(solved.offset),
        solved.agreeing,
        solved.compared,
        seconds(solved.error.max(1_000_000)),
    );
    let Some((refused, error)) = host.refused(view.now) else { return vec![offset] };
    let error = error.map_or_else(String::new, |error: Symbol| format!(" (`{}`)", view.symbols.text(error)));
    let tokens = format!(
        "time, not auth: {refused} token errors{error} at `{label}` within two minutes, while its clock is {:.3} s {}",
        seconds(solved.offset),
        if solved.offset < 0 { "behind" } else { "ahead" },
    );
    vec![tokens, offset]
}

/// Whether the client got the server's own answer, be it an error, rather than giving up or hearing a proxy's.
fn heard_the_end(client: &TracedSpan) -> bool {
    !client.failed() || !matches!(client.status, 0 | 408 | 499 | 502 | 503 | 504)
}

/// Whether a request was refused for its token.
fn refuses_token(span: &TracedSpan, view: &View<'_>) -> bool {
    const WORDS: [&str; 8] = ["expired", "not_yet_valid", "not yet valid", "notbefore", "nbf", "iat", "jwt", "token"];
    span.status == 401
        || span.status == 403
        || span.error.is_some_and(|error| {
            let error = view.symbols.text(error).to_ascii_lowercase();
            let mut words = error.split(|c: char| !c.is_ascii_alphanumeric());
            WORDS
                .iter()
                .any(|word| if word.len() == 3 { words.any(|part| part == *word) } else { error.contains(word) })
        })
}

fn difference(later: Timestamp, earlier: Timestamp) -> i64 {
    i64::try_from(i128::from(later.0) - i128::from(earlier.0)).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
