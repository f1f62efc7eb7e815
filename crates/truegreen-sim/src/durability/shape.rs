//! What a world is drawn from, small enough to be written into a line and made smaller.

use std::fmt;
use std::str::FromStr;

use fastrand::Rng;

/// One world. The same shape gives the same world.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Shape {
    /// For whatever is not said here: delays, losses, accidents of the disk.
    pub seed: u64,
    /// Orders that are placed.
    pub orders: u16,
    /// Instances of each service.
    pub instances: u16,
    /// Whether checkpoints are made, and the log is dropped behind them.
    pub checkpoints: bool,
    /// What goes wrong, and when.
    pub troubles: Vec<Trouble>,
}

/// Something that goes wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Trouble {
    /// What.
    pub what: What,
    /// Milliseconds after the beginning.
    pub at_ms: u32,
    /// How many effects of the server later, or for how many seconds.
    pub n: u16,
}

/// Kinds of trouble.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum What {
    /// The process is killed, before the n-th effect from now. What it had written stays.
    Kill,
    /// The power fails, before the n-th effect from now.
    PowerCut,
    /// The process is asked to stop.
    Stop,
    /// The disk is full for n seconds.
    FullDisk,
    /// The next sync fails.
    FailedSync,
    /// The next write fails half-way.
    FailedWrite,
    /// For n seconds the server is too busy to take anything.
    Busy,
    /// The wall clock is set back by n seconds.
    ClockBack,
}

impl What {
    /// Each of them.
    pub const ALL: [What; 8] = [
        What::Kill,
        What::PowerCut,
        What::Stop,
        What::FullDisk,
        What::FailedSync,
        What::FailedWrite,
        What::Busy,
        What::ClockBack,
    ];
}

/// Milliseconds in which troubles begin.
const TROUBLED_MS: u32 = 200_000;

impl Shape {
    /// The world of a seed.
    pub fn of(seed: u64) -> Shape {
        let mut rng = Rng::with_seed(seed);
        let troubles = (0..rng.usize(0..=6)).map(|_| Trouble {
            what: *rng.choice(&What::ALL).unwrap_or(&What::Kill),
            at_ms: rng.u32(..TROUBLED_MS),
            n: rng.u16(0..=20),
        });
        let mut troubles: Vec<Trouble> = troubles.collect();
        troubles.sort_by_key(|trouble| trouble.at_ms);
        Shape { seed, orders: rng.u16(1..=16), instances: rng.u16(1..=2), checkpoints: rng.bool(), troubles }
    }

    /// Every shape that is a little smaller.
    pub fn smaller(&self) -> Vec<Shape> {
        let mut smaller = Vec::new();
        for index in 0..self.troubles.len() {
            let mut fewer = self.clone();
            fewer.troubles.remove(index);
            smaller.push(fewer);
        }
        if self.orders > 1 {
            smaller.push(Shape { orders: self.orders / 2, ..self.clone() });
            smaller.push(Shape { orders: self.orders - 1, ..self.clone() });
        }
        if self.instances > 1 {
            smaller.push(Shape { instances: 1, ..self.clone() });
        }
        if self.checkpoints {
            smaller.push(Shape { checkpoints: false, ..self.clone() });
        }
        smaller
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shape { seed, orders, instances, checkpoints, .. } = self;
        write!(f, "{seed} {orders} {instances} {}", if *checkpoints { "checkpoints" } else { "replay" })?;
        self.troubles.iter().try_for_each(|Trouble { what, at_ms, n }| write!(f, " {what:?}@{at_ms}+{n}"))
    }
}

impl FromStr for Shape {
    type Err = String;

    fn from_str(line: &str) -> Result<Shape, String> {
        let unreadable = || format!("no shape of a world: {line}");
        let mut words = line.split_whitespace();
        let mut word = || words.next().ok_or_else(unreadable);
        let seed = word()?.parse().map_err(|_| unreadable())?;
        let orders = word()?.parse().map_err(|_| unreadable())?;
        let instances = word()?.parse().map_err(|_| unreadable())?;
        let checkpoints = word()? == "checkpoints";
        let trouble = |word: &str| {
            let (what, when) = word.split_once('@')?;
            let (at_ms, n) = when.split_once('+')?;
            let what = What::ALL.into_iter().find(|known| format!("{known:?}") == what)?;
            Some(Trouble { what, at_ms: at_ms.parse().ok()?, n: n.parse().ok()? })
        };
        let troubles = words.map(trouble).collect::<Option<Vec<_>>>().ok_or_else(unreadable)?;
        Ok(Shape { seed, orders, instances, checkpoints, troubles })
    }
}
