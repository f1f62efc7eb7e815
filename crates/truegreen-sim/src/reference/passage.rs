//! One journey: what it owes, what it has shown, and until when.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use truegreen_model::flow::{Condition, FanOut, Flow, Reentry, StepId, Test};
use truegreen_model::time::Timestamp;

use super::fact::{Answered, Fact, Role, Sighting};

/// What is known of one key: by identity, with the time since when.
type ByIdentity<'a> = BTreeMap<&'a str, (Timestamp, &'a Sighting)>;

/// One passage of one key through one flow.
#[derive(Clone, Debug)]
pub struct Passage<'a> {
    /// The contract.
    pub flow: &'a Flow,
    /// Its index.
    pub flow_index: usize,
    /// The scope in which its key lives.
    pub scope: &'a [String],
    /// The key's text.
    pub key: &'a str,
    /// The earliest start's event time.
    pub entered_at: Timestamp,
    /// When the last of what is known of its key became known: it may have moved sightings from passage to passage.
    pub key_changed_at: Timestamp,
    /// Its sightings, each identity once, with the time since when it is known.
    pub seen: Vec<(Timestamp, &'a Sighting)>,
    /// What systems knew of its effects.
    pub answers: Vec<&'a Answered>,
}

impl<'a> Passage<'a> {
    /// Every passage that has a start; what has none is an orphan and in no books.
    pub fn all(flows: &'a [Flow], facts: &[(Timestamp, &'a Fact)]) -> Vec<Passage<'a>> {
        let mut by_key: BTreeMap<(usize, &[String], &str), ByIdentity> = BTreeMap::new();
        for (received_at, fact) in facts {
            if let Fact::Seen(sighting) = fact {
                by_key
                    .entry((sighting.flow, &sighting.scope, &sighting.key))
                    .or_default()
                    .entry(&sighting.identity)
                    .or_insert((*received_at, sighting));
            }
        }
        let mut passages: Vec<Passage<'a>> = by_key
            .into_iter()
            .flat_map(|((flow_index, scope, key), seen)| {
                let seen = seen.into_values().collect();
                passages_of_key(&flows[flow_index], flow_index, scope, key, seen)
            })
            .collect();
        for (_, fact) in facts {
            if let Fact::Answered(answer) = fact {
                let of = |passage: &&mut Passage<'a>| (passage.flow_index, passage.key) == (answer.flow, &answer.key);
                passages.iter_mut().filter(of).for_each(|passage| passage.answers.push(answer));
            }
        }
        passages
    }

    /// Whether the effect of a step was ever found: then it was done.
    pub fn is_found(&self, step: StepId) -> bool {
        self.answers.iter().any(|answer| answer.step == step && answer.is_there)
    }

    /// Whether the effect of a step that is owed was never found, and was looked for when it had to be there: `after` it
    /// was said to be done, or else `after` it was due.
    pub fn is_denied(&self, step: StepId) -> bool {
        let Some(confirm) = &self.flow.steps[usize::from(step.0)].confirm else { return false };
        let had_to_be = self.fulfilled(step).unwrap_or_else(|| self.deadline(step)) + confirm.after;
        self.owed(step)
            && !self.is_found(step)
            && self.answers.iter().any(|answer| answer.step == step && !answer.is_there && answer.as_of >= had_to_be)
    }

    /// Whether telemetry alone shows that the step was done.
    pub fn is_shown(&self, step: StepId) -> bool {
        self.fulfilled(step).is_some() || self.followers(step).any(|follower| self.is_shown(follower))
    }

    /// Since when it is known that it entered.
    pub fn known_at(&self) -> Timestamp {
        let starts = self.seen.iter().filter(|(_, sighting)| sighting.role == Role::Step(StepId::START));
        starts.map(|(received_at, _)| *received_at).min().unwrap_or_default()
    }

    /// Sightings of one step.
    pub fn of_step(&self, step: StepId) -> impl Iterator<Item = &'a Sighting> {
        self.seen.iter().map(|(_, sighting)| *sighting).filter(move |sighting| sighting.role == Role::Step(step))
    }

    /// When the step was fulfilled; a failed attempt never fulfils.
    pub fn fulfilled(&self, step: StepId) -> Option<Timestamp> {
        let mut done: Vec<&Sighting> = self.of_step(step).filter(|sighting| !sighting.attempt).collect();
        done.sort_by_key(|sighting| sighting.at);
        let earliest = done.first()?.at;
        if step == StepId::START {
            return Some(earliest);
        }
        match &self.flow.steps[usize::from(step.0)].fan_out {
            None => Some(earliest),
            Some(FanOut::ForEach { attribute, item }) => {
                let expected = self.items_before(step, attribute);
                let times: Option<Vec<Timestamp>> = expected
                    .iter()
                    .map(|wanted| {
                        let of_item = |sighting: &&&Sighting| {
                            sighting.attributes.get(item).is_some_and(|items| items.contains(wanted))
                        };
                        done.iter().find(of_item).map(|sighting| sighting.at)
                    })
                    .collect();
                if expected.is_empty() { Some(earliest) } else { times?.into_iter().max() }
            }
            Some(FanOut::CountFrom { attribute }) => {
                let needed = self
                    .items_before(step, attribute)
                    .iter()
                    .filter_map(|count| count.parse::<usize>().ok())
                    .max()
                    .unwrap_or(1)
                    .max(1);
                done.get(needed - 1).map(|sighting| sighting.at)
            }
        }
    }

    /// Distinct values of an attribute on sightings of earlier steps.
    fn items_before(&self, step: StepId, attribute: &str) -> BTreeSet<String> {
        (0..step.0)
            .flat_map(|earlier| self.of_step(StepId(earlier)))
            .filter_map(|sighting| sighting.attributes.get(attribute))
            .flatten()
            .cloned()
            .collect()
    }

    /// Fulfilled, or its effect was found, or either is so of a step that comes after it: that it was not seen then proves
    /// lost telemetry, not loss.
    pub fn satisfied(&self, step: StepId) -> bool {
        self.fulfilled(step).is_some()
            || self.is_found(step)
            || self.followers(step).any(|follower| self.satisfied(follower))
    }

    fn followers(&self, step: StepId) -> impl Iterator<Item = StepId> {
        steps(self.flow).filter(move |&other| other > step && self.flow.steps[usize::from(other.0)].after == step)
    }

    /// Whether the contract asks for the step, on what is known of the journey's attributes.
    pub fn owed(&self, step: StepId) -> bool {
        let contract = &self.flow.steps[usize::from(step.0)];
        let excused = !contract.unless.is_empty() && contract.unless.iter().all(|condition| self.holds(condition));
        !contract.optional && !excused && contract.when.iter().all(|condition| self.holds(condition))
    }

    /// Judged on the latest sighting that carries the attribute.
    fn holds(&self, condition: &Condition) -> bool {
        let latest = self
            .seen
            .iter()
            .map(|(_, sighting)| *sighting)
            .filter(|sighting| sighting.attributes.contains_key(&condition.attribute))
            .max_by_key(|sighting| (sighting.at, &sighting.identity));
        test_holds(&condition.test, latest.and_then(|sighting| sighting.attributes.get(&condition.attribute)))
    }

    /// When the step is due, grace included.
    pub fn deadline(&self, step: StepId) -> Timestamp {
        let contract = &self.flow.steps[usize::from(step.0)];
        let within = if step == StepId::START { Duration::ZERO } else { contract.within };
        self.anchor(contract.after) + within + self.flow.grace
    }

    /// What the `within` of the steps after this one counts from.
    fn anchor(&self, step: StepId) -> Timestamp {
        let contract = &self.flow.steps[usize::from(step.0)];
        if step == StepId::START {
            self.entered_at
        } else if let Some(at) = self.fulfilled(step) {
            at
        } else if self.owed(step) {
            self.anchor(contract.after) + contract.within
        } else {
            self.anchor(contract.after)
        }
    }

    /// Steps that are owed and not satisfied, the one due first first.
    pub fn missing(&self) -> Vec<(Timestamp, StepId)> {
        let mut missing: Vec<(Timestamp, StepId)> = steps(self.flow)
            .filter(|&step| self.owed(step) && !self.satisfied(step))
            .map(|step| (self.deadline(step), step))
            .collect();
        missing.sort();
        missing
    }

    /// Whether it left lawfully; what it had not shown by then it owes no more.
    pub fn has_exit(&self) -> bool {
        self.seen.iter().any(|(_, sighting)| matches!(sighting.role, Role::Exit(..)))
    }

    /// Nearest step before this one, along `after`, that was seen or proven.
    pub fn last_before(&self, step: StepId) -> StepId {
        let mut before = self.flow.steps[usize::from(step.0)].after;
        while before != StepId::START && !self.satisfied(before) {
            before = self.flow.steps[usize::from(before.0)].after;
        }
        before
    }
}

