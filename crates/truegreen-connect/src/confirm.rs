//! Whether it did happen: the effect of a step looked up where it must have left one.

use std::collections::BTreeMap;

use async_trait::async_trait;

use crate::Error;

/// Keys in one question.
pub const MAX_KEYS: usize = 100;
/// Rows taken of an answer for each key; more is an error, not an answer.
pub const MAX_ROWS: usize = 10;
/// Bytes of each of them.
pub const MAX_ROW_BYTES: usize = 4096;

/// What a system found for one key.
#[derive(Clone, PartialEq, Debug)]
pub enum Found {
    /// These rows, each a column's name and its value as text; none where it is NULL.
    Rows(Vec<BTreeMap<String, Option<String>>>),
    /// Nothing there.
    Nothing,
}

/// A system that can be asked for the effect of a step. Questions are read-only and have a time limit, by the system itself
/// where it can keep one: a question that writes, sleeps or answers with a million rows does no harm and is an error.
#[async_trait]
pub trait Confirm: Send + Sync {
    /// Whether this is a question that can be asked: one statement, or command, with exactly one parameter, the key (`$1`
    /// in PostgreSQL, `?` in MySQL, `{key}` in a command of Redis or a URL's path).
    ///
    /// # Errors
    /// What is wrong with it, and how to mend it.
    fn check(&self, question: &str) -> Result<(), String>;

    /// Asks for each of at most [`MAX_KEYS`] keys, in one connection; answers are in their order. Without any key it
    /// tells at most that it cannot be reached.
    ///
    /// # Errors
    /// Where nothing could be asked at all.
    async fn ask(&self, question: &str, keys: &[String]) -> Result<Vec<Result<Found, Error>>, Error>;

    /// Seconds that what is asked may be behind the truth: a replica's lag. `None` where it cannot be told.
    async fn behind(&self) -> Option<f64>;
}
