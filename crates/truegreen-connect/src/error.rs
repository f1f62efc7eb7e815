//! Why a system could not be asked, or would not do it.

use std::time::Duration;

/// Why a system could not be asked, or would not do it. Told to people on call as it is; carries no secret.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Error {
    /// No connection: refused, reset, no such host.
    #[error("cannot be reached: {0}")]
    Unreachable(String),
    /// It did not answer in time: a black hole, or far too slow.
    #[error("did not answer {what} within {} ms", limit.as_millis())]
    TimedOut {
        /// What it was asked.
        what: &'static str,
        /// How long that was waited for.
        limit: Duration,
    },
    /// It does not let us in, or not do this.
    #[error("does not let us: {0}\nhint: see the user, the password and what they may do")]
    Denied(String),
    /// It answered that it cannot: read-only, a full disk, no such table.
    #[error("answered: {0}")]
    Answered(String),
    /// It did not take what it was sent, and said so: nothing of it is there.
    #[error("refused: {0}")]
    Refused(String),
    /// What was asked is not to be asked: more than one statement, a parameter too many.
    #[error("not asked: {0}")]
    NotAsked(String),
    /// Its answer is not what its protocol promises.
    #[error("its answer makes no sense: {0}")]
    Nonsense(String),
    /// This build cannot ask it.
    #[error("this build has no client for {0}\nhint: use a released binary, or build with --features {0}")]
    NotBuilt(&'static str),
}
