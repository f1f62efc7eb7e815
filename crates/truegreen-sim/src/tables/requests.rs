//! Tables of single requests as services log them: thirty attributes of which many follow from others, of which some have
//! thousands of values, some name single rows, some are missing here and there; flags, counters, sizes and times.

use fastrand::Rng;

use super::chance::{Draw, between, drawn, normal};
use super::setting::{Form, Shares};
use super::world::{ABSENT, Planted, Values, World};

/// Tries to find a place for a cause.
const TRIES: usize = 3_000;
/// What each condition must add in nats, and each cause beyond what it could have been mistaken for, for anybody to tell it:
/// there are about 30 attributes of up to 2,000 values.
const TELLING: f64 = 13.0;

/// One kind of them.
#[derive(Clone, Debug)]
pub struct Requests {
    /// Its name in the report.
    pub name: &'static str,
    /// Rows, at least and at most.
    pub rows: std::ops::RangeInclusive<usize>,
    /// How many causes.
    pub causes: std::ops::RangeInclusive<usize>,
    /// How many conditions each has.
    pub conditions: std::ops::RangeInclusive<usize>,
    /// Which attributes are in them.
    pub of: Of,
    /// Share of the requests within a cause that fail.
    pub effect: (f64, f64),
    /// Share that fails anyway.
    pub background: (f64, f64),
    /// Failing requests of each cause at most; requests beyond go well.
    pub few: Option<usize>,
    /// Share of all requests that a cause covers.
    pub covers: (f64, f64),
}

/// Which attributes causes are made of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Of {
    /// Any.
    All,
    /// At least one number with a threshold.
    Numbers,
    /// Any value but one, alone.
    Opposites,
}

impl Requests {
    const PLAIN: Requests = Requests {
        name: "",
        rows: 6_000..=20_000,
        causes: 1..=2,
        conditions: 1..=3,
        of: Of::All,
        effect: (0.4, 1.0),
        background: (0.002, 0.02),
        few: None,
        covers: (0.005, 0.4),
    };

    /// All of them.
    pub fn all() -> Vec<Requests> {
        vec![
            Requests { name: "requests, 32 attributes", ..Requests::PLAIN },
            Requests { name: "requests, a threshold", of: Of::Numbers, causes: 1..=1, ..Requests::PLAIN },
            Requests {
                name: "requests, 5 to 20 failing",
                causes: 1..=1,
                conditions: 1..=2,
                effect: (1.0, 1.0),
                background: (0.0, 0.0),
                few: Some(20),
                covers: (0.0002, 0.004),
                ..Requests::PLAIN
            },
            Requests {
                name: "requests, 5 to 20 of many fail",
                causes: 1..=1,
                conditions: 1..=1,
                effect: (1.0, 1.0),
                background: (0.0, 0.0),
                few: Some(20),
                covers: (0.01, 0.2),
                ..Requests::PLAIN
            },
            Requests {
                name: "requests, half of all fail",
                covers: (0.3, 0.6),
                conditions: 1..=2,
                causes: 1..=1,
                background: (0.02, 0.1),
                effect: (0.7, 1.0),
                ..Requests::PLAIN
            },
            Requests {
                name: "requests, nine of ten fail",
                conditions: 1..=1,
                causes: 1..=1,
                of: Of::Opposites,
                covers: (0.7, 0.95),
                effect: (0.95, 1.0),
                background: (0.02, 0.2),
                ..Requests::PLAIN
            },
            Requests {
                name: "requests, most fail anyway",
                causes: 1..=1,
                conditions: 1..=2,
                background: (0.5, 0.8),
                effect: (0.95, 1.0),
                covers: (0.02, 0.3),
                ..Requests::PLAIN
            },
            Requests {
                name: "requests, two groups and a fifth of noise",
                causes: 2..=2,
                conditions: 1..=2,
                effect: (0.6, 1.0),
                background: (0.01, 0.02),
                covers: (0.02, 0.1),
                ..Requests::PLAIN
            },
            Requests { name: "requests, nothing planted", causes: 0..=0, background: (0.01, 0.2), ..Requests::PLAIN },
        ]
    }
}

impl World {
    /// One of this kind; none where its causes found no place.
    pub(super) fn requests(kind: &Requests, seed: u64) -> Option<World> {
        let mut rng = Rng::with_seed(seed.wrapping_mul(0x2_c1b3_c6d1).wrapping_add(kind.name.len() as u64));
        let rows = drawn(&mut rng, kind.rows.clone());
        let Columns { values, roots } = Columns::of(rows, &mut rng);
        let mut world = World::blank(values, roots, vec![1; rows], Form::Single);
        let background = between(&mut rng, kind.background);
        let wanted = drawn(&mut rng, kind.causes.clone());
        let mut effects = Vec::new();
        for _ in 0..TRIES {
            if world.causes.len() == wanted {
                world.fail_requests(kind, background, &effects, &mut rng);
                return Some(world);
            }
            let effect = between(&mut rng, kind.effect);
            let Some(cause) = world.request_cause(kind, &mut rng) else { continue };
            if world.is_telling(kind, &cause, effect, background) {
                world.causes.push(cause);
                effects.push(effect);
            }
        }
        None
    }

