//! The engine asks systems themselves whether an effect is there, and takes their answers as what they are: facts, with
//! the time as of which they hold.

use truegreen_model::confirmation::{Answer, Confirmation, NoAnswer, Question, QuestionId};
use truegreen_model::flow::Confirm;
use truegreen_model::time::Timestamp;

use crate::counters::{self, Counter};
use crate::engine::Engine;
use crate::ledger::WantedOf;
use crate::ledger::confirmed::{Confirmed, Told};
use crate::matcher::Matcher;
use crate::matcher::key;
use crate::matcher::plan::Plan;
use crate::questions::Next;
use crate::timers::Tick;

impl Engine {
    /// Every question that was asked and not answered. After a restart they are to be asked again: who was to answer them is
    /// gone.
    pub fn unanswered(&self) -> Vec<Question> {
        let ids = self.questions.under_way();
        ids.filter_map(|id| {
            let (plan, confirm) = looked_up(&self.matcher, id)?;
            let text = self.ledger.read(id.flow, id.key, |case| case.text.clone())?;
            Some(question(id, plan, confirm, text))
        })
        .collect()
    }

    /// A system answered, or somebody says that it does not.
    pub(crate) fn confirm(&mut self, confirmation: &Confirmation) {
        self.settle();
        let Confirmation { id, flow, step, asked_at, answer } = confirmation;
        let is_of = |(plan, _): &(&Plan, &Confirm)| plan.flow.name == *flow && plan.step_name(id.step) == step;
        let Some((_, confirm)) = looked_up(&self.matcher, *id).filter(is_of) else {
            self.counters.count(counters::ANSWER_STALE);
            return;
        };
        let (counter, told) = meaning(*answer, (*asked_at).min(self.now));
        self.counters.count(counter);
        let next = self.questions.answered(*id, &confirm.system, self.now);
        if let Some((told, as_of)) = told {
            self.tell(*id, told, as_of);
        }
        if next == Next::GivenUp
            && let Some((plan, _)) = looked_up(&self.matcher, *id)
            && self.ledger.wanted(*id, plan).is_some()
        {
            self.counters.count(counters::QUESTION_GIVEN_UP);
            self.tell(*id, Told::CannotTell, self.now);
        }
        self.ask_what_is_ready();
    }

    /// Asks what is due.
    pub(crate) fn ask(&mut self, tick: Tick) {
        if self.questions.next_timer() > tick {
            return;
        }
        while let Some(id) = self.questions.next_due(tick) {
            match self.still_wanted(id) {
                Some(wanted) if wanted.from > tick => self.questions.put_off(id, wanted.from),
                Some(_) => {
                    if let Some((_, confirm)) = looked_up(&self.matcher, id) {
                        self.questions.make_ready(id, &confirm.system, tick);
                    }
                }
                None => self.questions.drop_one(id),
            }
        }
        self.ask_what_is_ready();
    }

    fn ask_what_is_ready(&mut self) {
        while let Some(id) = self.questions.next_ready() {
            let (wanted, known) = (self.still_wanted(id), looked_up(&self.matcher, id));
            match (wanted, known) {
                (Some(wanted), Some((plan, confirm))) => {
                    self.questions.asked(id, &confirm.system);
                    self.counters.count(counters::QUESTION_ASKED);
                    self.asking.push(question(id, plan, confirm, wanted.text));
                }
                _ => self.questions.drop_one(id),
            }
        }
    }

    /// Whether time has not answered the question, and the key is known by which to ask it.
    fn still_wanted(&mut self, id: QuestionId) -> Option<WantedOf> {
        let (plan, _) = looked_up(&self.matcher, id)?;
        let wanted = self.ledger.wanted(id, plan)?;
        // A journey may be known by a second name only, or by text that could not be read.
        let scope = self.scopes.hashes().get(wanted.scope.0 as usize).copied();
        let is_the_key = |scope| key::key(scope, key::PRIMARY, wanted.text.as_bytes()) == wanted.owner;
        if !scope.is_some_and(is_the_key) {
            self.counters.count(counters::QUESTION_WITHOUT_KEY);
            return None;
        }
        Some(wanted)
    }

    fn tell(&mut self, id: QuestionId, told: Told, as_of: Timestamp) {
        let told = Confirmed { step: id.step, told, as_of };
        if !self.ledger.tell(id, told, self.now, &self.matcher, &mut self.events) {
            self.counters.count(counters::ANSWER_STALE);
        }
        self.account();
    }
}

/// What an answer is counted as, and what it says as of when, if it says anything.
fn meaning(answer: Answer, asked_at: Timestamp) -> (Counter, Option<(Told, Timestamp)>) {
    match answer {
        Answer::There => (counters::ANSWER_THERE, Some((Told::There, asked_at))),
        Answer::NotThere { behind: Some(behind) } => {
            (counters::ANSWER_NOT_THERE, Some((Told::NotThere, asked_at - behind)))
        }
        Answer::NotThere { behind: None } => (counters::ANSWER_OF_UNKNOWN_AGE, None),
        Answer::CannotTell(NoAnswer::Unreachable) => (counters::NO_ANSWER_UNREACHABLE, None),
        Answer::CannotTell(NoAnswer::TimedOut) => (counters::NO_ANSWER_TIMED_OUT, None),
        Answer::CannotTell(NoAnswer::Denied) => (counters::NO_ANSWER_DENIED, None),
        Answer::CannotTell(NoAnswer::Failed) => (counters::NO_ANSWER_FAILED, None),
        Answer::CannotTell(NoAnswer::NotAsked) => (counters::NO_ANSWER_NOT_ASKED, None),
    }
}

/// The version of the contract, and where the effect of its step can be looked up.
fn looked_up(matcher: &Matcher, id: QuestionId) -> Option<(&Plan, &Confirm)> {
    let plan = matcher.plans.get(usize::from(id.flow.0)).filter(|plan| !plan.is_free())?;
    Some((plan, plan.flow.steps.get(usize::from(id.step.0))?.confirm.as_ref()?))
}

/// For whom a question is.
pub(crate) fn system_of(matcher: &Matcher, id: QuestionId) -> Option<String> {
    Some(looked_up(matcher, id)?.1.system.clone())
}

fn question(id: QuestionId, plan: &Plan, confirm: &Confirm, key: String) -> Question {
    Question {
        id,
        flow: plan.flow.name.clone(),
        step: plan.step_name(id.step).to_owned(),
        key,
        system: confirm.system.clone(),
        ask: confirm.ask.clone(),
        expect: confirm.expect.clone(),
    }
}
