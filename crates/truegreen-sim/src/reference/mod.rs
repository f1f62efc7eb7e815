//! A second opinion on the ledger: the rules of SEMANTICS recomputed from the whole history each time. No timers, no
//! caches, no state. Shares nothing with the engine but the words of `truegreen-model`; read it as the specification.
//!
//! In this order: [`fact`] (what is known, and since when), [`reading`] (records to facts: which record shows which
//! step), `binding` (for which key), [`passage`] (what one journey owes and has shown), [`coverage`] (whether a missing step would
//! have been seen), [`ruling`] (the verdict), [`books`] (the equation by minute).

mod binding;
pub mod books;
pub mod clock;
pub mod coverage;
pub mod fact;
pub mod passage;
pub mod reading;
pub mod ruling;
#[cfg(test)]
mod tests;

use truegreen_model::confirmation::{Answer, Confirmation};
use truegreen_model::flow::{Flow, StepId};
use truegreen_model::time::Timestamp;

use crate::telemetry::Happening;
use clock::Correction;
use coverage::Coverage;
use fact::{Answered, Fact};
use passage::Passage;
use ruling::Judged;

/// Everything that is known, from which everything else follows.
#[derive(Clone, Debug)]
pub struct Reference {
    flows: Vec<Flow>,
    facts: Vec<(Timestamp, Fact)>,
}

impl Reference {
    /// From facts in order of receipt.
    pub fn of_facts(flows: Vec<Flow>, facts: Vec<(Timestamp, Fact)>) -> Reference {
        Reference { flows, facts }
    }

    /// From what happened, in order.
    pub fn of_happenings(flows: Vec<Flow>, happenings: &[(Timestamp, Happening)]) -> Reference {
        Reference::of_clocks(flows, happenings, &[])
    }

    /// The same, where clocks were found to be wrong; of each the corrections in order.
    pub fn of_clocks(flows: Vec<Flow>, happenings: &[(Timestamp, Happening)], corrections: &[Correction]) -> Reference {
        let facts = reading::facts(&flows, happenings, corrections);
        Reference { flows, facts }
    }

    /// The same, where systems answered too, each at its time.
    pub fn with_answers(mut self, answers: &[(Timestamp, Confirmation, String)]) -> Reference {
        for (at, confirmation, key) in answers {
            let of = self.flows.iter().position(|flow| flow.name == confirmation.flow);
            let step = |flow: usize| self.flows[flow].steps.iter().position(|step| step.name == confirmation.step);
            let Some((flow, step)) = of.and_then(|flow| Some((flow, step(flow)?))) else { continue };
            let (is_there, as_of) = match confirmation.answer {
                Answer::There => (true, confirmation.asked_at),
                // A replica tells of the past.
                Answer::NotThere { behind: Some(behind) } => (false, confirmation.asked_at - behind),
                Answer::NotThere { behind: None } | Answer::CannotTell(_) => continue,
            };
            let step = StepId(u8::try_from(step).unwrap_or_default());
            self.facts.push((*at, Fact::Answered(Answered { flow, key: key.clone(), step, is_there, as_of })));
        }
        self.facts.sort_by_key(|(at, _)| *at);
        self
    }

    /// All that is known, in order of receipt.
    pub fn facts(&self) -> &[(Timestamp, Fact)] {
        &self.facts
    }

    /// Every journey as it stands at `now`, by flow, key and entry.
    pub fn judge(&self, now: Timestamp) -> Vec<Judged> {
        let known: Vec<(Timestamp, &Fact)> =
            self.facts.iter().filter(|(at, _)| *at <= now).map(|(at, fact)| (*at, fact)).collect();
        let passages = Passage::all(&self.flows, &known);
        let coverage = Coverage::of(&self.flows, &known, &passages);
        let mut judged: Vec<Judged> = passages.iter().map(|passage| ruling::judge(passage, &coverage, now)).collect();
        judged.sort_by(|a, b| (&a.flow, &a.key, a.entered_at).cmp(&(&b.flow, &b.key, b.entered_at)));
        judged
    }
}
