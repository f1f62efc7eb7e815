//! One request whose end did not come yet: what came of it, and what becomes of it.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use truegreen_model::observation::{InstanceId, Symbol};
use truegreen_model::time::Timestamp;

use super::super::View;
use super::super::drops::Drops;
use super::super::kin::{Kin, is_entry};
use super::super::masked::is_timeout;
use crate::trace::operation::OperationId;

/// Parents that must have come before one that does not says anything: with a caller that waits, and without.
const FEW: u32 = 5;
const MANY: u32 = 20;
/// The share of parents that must have come where no caller says what became of the request.
const USUALLY: f64 = 0.9;
/// How much longer than the longest that ended.
const LONGER: u32 = 3;
/// A request is waited for so long at the least and at the most.
const SHORTEST_WAIT: Duration = Duration::from_secs(5);
const LONGEST_WAIT: Duration = Duration::from_secs(600);
/// Without word from its process, or of other requests, for so long, nothing is said of a request.
const GIVEN_UP: Duration = Duration::from_secs(180);
/// Repetitions that make a loop at the least, and how many times as many as under any request that ended. Jobs that
/// nobody waits for vary more.
pub(super) const LOOPS: usize = 8;
const LOOPS_OF_KNOWN: u32 = 3;
const LOOPS_OF_JOB: u32 = 10;
/// Requests that may last this long do not loop because they last longer.
const LONG_LIVED: Duration = Duration::from_secs(60);
/// A loop goes on for so long at the least, and pieces of it came over so long a time.
const LOOPS_FOR: Duration = Duration::from_secs(4);
/// What fails is tried again for so long before it is a loop.
const RETRIES_FOR: Duration = Duration::from_secs(60);

/// A request whose end did not come yet.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Request {
    /// The operation that it is of, as its parts are usually of; nothing where that was never learned.
    pub(super) operation: Option<OperationId>,
    pub(super) instance: InstanceId,
    /// By its sender's clock: the start of its first part that came, and the end of the last.
    pub(super) first: Timestamp,
    pub(super) last: Timestamp,
    pub(super) last_operation: OperationId,
    /// By ours.
    pub(super) first_received: Timestamp,
    pub(super) received: Timestamp,
    /// How often each operation came in pieces of the trace that were handed over, and in the one that is gathered.
    pub(super) before: Counts,
    pub(super) gathered: Counts,
    /// Most of its parts that came last failed: whoever tries again says so, and is given longer.
    pub(super) is_failing: bool,
    pub(super) caller: Caller,
    /// What it was found as.
    pub(super) found_as: Option<OperationId>,
    /// It was told to who watches for lost telemetry.
    pub(super) is_told: bool,
    pub(super) stands: Stands,
}

pub(super) type Counts = SmallVec<[(OperationId, u32); 2]>;

/// What is known of who called.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) enum Caller {
    /// Nobody is usually seen to call.
    Unknown,
    /// It waits, too.
    Waits,
    /// It gave up, with this error.
    GaveUp(OperationId, Option<Symbol>),
    /// It was answered.
    Answered,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) enum Stands {
    Waiting,
    Stalled,
    Looping,
    /// Its end was lost, or it was cut short; remembered so that later pieces of it are not looked at anew.
    Explained,
}

/// What becomes of a request without an end.
pub(super) enum Judged {
    NotYet,
    Explained,
    /// Certain is that no restart cut it short.
    Stalled {
        operation: OperationId,
        is_certain: bool,
    },
}

impl Request {
    pub(super) fn judge(&mut self, sent_until: Timestamp, kin: &Kin, drops: &mut Drops, view: &View<'_>) -> Judged {
        let Some(operation) = self.operation else { return Judged::Explained };
        let longest = kin.of(operation).map_or(Duration::ZERO, |habit| habit.longest);
        let wait = (longest * LONGER).clamp(SHORTEST_WAIT, LONGEST_WAIT);
        let service = view.operations[operation].service;
        if view.now > self.received + wait + GIVEN_UP {
            return Judged::Explained;
        }
        if sent_until < self.last + wait {
            return Judged::NotYet;
        }
        if view.coverage.had_gap(service, self.first_received - wait, view.now) {
            return Judged::Explained;
        }
        let (tied, share) = kin.of(self.last_operation).map_or((0, 0.0), |habit| (habit.tied(), habit.tied_share()));
        match self.caller {
            Caller::Waits | Caller::GaveUp(..) if tied >= FEW && !drops.is_dropping(service) => {
                let is_certain = match self.caller {
                    Caller::GaveUp(_, error) => error.is_some_and(|error| is_timeout(view.symbols.text(error))),
                    _ => true,
                };
                Judged::Stalled { operation, is_certain }
            }
            Caller::Answered if tied >= FEW => {
                self.tell(operation, drops, view);
                Judged::Explained
            }
            Caller::Unknown if tied >= MANY => {
                self.tell(operation, drops, view);
                match drops.others_come(operation, view) {
                    // Nobody waits for it, and its service is known to lose spans.
                    _ if drops.is_dropping(service) => Judged::Explained,
                    None => Judged::NotYet,
                    // Of what is lost now and then, one more says nothing.
                    Some(true) if share >= USUALLY => Judged::Stalled { operation, is_certain: false },
                    Some(_) => Judged::Explained,
                }
            }
            _ => Judged::Explained,
        }
    }

