//! One table and its truth.

use truegreen_engine::explain::contrast::{Outcome, Table};

use super::setting::Form;

/// What stands for a word that a row does not have; of numbers it is not a number.
pub const ABSENT: u32 = u32::MAX;

/// The values of one attribute.
#[derive(Clone, Debug)]
pub enum Values {
    /// A value's number, for each row; or [`ABSENT`].
    Words(Vec<u32>),
    /// A number, for each row.
    Numbers(Vec<f64>),
}

impl Values {
    /// Its words; none of numbers.
    pub fn words(&self) -> &[u32] {
        match self {
            Values::Words(words) => words,
            Values::Numbers(_) => &[],
        }
    }

    /// One more than the highest word.
    pub fn count(&self) -> u32 {
        self.words().iter().filter(|word| **word != ABSENT).max().map_or(0, |most| most + 1)
    }
}

/// One planted condition: an attribute, and what its value must be.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Planted {
    /// This one; or absent, where that is it.
    Is(usize, u32),
    /// Any but this one.
    IsNot(usize, u32),
    /// More than this.
    Above(usize, f64),
}

impl Planted {
    /// Which attribute.
    pub fn attribute(self) -> usize {
        match self {
            Planted::Is(attribute, _) | Planted::IsNot(attribute, _) | Planted::Above(attribute, _) => attribute,
        }
    }
}

/// A table and its truth.
#[derive(Debug)]
pub struct World {
    /// By attribute.
    pub values: Vec<Values>,
    /// Which attribute each depends on.
    pub(super) roots: Vec<usize>,
    /// Failures of each row.
    pub bad: Vec<u64>,
    /// Attempts of each row.
    pub attempts: Vec<u64>,
    /// Which rows are of the time before; empty where none is.
    pub before: Vec<bool>,
    /// The conditions of each cause.
    pub causes: Vec<Vec<Planted>>,
    /// What stands in the rows.
    pub form: Form,
}

impl World {
    /// One in which nothing has failed so far.
    pub(super) fn blank(values: Vec<Values>, roots: Vec<usize>, attempts: Vec<u64>, form: Form) -> World {
        World { values, roots, bad: vec![0; attempts.len()], attempts, before: Vec::new(), causes: Vec::new(), form }
    }

    /// How many rows.
    pub fn rows(&self) -> usize {
        self.bad.len()
    }

    /// Whether a row is of the time before.
    pub fn is_before(&self, row: usize) -> bool {
        self.before.get(row).copied().unwrap_or(false)
    }

    /// The table, as it is handed to the search.
    pub fn table(&self) -> Table {
        let mut table = Table::new();
        let columns: Vec<usize> =
            (0..self.values.len()).filter_map(|attribute| table.column(&name(attribute)).ok()).collect();
        let texts: Vec<Vec<String>> = self.values.iter().map(texts).collect();
        for row in 0..self.rows() {
            let outcome = Outcome::counted(self.bad[row], self.attempts[row]);
            let outcome = if self.is_before(row) { outcome.before() } else { outcome };
            if table.begin(outcome).is_err() {
                break;
            }
            for column in &columns {
                match &self.values[*column] {
                    Values::Words(words) => {
                        texts[*column].get(words[row] as usize).into_iter().for_each(|text| table.set(*column, text));
                    }
                    Values::Numbers(numbers) if numbers[row].is_nan() => {}
                    Values::Numbers(numbers) => table.set(*column, &numbers[row].to_string()),
                }
            }
        }
        table
    }

    /// The same as text, for other programs: a column for each attribute, then `bad` and `total`.
    pub fn csv(&self) -> String {
        let names: Vec<String> = (0..self.values.len()).map(name).collect();
        let texts: Vec<Vec<String>> = self.values.iter().map(texts).collect();
        let mut csv = names.join(",") + ",bad,total\n";
        for row in (0..self.rows()).filter(|row| !self.is_before(*row)) {
            for (values, texts) in self.values.iter().zip(&texts) {
                match values {
                    Values::Words(words) => csv.push_str(texts.get(words[row] as usize).map_or("", String::as_str)),
                    Values::Numbers(numbers) if numbers[row].is_nan() => {}
                    Values::Numbers(numbers) => csv.push_str(&numbers[row].to_string()),
                }
                csv.push(',');
            }
            csv.push_str(&format!("{},{}\n", self.bad[row], self.attempts[row]));
        }
        csv
    }

    /// Whether a row satisfies all of some conditions.
    pub fn holds(&self, cause: &[Planted], row: usize) -> bool {
        cause.iter().all(|one| match (one, &self.values[one.attribute()]) {
            (Planted::Is(_, value), Values::Words(words)) => words[row] == *value,
            (Planted::IsNot(_, value), Values::Words(words)) => words[row] != *value,
            (Planted::Above(_, cut), Values::Numbers(numbers)) => numbers[row] > *cut,
            _ => false,
        })
    }

    /// A cause in words.
    pub fn title(cause: &[Planted]) -> String {
        let mut sorted = cause.to_vec();
        sorted.sort_by_key(|one| one.attribute());
        let word = |one: &Planted| match one {
            Planted::Is(attribute, ABSENT) => format!("{} absent", name(*attribute)),
            Planted::Is(attribute, value) => format!("{} = {}", name(*attribute), text(*value)),
            Planted::IsNot(attribute, value) => format!("{} != {}", name(*attribute), text(*value)),
            Planted::Above(attribute, cut) => format!("{} > {cut}", name(*attribute)),
        };
        sorted.iter().map(word).collect::<Vec<_>>().join(" and ")
    }
}

/// The name of an attribute.
pub fn name(attribute: usize) -> String {
    format!("attribute{attribute}")
}

/// A value's text.
pub fn text(value: u32) -> String {
    format!("v{value}")
}

fn texts(values: &Values) -> Vec<String> {
    (0..values.count()).map(text).collect()
}
