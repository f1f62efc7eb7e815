//! How a judged passage stands. What its observations decide is decided at once; what takes coverage to decide (a step
//! is missing, or late by somebody's clock) is decided on the next tick, when coverage stands still. Until then stands
//! what stood. So shards may work side by side, in batches of any size, and come to the same.

use std::time::Duration;

use smallvec::SmallVec;
use truegreen_model::flow::StepId;
use truegreen_model::observation::{InstanceId, Role};
use truegreen_model::time::Timestamp;
use truegreen_model::verdict::{Standing, Verdict, Why};

use super::case::{Passage, Seen};
use super::judge::{Judgement, Missing, Outcome};
use super::knowledge::{Learned, StepSums};
use crate::coverage::{Coverage, LAG_FLOOR, Proof, Wait};
use crate::matcher::Matcher;
use crate::matcher::plan::Plan;
use crate::matcher::scopes::ScopeId;
use crate::timers::Tick;

/// A passage that is being judged.
pub(super) struct Passing<'p> {
    pub(super) plan: &'p Plan,
    pub(super) scope: ScopeId,
    pub(super) group: &'p [&'p Seen],
    pub(super) judgement: &'p Judgement,
    /// How it stood before.
    pub(super) earlier: Option<&'p Passage>,
    /// Bit n: the effect of step n was found.
    pub(super) there: u64,
}

/// What is known beside the passage on a tick.
#[derive(Clone, Copy)]
pub(super) struct Known<'e> {
    pub(super) matcher: &'e Matcher,
    pub(super) coverage: &'e Coverage,
    pub(super) learned: &'e Learned,
    pub(super) sums: &'e StepSums,
}

/// How it stands, and when to look again.
pub(super) struct Stand {
    pub(super) passage: Passage,
    pub(super) check: Tick,
    /// This step became due since it was last looked at.
    pub(super) came_due: Option<StepId>,
}

