//! The words of Truegreen as plain data. No I/O, no clock, no logic beyond what keeps a value well-formed.
//!
//! Read in this order: [`time`], [`flow`] (the contract), [`observation`] (one step seen for one key), [`verdict`] (how a
//! journey ended), [`confirmation`] (whether it did happen), [`books`] (the equation), [`finding`]; why: [`diagnosis`] with
//! [`contrast`] (what is different), [`change`] (what changed), [`suspect`] (what caused it) and [`surroundings`] (what else is known); [`incident`] (the record);
//! [`report`], [`passage`], [`answer`] and [`map`] (the stable JSON), [`probe`] (what a system says of itself) and
//! [`letter`] (dead letters).

pub mod answer;
pub mod books;
pub mod change;
pub mod confirmation;
pub mod contrast;
pub mod diagnosis;
pub mod finding;
pub mod flow;
pub mod incident;
pub mod letter;
pub mod map;
pub mod observation;
pub mod passage;
pub mod probe;
pub mod report;
pub mod surroundings;
pub mod suspect;
pub mod time;
pub mod verdict;
