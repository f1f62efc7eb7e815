//! Redrive and discard as a transaction with memory. What happened is a list of [`entry::Entry`], [`memory::Memory`] is what
//! they amount to, and [`machine::Redrive`] decides from it what is done next. Nothing here reads a clock, a file or a system.

pub mod effect;
pub mod entry;
pub mod machine;
pub mod memory;
#[cfg(test)]
mod tests;

pub use effect::{Canary, Effect, Outcome, Shown};
pub use entry::{Action, Chosen, Entry, Order, Person, StopWhy};
pub use machine::Redrive;
pub use memory::{Memory, Stage, Standing};