impl Passing<'_> {
    /// An observation came.
    pub(super) fn on_arrival(&self, now: Timestamp) -> Stand {
        let next_tick = Tick::at_or_after(now);
        let missing = match self.judgement.outcome {
            Outcome::Ended(verdict) => return self.ended(verdict),
            Outcome::Absent(missing) => return self.absent(&missing),
            Outcome::Overdue(_) => return Stand::new(self.undecided(), next_tick),
            Outcome::Missing(missing) => missing,
        };
        let due = Tick::at_or_after(missing.deadline).max(next_tick);
        match self.earlier_wait(&missing).map(|earlier| earlier.standing) {
            Some(standing @ Standing::Open { due: was_due }) => {
                Stand::new(self.waiting(&missing, standing), if was_due { next_tick } else { due })
            }
            Some(Standing::Ended(Verdict::Unaccounted(_))) => {
                let verdict = Verdict::Unaccounted(missing.loss);
                Stand::new(self.waiting(&missing, Standing::Ended(verdict)), Tick::NEVER)
            }
            Some(standing @ Standing::Ended(_)) => Stand::new(self.waiting(&missing, standing), Tick::NEVER),
            None if self.was_found_missing() => Stand::new(self.undecided(), next_tick),
            None => Stand::new(self.waiting(&missing, Standing::Open { due: false }), due),
        }
    }

    /// A tick, on which all that came before it is known.
    pub(super) fn on_tick(&self, tick: Tick, known: &Known<'_>) -> Stand {
        let missing = match self.judgement.outcome {
            Outcome::Ended(verdict) => return self.ended(verdict),
            Outcome::Overdue(past) if past > self.skew(known) => return self.ended(Verdict::Late),
            Outcome::Overdue(_) => return self.ended(Verdict::Completed),
            Outcome::Absent(missing) => return self.absent(&missing),
            Outcome::Missing(missing) => missing,
        };
        let deadline = Tick::at_or_after(missing.deadline + self.clock_doubt(known));
        if tick < deadline {
            return Stand::new(self.waiting(&missing, Standing::Open { due: false }), deadline);
        }
        let earlier = self.earlier_wait(&missing).map(|earlier| earlier.standing);
        // What was once decided about this very wait stays so, since coverage forgets its older spells; unless it
        // turned out since that only a part is seen.
        let decided = match earlier {
            Some(Standing::Ended(Verdict::Unaccounted(_))) => match self.doubted(&missing, known) {
                Some(why) => Some(Verdict::Unknown(why)),
                None => Some(Verdict::Unaccounted(missing.loss)),
            },
            Some(Standing::Ended(verdict)) => Some(verdict),
            _ => None,
        };
        if let Some(verdict) = decided {
            return Stand::new(self.waiting(&missing, Standing::Ended(verdict)), Tick::NEVER);
        }
        let (standing, check) = match self.prove(&missing, tick, known) {
            Proof::Proven => (Standing::Ended(Verdict::Unaccounted(missing.loss)), Tick::NEVER),
            Proof::Unprovable(why) => (Standing::Ended(Verdict::Unknown(why)), Tick::NEVER),
            Proof::NotYet(again) => (Standing::Open { due: true }, Tick::at_or_after(again).max(Tick(tick.0 + 1))),
        };
        let was_due = earlier == Some(Standing::Open { due: true });
        let came_due = (!was_due).then_some(missing.hop.before);
        Stand { passage: self.waiting(&missing, standing), check, came_due }
    }

    fn ended(&self, verdict: Verdict) -> Stand {
        let passage = Passage { hop: None, deadline: Timestamp::NEVER, ..self.passage(Standing::Ended(verdict)) };
        Stand::new(passage, Tick::NEVER)
    }

    /// Who should show it says so, and no coverage is needed for that.
    fn absent(&self, missing: &Missing) -> Stand {
        Stand::new(self.waiting(missing, Standing::Ended(Verdict::Unaccounted(missing.loss))), Tick::NEVER)
    }

    fn waiting(&self, missing: &Missing, standing: Standing) -> Passage {
        Passage { hop: Some(missing.hop), deadline: missing.deadline, ..self.passage(standing) }
    }

    /// As it stood, until the next tick decides.
    fn undecided(&self) -> Passage {
        let fresh = self.passage(Standing::Open { due: false });
        match self.earlier {
            Some(earlier) => {
                let Passage { standing, hop, deadline, confirmed, .. } = *earlier;
                Passage { standing, hop, deadline, confirmed, ..fresh }
            }
            None => fresh,
        }
    }

    fn passage(&self, standing: Standing) -> Passage {
        let starts = self.group.iter().filter(|one| one.role == Role::Step(StepId::START)).count();
        Passage {
            entered_at: self.judgement.entered_at,
            standing,
            hop: None,
            deadline: Timestamp::NEVER,
            after: self.judgement.after,
            owed: self.judgement.owed,
            duplicates: starts.saturating_sub(1) as u64,
            confirmed: self.judgement.confirmed,
            there: self.there,
        }
    }

    /// How it stood, if it waited for the same step until the same time. What only an answer had decided, and no answer
    /// does any more, is decided anew.
    fn earlier_wait(&self, missing: &Missing) -> Option<&Passage> {
        let is_same = |earlier: &&Passage| (earlier.hop, earlier.deadline) == (Some(missing.hop), missing.deadline);
        self.earlier.filter(|earlier| is_same(earlier) && !earlier.confirmed)
    }

    fn was_found_missing(&self) -> bool {
        let standing = self.earlier.map(|earlier| earlier.standing);
        matches!(standing, Some(Standing::Ended(Verdict::Unaccounted(_) | Verdict::Unknown(_))))
    }

    /// By how much a step may seem late by somebody's clock alone.
    fn skew(&self, known: &Known<'_>) -> Duration {
        let by_receipts = self.group.iter().map(|one| known.coverage.skew_bound(one.instance)).max();
        by_receipts.unwrap_or_default() + self.clock_doubt(known)
    }

    /// By how much all times together may be wrong, by what is known of clocks that are corrected.
    fn clock_doubt(&self, known: &Known<'_>) -> Duration {
        if !known.coverage.corrects_clocks() {
            return Duration::ZERO;
        }
        let mut doubts: SmallVec<[(InstanceId, Duration); 8]> = SmallVec::new();
        for one in self.group {
            let doubt = known.coverage.clock_doubt(one.instance, one.at);
            match doubts.iter_mut().find(|(of, _)| *of == one.instance) {
                Some((_, most)) => *most = doubt.max(*most),
                None => doubts.push((one.instance, doubt)),
            }
        }
        doubts.iter().map(|(_, doubt)| *doubt).sum()
    }

    fn prove(&self, missing: &Missing, tick: Tick, known: &Known<'_>) -> Proof {
        let step = missing.hop.before;
        let kin = known.matcher.kin(self.plan, step);
        let wait = Wait {
            flow: self.plan.id,
            scope: self.scope,
            kin: &kin,
            services: known.learned.owing(self.plan, step),
            signals: &self.plan.steps[step.0 as usize].signals,
            entry: self.judgement.entered_at,
            deadline: missing.deadline + self.clock_doubt(known),
            doubted: self.doubted(missing, known),
            waiting: kin.iter().map(|(flow, step)| known.sums.get(*flow, *step).waiting).sum(),
        };
        known.coverage.prove(&wait, tick.time())
    }

    /// Why the missing step proves nothing, whoever reports.
    fn doubted(&self, missing: &Missing, known: &Known<'_>) -> Option<Why> {
        if self.is_sampled(missing, known) {
            return Some(Why::Sampled);
        }
        let services = known.learned.owing(self.plan, missing.hop.before);
        let of = (self.plan.id, self.scope);
        known.coverage.doubted(of, services, self.judgement.entered_at, missing.deadline + LAG_FLOOR)
    }

    /// Whether the missing step may have been seen by its service and not be sent: declared, told or inferred to be
    /// sampled, or in another trace than a start that is itself sampled.
    fn is_sampled(&self, missing: &Missing, known: &Known<'_>) -> bool {
        let step = missing.hop.before;
        let services = known.learned.owing(self.plan, step);
        let declared = |service| known.matcher.declared_sampled(self.plan, service);
        let start = self.group.iter().find(|one| one.role == Role::Step(StepId::START));
        let start_is_sampled = start.is_some_and(|start| {
            let service = known.coverage.service_of(start.instance);
            service.sampled().is_some() || declared(service.name)
        });
        let sums = known.matcher.kin(self.plan, step).into_iter().map(|(flow, step)| known.sums.get(flow, step));
        let (with_start, apart) =
            sums.fold((0, 0), |(with, apart), sums| (with + sums.with_start, apart + sums.apart_from_start));
        (start_is_sampled && apart >= with_start)
            || services.iter().any(|name| declared(*name))
            || known.coverage.any_sampled(self.plan.id, self.scope, services)
    }
}

impl Stand {
    fn new(passage: Passage, check: Tick) -> Stand {
        Stand { passage, check, came_due: None }
    }
}
