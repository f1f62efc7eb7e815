//! Generated traffic with fixed seeds: what is learned of it, and what is told of more of it.

mod dice;
mod process;
mod shop;
