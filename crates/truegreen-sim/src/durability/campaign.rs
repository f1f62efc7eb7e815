//! Many worlds, and one that is broken made small.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::Broken;
use super::shape::Shape;
use super::world::{Tally, live};
use crate::compare::differences;
use crate::reference::Reference;
use crate::run::Run;
use crate::world::{self, Trouble, World};

/// Shapes that once broke something, one a line.
pub const KEPT: &str = include_str!("../../kept-shapes.txt");

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Tally) {
        self.worlds += other.worlds;
        self.crashes += other.crashes;
        self.stops += other.stops;
        self.acknowledged += other.acknowledged;
        self.refused += other.refused;
        self.checkpoints += other.checkpoints;
    }
}

/// Lives through a world; a panic is a broken sentence too.
///
/// # Errors
/// The sentence.
pub fn hold(shape: &Shape) -> Result<Tally, Broken> {
    catch_unwind(AssertUnwindSafe(|| live(shape))).unwrap_or_else(|panic| Err(said(&panic)))
}

/// The smallest shape found that breaks something, and what.
pub fn shrink(shape: Shape, broken: Broken) -> (Shape, Broken) {
    let smaller = shape.smaller().into_iter().find_map(|smaller| Some((hold(&smaller).err()?, smaller)));
    match smaller {
        Some((broken, smaller)) => shrink(smaller, broken),
        None => (shape, broken),
    }
}

/// The world of the ledger that this seed names.
pub fn ledger_shape(seed: u64) -> world::Shape {
    let trouble = Trouble::ALL[(seed % Trouble::ALL.len() as u64) as usize];
    world::Shape { seed, trouble, journeys: (0..1 + seed % 12).map(|journey| seed * 1000 + journey).collect() }
}

/// In the end every verdict of a world, and the books, are those of the naive reference.
///
/// # Errors
/// How they differ.
pub fn hold_ledger(shape: &world::Shape) -> Result<(), Broken> {
    let differ = || {
        let world = World::of(shape);
        let mut run = Run::new(world.flows.clone());
        run.through(&world.happenings, world.end)?;
        let reference = Reference::of_happenings(world.flows.clone(), &world.happenings);
        match differences(&run, &reference, &world.flows, world.end, true) {
            none if none.is_empty() => Ok(()),
            some => Err(some.join("\n")),
        }
    };
    catch_unwind(AssertUnwindSafe(differ)).unwrap_or_else(|panic| Err(said(&panic)))
}

/// The smallest such shape found: journeys are left out one by one.
pub fn shrink_ledger(shape: world::Shape, broken: Broken) -> (world::Shape, Broken) {
    let fewer = (0..shape.journeys.len()).filter(|_| shape.journeys.len() > 1).find_map(|index| {
        let mut fewer = shape.clone();
        fewer.journeys.remove(index);
        Some((hold_ledger(&fewer).err()?, fewer))
    });
    match fewer {
        Some((broken, fewer)) => shrink_ledger(fewer, broken),
        None => (shape, broken),
    }
}

fn said(panic: &Box<dyn std::any::Any + Send>) -> Broken {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    format!("nothing panics: {}", text.unwrap_or("without a word"))
}
