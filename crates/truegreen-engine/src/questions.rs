//! Questions to the systems themselves: which are wanted, which are under way, and when one that got no answer is asked
//! again. What they are about is looked up when they are asked, so that nothing is asked that time has answered.
//!
//! A question under way waits for its one answer, however long that takes: whoever performs it always answers, or the
//! process ends, and the next one asks again ([`Questions::under_way`]).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use truegreen_model::confirmation::QuestionId;
use truegreen_model::flow::FlowId;
use truegreen_model::time::Timestamp;

use crate::timers::Tick;

/// Most questions that wait or are under way; more are not asked, and counted.
pub(crate) const MAX_QUESTIONS: usize = 50_000;
/// Most that are under way to one system.
const MAX_UNDER_WAY: usize = 1_000;
/// How often one is asked before it is given up.
const MAX_TRIES: u32 = 5;
/// After the first answer that is none it is asked again so much later; after each further one four times as long.
const PAUSE: Duration = Duration::from_secs(15);

/// Where a question stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
enum Place {
    /// Until then.
    Waits(Tick),
    /// Since then, until there is room.
    Ready(Tick),
    UnderWay,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Entry {
    place: Place,
    tries: u32,
}

/// All questions, and how many of them each system has to answer.
#[derive(Debug, Default)]
pub(crate) struct Questions {
    entries: BTreeMap<QuestionId, Entry>,
    waiting: BTreeSet<(Tick, QuestionId)>,
    ready: BTreeMap<String, BTreeSet<(Tick, QuestionId)>>,
    under_way: BTreeMap<String, usize>,
}

/// What outlives a restart.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct KeptQuestions(Vec<(QuestionId, Entry)>);

/// What came of an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Next {
    /// It is looked at again later, if it is still wanted then.
    Later,
    /// It was asked often enough.
    GivenUp,
}

impl Questions {
    /// A question is wanted from then on; false where there is no room for it. One that is known stays as it is.
    pub(crate) fn want(&mut self, id: QuestionId, from: Tick) -> bool {
        if self.entries.contains_key(&id) {
            return true;
        }
        if self.entries.len() >= MAX_QUESTIONS {
            return false;
        }
        self.wait(id, from, 0);
        true
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The first tick on which a question is due.
    pub(crate) fn next_timer(&self) -> Tick {
        self.waiting.first().map_or(Tick::NEVER, |(at, _)| *at)
    }

    /// The next question that is due by then, to be put somewhere else.
    pub(crate) fn next_due(&mut self, tick: Tick) -> Option<QuestionId> {
        let (at, id) = *self.waiting.first().filter(|(at, _)| *at <= tick)?;
        self.waiting.remove(&(at, id));
        Some(id)
    }

    /// One that was due is not, after all, before then.
    pub(crate) fn put_off(&mut self, id: QuestionId, until: Tick) {
        let tries = self.entries.get(&id).map_or(0, |entry| entry.tries);
        self.wait(id, until, tries);
    }

    /// One that was due is asked as soon as this system has room.
    pub(crate) fn make_ready(&mut self, id: QuestionId, system: &str, tick: Tick) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.place = Place::Ready(tick);
            self.ready.entry(system.to_owned()).or_default().insert((tick, id));
        }
    }

    /// The next one that there is room for.
    pub(crate) fn next_ready(&mut self) -> Option<QuestionId> {
        for (system, ready) in &mut self.ready {
            if self.under_way.get(system).is_none_or(|many| *many < MAX_UNDER_WAY)
                && let Some((_, id)) = ready.pop_first()
            {
                return Some(id);
            }
        }
        None
    }

    /// One that was ready is asked now.
    pub(crate) fn asked(&mut self, id: QuestionId, system: &str) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.place = Place::UnderWay;
            *self.under_way.entry(system.to_owned()).or_default() += 1;
        }
    }

    /// One was answered, in whatever way.
    pub(crate) fn answered(&mut self, id: QuestionId, system: &str, now: Timestamp) -> Next {
        let Some(entry) = self.entries.get(&id).copied() else { return Next::Later };
        if entry.place != Place::UnderWay {
            return Next::Later;
        }
        if let Some(many) = self.under_way.get_mut(system) {
            *many = many.saturating_sub(1);
        }
        let tries = entry.tries + 1;
        if tries >= MAX_TRIES {
            self.entries.remove(&id);
            return Next::GivenUp;
        }
        self.wait(id, Tick::at_or_after(now + PAUSE * 4_u32.pow(tries - 1)), tries);
        Next::Later
    }

    /// One that was due or ready is wanted no more.
    pub(crate) fn drop_one(&mut self, id: QuestionId) {
        self.entries.remove(&id);
    }

    /// A version of a contract has no journeys any more.
    pub(crate) fn let_go(&mut self, flow: FlowId, system_of: impl Fn(QuestionId) -> Option<String>) {
        let gone: Vec<QuestionId> = self.entries.keys().filter(|id| id.flow == flow).copied().collect();
        for id in gone {
            let Some(entry) = self.entries.remove(&id) else { continue };
            match entry.place {
                Place::Waits(at) => {
                    self.waiting.remove(&(at, id));
                }
                Place::Ready(at) => {
                    for ready in self.ready.values_mut() {
                        ready.remove(&(at, id));
                    }
                }
                Place::UnderWay => {
                    if let Some(many) = system_of(id).and_then(|system| self.under_way.get_mut(&system)) {
                        *many = many.saturating_sub(1);
                    }
                }
            }
        }
    }

    /// Those that wait for an answer.
    pub(crate) fn under_way(&self) -> impl Iterator<Item = QuestionId> + '_ {
        self.entries.iter().filter(|(_, entry)| entry.place == Place::UnderWay).map(|(id, _)| *id)
    }

    pub(crate) fn kept(&self) -> KeptQuestions {
        KeptQuestions(self.entries.iter().map(|(id, entry)| (*id, *entry)).collect())
    }

    /// Takes them back. `system_of` tells whom each is for.
    pub(crate) fn restore(kept: KeptQuestions, system_of: impl Fn(QuestionId) -> Option<String>) -> Questions {
        let mut questions = Questions::default();
        for (id, entry) in kept.0 {
            let Some(system) = system_of(id) else { continue };
            questions.entries.insert(id, entry);
            match entry.place {
                Place::Waits(at) => {
                    questions.waiting.insert((at, id));
                }
                Place::Ready(at) => {
                    questions.ready.entry(system).or_default().insert((at, id));
                }
                Place::UnderWay => *questions.under_way.entry(system).or_default() += 1,
            }
        }
        questions
    }

    fn wait(&mut self, id: QuestionId, until: Tick, tries: u32) {
        self.entries.insert(id, Entry { place: Place::Waits(until), tries });
        self.waiting.insert((until, id));
    }
}

