//! Truegreen's own books: nothing is dropped, bounded or replaced uncounted (INV-DROP-1).

use std::collections::BTreeMap;

use truegreen_model::report::CounterReport;

/// One thing that is counted: the metric's name, and the reason as its label.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Counter {
    pub(crate) name: &'static str,
    pub(crate) reason: &'static str,
}

macro_rules! counters {
    ($($(#[doc = $doc:literal])* $id:ident = $name:literal / $reason:literal;)*) => {
        $($(#[doc = $doc])* pub(crate) const $id: Counter = Counter { name: $name, reason: $reason };)*
        const ALL: &[Counter] = &[$($id),*];
    };
}

counters! {
    /// An accepted body that could not be scanned again: a bug, since it was checked before.
    UNREADABLE_BODY = "engine_errors" / "unreadable_body";
    /// Event times more than five minutes ahead of receipt, replaced by it.
    TIME_IN_FUTURE = "replaced_times" / "in_the_future";
    /// Event times older than the retention, replaced by the time of receipt.
    TIME_TOO_OLD = "replaced_times" / "older_than_retention";
    /// Records without any time.
    TIME_MISSING = "replaced_times" / "missing";
    /// A step whose key never came within the window.
    UNBOUND_NO_KEY = "unbound_records" / "no_key";
    /// A step whose trace holds several keys and that descends from none of them.
    UNBOUND_AMBIGUOUS = "unbound_records" / "ambiguous";
    /// A step without a key and without a trace to inherit one from.
    UNBOUND_NO_TRACE = "unbound_records" / "no_trace";
    /// A step whose trace had to make room.
    UNBOUND_EVICTED = "unbound_records" / "evicted";
    /// A step whose key came after its contract had changed, and that no journey of the older version has.
    UNBOUND_SUPERSEDED = "unbound_records" / "superseded";
    /// Spans of a trace past the bound of what is kept of one.
    TRACE_BOUND = "bounds_reached" / "trace_size";
    /// Traces that made room for newer ones.
    TRACES_BOUND = "bounds_reached" / "traces";
    /// Spans of a trace past the bound of what is put together of one.
    ASSEMBLY_TRACE_BOUND = "bounds_reached" / "assembled_trace_size";
    /// Traces looked at before they were complete, since newer ones needed the room.
    ASSEMBLY_BOUND = "bounds_reached" / "assembled_spans";
    /// Links of a span past the bound.
    LINKS_BOUND = "bounds_reached" / "links";
    /// Fan-out items of a record past the bound.
    ITEMS_BOUND = "bounds_reached" / "fan_out_items";
    /// Observations of a journey past the bound.
    JOURNEY_BOUND = "bounds_reached" / "journey_size";
    /// Ended journeys that made room for newer ones before the retention was over.
    JOURNEYS_BOUND = "bounds_reached" / "ended_journeys";
    /// Contracts that did not come into force, since too many versions have journeys.
    VERSIONS_BOUND = "bounds_reached" / "contract_versions";
    /// Changes that made room for newer ones.
    CHANGES_BOUND = "bounds_reached" / "changes";
    /// Values of a CloudEvent past the bounds of what is read of one.
    EVENT_BOUND = "bounds_reached" / "event_values";
    /// A point of a metric that a contract names as a counter, and that is no monotonic sum.
    NOT_A_COUNTER = "unread_counters" / "not_a_monotonic_sum";
    /// A point of such a counter without a number, or with one below zero.
    COUNTER_WITHOUT_VALUE = "unread_counters" / "no_value";
    /// Questions that were not asked, since too many wait.
    QUESTIONS_BOUND = "bounds_reached" / "questions";
    /// Systems were asked whether an effect is there.
    QUESTION_ASKED = "questions" / "asked";
    /// Not asked, since the journey's key is not known: only a second name of it, or no text.
    QUESTION_WITHOUT_KEY = "questions" / "without_key";
    /// Asked so often that it is not asked again, and nobody could tell.
    QUESTION_GIVEN_UP = "questions" / "given_up";
    /// The effect is there.
    ANSWER_THERE = "answers" / "there";
    /// It is not there.
    ANSWER_NOT_THERE = "answers" / "not_there";
    /// It is not there on a replica that is behind, nobody knows how far.
    ANSWER_OF_UNKNOWN_AGE = "answers" / "behind_unknown";
    /// An answer about a journey, or under a contract, that is no longer there.
    ANSWER_STALE = "answers" / "stale";
    /// The system cannot be reached.
    NO_ANSWER_UNREACHABLE = "answers" / "unreachable";
    /// It did not answer in time.
    NO_ANSWER_TIMED_OUT = "answers" / "timed_out";
    /// It does not let us ask this.
    NO_ANSWER_DENIED = "answers" / "denied";
    /// It answered with an error.
    NO_ANSWER_FAILED = "answers" / "failed";
    /// The question is not one that may be asked.
    NO_ANSWER_NOT_ASKED = "answers" / "not_asked";
    /// A second name that already named another journey.
    BIND_CONFLICT = "bind_conflicts" / "other_owner";
}

/// How often each was counted.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    counts: BTreeMap<Counter, u64>,
}

impl Counters {
    pub(crate) fn count(&mut self, counter: Counter) {
        self.add(counter, 1);
    }

    pub(crate) fn add(&mut self, counter: Counter, n: u64) {
        if n > 0 {
            *self.counts.entry(counter).or_default() += n;
        }
    }

    /// Those that ever counted, to be kept.
    pub(crate) fn kept(&self) -> Vec<(String, String, u64)> {
        self.counts.iter().map(|(counter, n)| (counter.name.to_owned(), counter.reason.to_owned(), *n)).collect()
    }

    /// Takes kept counters back.
    pub(crate) fn restore(&mut self, kept: &[(String, String, u64)]) {
        for (name, reason, n) in kept {
            if let Some(counter) = ALL.iter().find(|counter| counter.name == name && counter.reason == reason) {
                self.add(*counter, *n);
            }
        }
    }

    /// Every counter, also those at zero, so that a rate can be taken from the first event on.
    pub(crate) fn report(&self) -> Vec<CounterReport> {
        ALL.iter()
            .map(|counter| CounterReport {
                name: counter.name.to_owned(),
                reason: counter.reason.to_owned(),
                value: self.counts.get(counter).copied().unwrap_or(0),
            })
            .collect()
    }
}