    /// Conditions that hold for some row together.
    fn request_cause(&self, kind: &Requests, rng: &mut Rng) -> Option<Vec<Planted>> {
        let row = rng.usize(..self.rows());
        let mut attributes: Vec<usize> = (0..self.values.len()).filter(|at| !NAMES_ROWS.contains(at)).collect();
        rng.shuffle(&mut attributes);
        let is_number = |at: &usize| matches!(self.values[*at], Values::Numbers(_));
        match kind.of {
            Of::Numbers => attributes.sort_by_key(|at| !is_number(at)),
            Of::Opposites => attributes.retain(|at| !is_number(at)),
            Of::All => {}
        }
        let mut cause: Vec<Planted> = Vec::new();
        let conditions = drawn(rng, kind.conditions.clone());
        for attribute in attributes {
            let is_free = cause.iter().all(|one| self.roots[one.attribute()] != self.roots[attribute]);
            if cause.len() == conditions {
                break;
            }
            if is_free {
                cause.extend(self.condition(kind, attribute, row, rng));
            }
        }
        (cause.len() == conditions).then_some(cause)
    }

    fn condition(&self, kind: &Requests, attribute: usize, row: usize, rng: &mut Rng) -> Option<Planted> {
        match &self.values[attribute] {
            Values::Words(words) if kind.of == Of::Opposites => Some(Planted::IsNot(attribute, words[row])),
            Values::Words(words) => Some(Planted::Is(attribute, words[row])),
            Values::Numbers(numbers) => {
                // As people set limits: a quantile, and one that is less than what this row has.
                let mut sorted: Vec<f64> = numbers.iter().copied().filter(|number| !number.is_nan()).collect();
                sorted.sort_by(f64::total_cmp);
                let at = (sorted.len() as f64 * (0.6 + 0.37 * rng.f64())) as usize;
                let cut = sorted[at.min(sorted.len() - 1)];
                (numbers[row] > cut).then_some(Planted::Above(attribute, cut))
            }
        }
    }

    /// Whether it can be told from chance, and from each of its conditions without the others, by anybody.
    fn is_telling(&self, kind: &Requests, cause: &[Planted], effect: f64, background: f64) -> bool {
        let inside: Vec<usize> = (0..self.rows()).filter(|row| self.holds(cause, *row)).collect();
        let (n, rows) = (inside.len() as f64, self.rows() as f64);
        if n < kind.covers.0 * rows || n > kind.covers.1 * rows {
            return false;
        }
        let is_apart = self.causes.iter().all(|other| {
            let common = inside.iter().filter(|row| self.holds(other, **row)).count();
            let of = (0..self.rows()).filter(|row| self.holds(other, *row)).count();
            common * 3 <= inside.len() && common * 3 <= of
        });
        let failing = kind.few.map_or(n * effect, |few| n.min(few as f64));
        let rate = failing / n;
        let usual = background.max(1.0 / rows);
        let apart = |wider: f64| {
            // What two rates explain better than one.
            let beyond = wider - n;
            let ln = |bad: f64, all: f64| {
                let share = (bad / all).clamp(1e-9, 1.0 - 1e-9);
                bad * share.ln() + (all - bad) * (1.0 - share).ln()
            };
            let (bad, others) = (n * rate, beyond * usual);
            ln(bad, n) + ln(others, beyond.max(1.0)) - ln(bad + others, wider)
        };
        let is_told_apart = |left_out: usize| {
            let mut wider = cause.to_vec();
            wider.remove(left_out);
            let wider = (0..self.rows()).filter(|row| self.holds(&wider, *row)).count();
            apart(wider as f64) >= TELLING
        };
        is_apart
            && failing >= 5.0
            && apart(rows) >= TELLING * (1.0 + cause.len() as f64)
            && (0..cause.len()).all(is_told_apart)
    }

    fn fail_requests(&mut self, kind: &Requests, background: f64, effects: &[f64], rng: &mut Rng) {
        let mut left = vec![kind.few; effects.len()];
        let mut order: Vec<usize> = (0..self.rows()).collect();
        rng.shuffle(&mut order);
        for row in order {
            let mut is_failing = rng.f64() < background;
            for (at, effect) in effects.iter().enumerate() {
                if self.holds(&self.causes[at], row) && left[at] != Some(0) && rng.f64() < *effect {
                    is_failing = true;
                    left[at] = left[at].map(|left| left - 1);
                }
            }
            self.bad[row] = u64::from(is_failing);
        }
    }
}

/// Request and trace ids, the time, users, coupons, and what is always the same: no cause is made of these.
const NAMES_ROWS: [usize; 6] = [10, 11, 12, 13, 30, 31];

/// Attributes one after another, with what each follows from.
struct Columns {
    values: Vec<Values>,
    roots: Vec<usize>,
}