    fn tell(&mut self, operation: OperationId, drops: &mut Drops, view: &View<'_>) {
        if !std::mem::replace(&mut self.is_told, true) {
            drops.tried(operation, true, view);
        }
    }

    /// What came most often.
    pub(super) fn repeated(&self) -> Option<(OperationId, u32)> {
        let mut all = self.before.clone();
        self.gathered.iter().for_each(|(operation, times)| add(&mut all, *operation, *times));
        all.into_iter().max_by_key(|(operation, times)| (*times, std::cmp::Reverse(*operation)))
    }

    pub(super) fn loops(&self, repeated: OperationId, times: u32, kin: &Kin, view: &View<'_>) -> bool {
        let went_on = self.last.since(self.first);
        if self.is_failing && went_on < RETRIES_FOR {
            return false;
        }
        if (times as usize) < LOOPS || went_on < LOOPS_FOR || self.received.since(self.first_received) < LOOPS_FOR {
            return false;
        }
        let gave_up = matches!(self.caller, Caller::GaveUp(..));
        let Some(habit) = self.operation.and_then(|operation| kin.of(operation)) else {
            return gave_up && times as usize >= 2 * LOOPS;
        };
        let (ties, most) = kin.of(repeated).map_or((0, 0), |habit| (habit.tied(), habit.most()));
        // Streams, and connections that are kept open, vary without bound.
        if habit.longest > LONG_LIVED && !gave_up {
            return false;
        }
        let is_job = self.operation.is_some_and(|operation| !is_entry(view.operations[operation].kind));
        let factor = if is_job && !gave_up { LOOPS_OF_JOB } else { LOOPS_OF_KNOWN };
        ties >= FEW && times >= factor * most && went_on > habit.longest * factor
    }

    pub(super) fn evidence(&self, operation: OperationId, kin: &Kin, view: &View<'_>) -> String {
        let name = |operation: OperationId| view.symbols.text(view.operations[operation].name);
        let came = |next: &OperationId| self.before.iter().any(|(came, _)| came == next);
        let is_own = |next: &OperationId| view.operations[*next].service == view.operations[operation].service;
        let next = kin.regular_children(operation).filter(is_own).find(|next| !came(next));
        let next =
            next.map_or_else(String::new, |next| format!(", and `{}`, which always follows, did not", name(next)));
        format!(
            "`{}` of `{}` began, `{}` below it ended, then nothing came for {:.0} s{next}{}",
            name(operation),
            view.symbols.text(view.operations[operation].service_name),
            name(self.last_operation),
            view.now.since(self.received).as_secs_f64(),
            self.caller_words(view),
        )
    }

    pub(super) fn caller_words(&self, view: &View<'_>) -> String {
        match self.caller {
            Caller::GaveUp(operation, error) => {
                let operation = &view.operations[operation];
                let error = error.map_or_else(String::new, |error| format!(" with `{}`", view.symbols.text(error)));
                let service = view.symbols.text(operation.service_name);
                format!("; `{}` of `{service}`, which called it, gave up{error}", view.symbols.text(operation.name))
            }
            Caller::Waits => "; who called it waits, too".to_owned(),
            Caller::Unknown | Caller::Answered => String::new(),
        }
    }
}

pub(super) fn add(counts: &mut Counts, operation: OperationId, times: u32) {
    match counts.iter_mut().find(|(known, _)| *known == operation) {
        Some((_, all)) => *all = all.saturating_add(times),
        None => counts.push((operation, times)),
    }
}
