//! Exceptions explained by one attribute: digital orders need no stock.

use super::case::Case;
use super::model::Condition;
use super::tolerance::{NOISE, share};
use super::vocabulary::{ActivityId, Vocabulary};

/// Chance that an attribute which has nothing to do with it explains an exception, over all that are tried.
const BY_CHANCE: f64 = 1e-6;
/// A value seen in fewer cases is on neither side.
const FEWEST: u32 = 5;

/// What one case says to the question whether it shows a step.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Answer {
    NotAsked,
    Without,
    With,
}

/// The values of all attributes by case.
pub(crate) struct Values {
    /// By attribute: how many values it has, and which one each case does; one past them for none.
    attributes: Vec<(u16, usize, Vec<u16>)>,
    on: Vec<ActivityId>,
}

impl Values {
    /// `on` are activities that (nearly) all cases show: what only those with a step have would explain it by itself.
    pub(crate) fn of(cases: &[&Case], on: &[ActivityId], vocabulary: &Vocabulary) -> Values {
        let telling = (0..vocabulary.attributes()).map(|id| (id, vocabulary.values(id))).filter(|(_, n)| *n > 0);
        let mut attributes: Vec<(u16, usize, Vec<u16>)> =
            telling.map(|(id, n)| (id, n, vec![n as u16; cases.len()])).collect();
        for (place, case) in cases.iter().enumerate() {
            // The first that was seen counts.
            for seen in case.traits.iter().rev().filter(|seen| on.contains(&seen.activity)) {
                let Ok(at) = attributes.binary_search_by_key(&seen.attribute, |(id, ..)| *id) else { continue };
                attributes[at].2[place] = seen.value;
            }
        }
        Values { attributes, on: on.to_vec() }
    }

    /// The attribute that tells best which cases answer what; `None` where none does.
    pub(crate) fn explain(&self, answers: &[Answer]) -> Option<Condition> {
        let tests = self.attributes.len().max(1) as f64;
        let mut best: Option<(f64, Condition)> = None;
        for (attribute, values, by_case) in &self.attributes {
            // Absence is the last row.
            let mut table = vec![[0u32; 2]; values + 1];
            for (value, answer) in by_case.iter().zip(answers).filter(|(_, answer)| **answer != Answer::NotAsked) {
                if let Some(row) = table.get_mut(usize::from(*value)) {
                    row[usize::from(*answer == Answer::With)] += 1;
                }
            }
            let Some((condition, gain)) = split(*attribute, &table, &self.on) else { continue };
            let beyond_chance = gain - (table.len() as f64) - (tests / BY_CHANCE).ln();
            if beyond_chance > 0.0 && best.as_ref().is_none_or(|(most, _)| gain > *most) {
                best = Some((gain, condition));
            }
        }
        best.map(|(_, condition)| condition)
    }
}

/// The values on either side, and how many nats they tell; `None` where too many cases are on the wrong one.
fn split(attribute: u16, table: &[[u32; 2]], on: &[ActivityId]) -> Option<(Condition, f64)> {
    let (without, with) = table.iter().fold((0, 0), |(w, o), row| (w + row[0], o + row[1]));
    let all = without + with;
    let mut condition = Condition { attribute, without: Vec::new(), with: Vec::new(), absent: None, on: on.to_vec() };
    let (mut wrong, mut gain) = (0, 0.0);
    for (value, row) in table.iter().enumerate() {
        let n = row[0] + row[1];
        let has = row[1] * 2 > n;
        let minority = row[0].min(row[1]);
        let clear = n >= FEWEST && share(minority, n) <= NOISE;
        if !clear {
            wrong += n;
        } else if value + 1 == table.len() {
            condition.absent = Some(has);
        } else if has {
            condition.with.push(value as u16);
        } else {
            condition.without.push(value as u16);
        }
        for (count, total) in row.iter().zip([without, with]) {
            if *count > 0 {
                gain +=
                    f64::from(*count) * (f64::from(*count) * f64::from(all) / (f64::from(n) * f64::from(total))).ln();
            }
        }
    }
    let sides = (!condition.with.is_empty() || condition.absent == Some(true))
        && (!condition.without.is_empty() || condition.absent == Some(false));
    (sides && share(wrong, all) <= NOISE).then_some((condition, gain))
}

impl Condition {
    /// `when` or `unless`, and what follows it in a contract: the side with fewer values.
    pub(crate) fn words(&self, vocabulary: &Vocabulary) -> (&'static str, String) {
        let name = super::contract::quoted(vocabulary.attribute_name(self.attribute));
        let list = |values: &[u16]| {
            let values = values.iter().map(|value| super::contract::quoted(vocabulary.value(self.attribute, *value)));
            let values: Vec<String> = values.collect();
            match values.as_slice() {
                [one] => one.clone(),
                several => format!("[{}]", several.join(", ")),
            }
        };
        let present = |present| format!("{{{name}: {{present: {present}}}}}");
        match (self.absent, self.with.as_slice(), self.without.as_slice()) {
            (Some(false), _, []) => ("when", present(true)),
            (Some(true), [], _) => ("unless", present(true)),
            // Whoever lacks the attribute is told by the side that the test does not name.
            (Some(false), with, _) => ("when", format!("{{{name}: {}}}", list(with))),
            (_, _, without) if !without.is_empty() => ("unless", format!("{{{name}: {}}}", list(without))),
            (_, with, _) => ("when", format!("{{{name}: {}}}", list(with))),
        }
    }
}
