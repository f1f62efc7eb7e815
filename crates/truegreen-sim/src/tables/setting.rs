//! What kinds of tables are made.

use std::ops::RangeInclusive;

/// What stands in the rows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// One attempt each.
    Single,
    /// One combination of values each, with failures and attempts.
    Aggregated,
}

/// How often each value of an attribute comes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shares {
    /// All alike.
    Even,
    /// The n-th value 1/n times as often as the first.
    Zipf,
    /// One value in more than half of the rows, the rest by Zipf.
    Dominated,
}

/// What causes have to do with each other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kinship {
    /// Nothing that is meant.
    None,
    /// All on the same attributes, with other values.
    SameAttributes,
    /// All share one condition.
    SharedCondition,
    /// Each lies within the one before, and fails more.
    Nested,
}

/// How causes make attempts fail.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Effect {
    /// This share of what they cover, at least and at most.
    Share(f64, f64),
    /// So many times what fails anyway.
    Times(f64),
}

/// One kind of table.
#[derive(Clone, Debug)]
pub struct Setting {
    /// Its name in the report.
    pub name: &'static str,
    /// No noise of any kind: 9 of 10 are asked for, else 3 of 4.
    pub is_easy: bool,
    /// More than is promised: it is measured, and nothing is asked for.
    pub is_beyond: bool,
    /// Rows, at least and at most.
    pub rows: RangeInclusive<usize>,
    /// Attributes, those that are derived from others included.
    pub attributes: RangeInclusive<usize>,
    /// Values of an attribute.
    pub values: RangeInclusive<usize>,
    /// What stands in the rows.
    pub form: Form,
    /// How often each value comes.
    pub shares: Shares,
    /// Share of the attributes that depend on another.
    pub derived: f64,
    /// Share of the attributes that are numbers.
    pub numbers: f64,
    /// How many causes.
    pub causes: RangeInclusive<usize>,
    /// How many conditions each has.
    pub conditions: RangeInclusive<usize>,
    /// What they have to do with each other.
    pub kinship: Kinship,
    /// What they do.
    pub effect: Effect,
    /// What fails anyway, at most: each table draws between a tenth of it and all.
    pub background: f64,
    /// By what the background differs between the values of one attribute: standard deviation of its logarithm.
    pub background_by_value: f64,
    /// By what each combination differs by itself: standard deviation of the logarithm of its rate.
    pub spread: f64,
}

impl Setting {
    const PLAIN: Setting = Setting {
        name: "",
        is_easy: false,
        is_beyond: false,
        rows: 5_000..=40_000,
        attributes: 5..=12,
        values: 2..=30,
        form: Form::Single,
        shares: Shares::Even,
        derived: 0.0,
        numbers: 0.0,
        causes: 1..=3,
        conditions: 1..=3,
        kinship: Kinship::None,
        effect: Effect::Share(1.0, 1.0),
        background: 0.0,
        background_by_value: 0.0,
        spread: 0.0,
    };

    const AGGREGATED: Setting = Setting {
        form: Form::Aggregated,
        rows: 500..=12_000,
        attributes: 4..=6,
        values: 3..=25,
        shares: Shares::Zipf,
        effect: Effect::Share(0.1, 0.9),
        background: 0.01,
        ..Setting::PLAIN
    };

    /// All of them.
    pub fn all() -> Vec<Setting> {
        let partial = Effect::Share(0.3, 0.9);
        let noisy = Setting { effect: partial, background: 0.03, shares: Shares::Zipf, ..Setting::PLAIN };
        vec![
            Setting { name: "one cause, no noise", is_easy: true, causes: 1..=1, ..Setting::PLAIN },
            Setting { name: "1 to 3 causes, no noise", is_easy: true, ..Setting::PLAIN },
            Setting {
                name: "no noise, Zipf, 20 attributes",
                is_easy: true,
                attributes: 16..=20,
                shares: Shares::Zipf,
                ..Setting::PLAIN
            },
            Setting { name: "counts, no noise", is_easy: true, background: 0.0, ..Setting::AGGREGATED },
            Setting { name: "partial causes", effect: Effect::Share(0.3, 0.6), shares: Shares::Zipf, ..Setting::PLAIN },
            Setting { name: "background 3 %, partial", ..noisy.clone() },
            Setting { name: "background 10 %, partial", background: 0.1, ..noisy.clone() },
            Setting {
                name: "three times the risk",
                rows: 20_000..=60_000,
                effect: Effect::Times(3.0),
                background: 0.05,
                causes: 1..=2,
                conditions: 1..=2,
                ..noisy.clone()
            },
            Setting { name: "background differs by a value", background_by_value: 0.5, ..noisy.clone() },
            Setting { name: "one value in most rows", shares: Shares::Dominated, ..noisy.clone() },
            Setting { name: "attributes that depend on each other", derived: 0.4, ..noisy.clone() },
            Setting { name: "numbers", numbers: 0.4, causes: 1..=2, ..noisy.clone() },
            Setting {
                name: "20 attributes, all of it",
                attributes: 16..=20,
                derived: 0.3,
                background_by_value: 0.3,
                ..noisy.clone()
            },
            Setting { name: "same attributes", kinship: Kinship::SameAttributes, causes: 2..=3, ..noisy.clone() },
            Setting {
                name: "a shared condition",
                kinship: Kinship::SharedCondition,
                causes: 2..=3,
                conditions: 2..=3,
                ..noisy.clone()
            },
            Setting { name: "nested", kinship: Kinship::Nested, causes: 2..=2, conditions: 1..=2, ..noisy.clone() },
            Setting {
                name: "small: 300 to 2000 rows",
                rows: 300..=2_000,
                causes: 1..=2,
                conditions: 1..=2,
                ..noisy.clone()
            },
            Setting { name: "counts, background 1 %", ..Setting::AGGREGATED },
            Setting { name: "counts, combinations differ", spread: 0.5, ..Setting::AGGREGATED },
            Setting {
                name: "counts, differ much and by a value",
                spread: 0.8,
                background_by_value: 0.3,
                ..Setting::AGGREGATED
            },
            Setting {
                name: "counts, differ much and widely by a value",
                is_beyond: true,
                spread: 0.8,
                background_by_value: 0.5,
                ..Setting::AGGREGATED
            },
            Setting {
                name: "counts, same attributes",
                spread: 0.3,
                kinship: Kinship::SameAttributes,
                causes: 2..=3,
                ..Setting::AGGREGATED
            },
            Setting { name: "nothing planted", causes: 0..=0, ..noisy.clone() },
            Setting {
                name: "nothing planted, differs by a value",
                causes: 0..=0,
                background_by_value: 0.3,
                ..noisy.clone()
            },
            Setting { name: "nothing planted, counts", causes: 0..=0, spread: 0.5, ..Setting::AGGREGATED },
            Setting {
                name: "a million rows, 20 attributes",
                rows: 1_000_000..=1_000_000,
                attributes: 20..=20,
                derived: 0.2,
                ..noisy
            },
        ]
    }
}