/// All steps of a flow.
pub fn steps(flow: &Flow) -> impl Iterator<Item = StepId> + use<> {
    (0..flow.steps.len()).filter_map(|index| u8::try_from(index).ok()).map(StepId)
}

/// Cuts what is known of one key into passages, each from its own start on.
fn passages_of_key<'a>(
    flow: &'a Flow,
    flow_index: usize,
    scope: &'a [String],
    key: &'a str,
    seen: Vec<(Timestamp, &'a Sighting)>,
) -> Vec<Passage<'a>> {
    let key_changed_at = seen.iter().map(|(received_at, _)| *received_at).max().unwrap_or_default();
    let mut starts: Vec<Timestamp> = seen
        .iter()
        .filter(|(_, sighting)| sighting.role == Role::Step(StepId::START))
        .map(|(_, sighting)| sighting.at)
        .collect();
    starts.sort();
    let mut entries: Vec<Timestamp> = Vec::new();
    for start in starts {
        let new = match (entries.last(), flow.reentry) {
            (None, _) => true,
            (Some(_), Reentry::Once) => false,
            (Some(&before), Reentry::After(gap)) => start >= before + gap,
        };
        if new {
            entries.push(start);
        }
    }
    let mut passages: Vec<Passage> = entries
        .iter()
        .map(|&entered_at| Passage {
            flow,
            flow_index,
            scope,
            key,
            key_changed_at,
            entered_at,
            seen: Vec::new(),
            answers: Vec::new(),
        })
        .collect();
    for (received_at, sighting) in seen {
        let index = entries.iter().rposition(|&entered_at| entered_at <= sighting.at).unwrap_or(0);
        if let Some(passage) = passages.get_mut(index) {
            passage.seen.push((received_at, sighting));
        }
    }
    passages
}

fn test_holds(test: &Test, values: Option<&Vec<String>>) -> bool {
    let Some(values) = values else {
        return *test == Test::Absent;
    };
    let matches = |texts: &[truegreen_model::flow::Text]| {
        values.iter().any(|value| texts.iter().any(|text| text.matches(value.as_bytes())))
    };
    match test {
        Test::AnyOf(texts) => matches(texts),
        Test::NoneOf(texts) => !matches(texts),
        Test::Present => true,
        Test::Absent => false,
        Test::Number { at_least, below } => values.iter().any(|value| {
            value.parse::<f64>().is_ok_and(|number| {
                at_least.is_none_or(|bound| number >= bound) && below.is_none_or(|bound| number < bound)
            })
        }),
    }
}

/// Whether a record's attributes pass a pattern's condition.
pub fn condition_holds(condition: &Condition, attributes: &BTreeMap<String, Vec<String>>) -> bool {
    test_holds(&condition.test, attributes.get(&condition.attribute))
}