#[cfg(test)]
mod tests {
    use truegreen_model::flow::StepId;
    use truegreen_model::observation::KeyHash;

    use super::*;

    fn id(key: u128) -> QuestionId {
        QuestionId { flow: FlowId(0), key: KeyHash(key), step: StepId(1) }
    }

    fn ask_all(questions: &mut Questions, tick: Tick) -> usize {
        while let Some(id) = questions.next_due(tick) {
            questions.make_ready(id, "db", tick);
        }
        let mut asked = 0;
        while let Some(id) = questions.next_ready() {
            questions.asked(id, "db");
            asked += 1;
        }
        asked
    }

    #[test]
    fn one_that_gets_no_answer_is_asked_again_ever_later_and_then_given_up() {
        let mut questions = Questions::default();
        let mut now = Timestamp::from_secs(1_000);
        assert!(questions.want(id(1), Tick::at_or_after(now)));
        let mut pauses = Vec::new();
        loop {
            let due = questions.next_timer();
            assert_eq!(ask_all(&mut questions, due), 1);
            assert_eq!(questions.under_way().count(), 1);
            if questions.answered(id(1), "db", now) == Next::GivenUp {
                break;
            }
            let next = questions.next_timer().time();
            pauses.push(next.since(now).as_secs());
            now = next;
        }
        assert_eq!(pauses, [15, 60, 240, 960]);
        assert_eq!((questions.next_timer(), questions.under_way().count()), (Tick::NEVER, 0));
    }

    #[test]
    fn a_system_has_no_more_to_answer_than_there_is_room_for_and_the_rest_waits_in_order() {
        let mut questions = Questions::default();
        let now = Timestamp::from_secs(1_000);
        let tick = Tick::at_or_after(now);
        (0..1_500).for_each(|key| assert!(questions.want(id(key), tick)));
        (0..1_500).for_each(|key| assert!(questions.want(id(key), tick), "known ones are not asked twice"));
        assert_eq!(ask_all(&mut questions, tick), MAX_UNDER_WAY);
        questions.answered(id(0), "db", now);
        let kept = questions.kept();
        let bytes = postcard::to_allocvec(&kept).unwrap();
        let kept = postcard::from_bytes(&bytes).unwrap();
        let mut questions = Questions::restore(kept, |_| Some("db".to_owned()));
        assert_eq!(questions.under_way().count(), MAX_UNDER_WAY - 1);
        assert_eq!(questions.next_ready(), Some(id(1_000)), "also after a restart");
    }

    #[test]
    fn there_is_a_bound_on_all_of_them() {
        let mut questions = Questions::default();
        (0..MAX_QUESTIONS as u128).for_each(|key| assert!(questions.want(id(key), Tick(1))));
        assert!(!questions.want(id(u128::MAX), Tick(1)));
        questions.let_go(FlowId(0), |_| None);
        assert!(questions.want(id(u128::MAX), Tick(1)));
    }
}