impl Columns {
    fn of(rows: usize, rng: &mut Rng) -> Columns {
        let mut columns = Columns { values: Vec::new(), roots: Vec::new() };
        let with = |columns: &mut Columns, root: Option<usize>, one: &mut dyn FnMut(usize, &[Values]) -> u32| {
            let words = (0..rows).map(|row| one(row, &columns.values)).collect();
            columns.add(Values::Words(words), root);
        };
        let word = |values: &[Values], at: usize, row: usize| values[at].words()[row];
        let zipf = |count: usize| Draw::new(Shares::Zipf, count);
        let (regions, tenants, endpoints) = (zipf(5), zipf(2_000), zipf(40));
        with(&mut columns, None, &mut |_, _| regions.one(rng));
        with(&mut columns, Some(0), &mut |row, all| word(all, 0, row) * 3 + rng.u32(..3));
        with(&mut columns, Some(0), &mut |row, all| word(all, 1, row) * 4 + rng.u32(..4));
        with(&mut columns, Some(0), &mut |row, all| word(all, 2, row) * 2 + rng.u32(..2));
        with(&mut columns, Some(0), &mut |row, all| word(all, 2, row) / 2);
        // 5: the version, of which some hosts have a new one.
        with(&mut columns, None, &mut |row, all| if word(all, 2, row) % 5 == 0 { 2 } else { rng.u32(..2) });
        with(&mut columns, Some(5), &mut |row, all| word(all, 5, row) / 2);
        with(&mut columns, Some(5), &mut |row, all| if rng.f64() < 0.05 { 3 } else { word(all, 5, row) });
        with(&mut columns, None, &mut |_, _| tenants.one(rng));
        with(&mut columns, Some(8), &mut |row, all| word(all, 8, row) % 4);
        // 10: users, request ids, trace ids, the time.
        with(&mut columns, Some(10), &mut |_, _| rng.u32(..rows as u32 / 3));
        with(&mut columns, None, &mut |row, _| row as u32);
        with(&mut columns, None, &mut |row, _| rows as u32 - 1 - row as u32);
        columns.add(Values::Numbers((0..rows).map(|row| 1_770_000_000_000.0 + 37.0 * row as f64).collect()), None);
        // 14: endpoint, method, handler; country, language; browser and its version, telephones.
        with(&mut columns, None, &mut |_, _| endpoints.one(rng));
        with(&mut columns, Some(14), &mut |row, all| word(all, 14, row) % 4);
        with(&mut columns, Some(14), &mut |row, all| if rng.f64() < 0.03 { 0 } else { word(all, 14, row) });
        let countries = zipf(60);
        with(&mut columns, None, &mut |_, _| countries.one(rng));
        with(&mut columns, Some(17), &mut |row, all| if rng.f64() < 0.1 { 0 } else { word(all, 17, row) / 3 });
        let browsers = zipf(8);
        with(&mut columns, None, &mut |_, _| if rng.f64() < 0.3 { ABSENT } else { browsers.one(rng) });
        let of_browser = |all: &[Values], row: usize| word(all, 19, row);
        with(&mut columns, Some(19), &mut |row, all| match of_browser(all, row) {
            ABSENT => ABSENT,
            browser => browser * 6 + rng.u32(..6),
        });
        with(&mut columns, Some(19), &mut |row, all| u32::from(of_browser(all, row) % 3 == 1));
        // 22: flags, the cache.
        with(&mut columns, None, &mut |_, _| if rng.bool() { ABSENT } else { rng.u32(..2) });
        with(&mut columns, None, &mut |_, _| u32::from(rng.f64() < 0.1));
        with(&mut columns, None, &mut |_, _| if rng.f64() < 0.2 { ABSENT } else { u32::from(rng.f64() < 0.6) });
        // 25: retries, payload, latency, the queue.
        let mut retries = || {
            let mut count = 0.0;
            while rng.f64() < 0.3 && count < 6.0 {
                count += 1.0;
            }
            count
        };
        columns.add(Values::Numbers((0..rows).map(|_| retries()).collect()), None);
        let mut sizes = |middle: f64, spread: f64| -> Vec<f64> {
            (0..rows).map(|_| (middle * (spread * normal(rng)).exp()).round()).collect()
        };
        let (payload, latency) = (sizes(4_000.0, 1.3), sizes(80.0, 0.7));
        columns.add(Values::Numbers(payload), None);
        columns.add(Values::Numbers(latency), None);
        let mut queued = || if rng.f64() < 0.25 { f64::NAN } else { rng.u32(..200).into() };
        columns.add(Values::Numbers((0..rows).map(|_| queued()).collect()), None);
        // 29: the shard, coupons, what is always the same.
        with(&mut columns, None, &mut |_, _| rng.u32(..16));
        with(&mut columns, None, &mut |row, _| if rng.f64() < 0.92 { ABSENT } else { row as u32 });
        with(&mut columns, None, &mut |_, _| 0);
        columns
    }

    fn add(&mut self, values: Values, root: Option<usize>) {
        self.roots.push(root.unwrap_or(self.values.len()));
        self.values.push(values);
    }
}
