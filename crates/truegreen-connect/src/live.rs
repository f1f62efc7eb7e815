//! Messages that are under way, looked at without taking one of them from anybody.

use async_trait::async_trait;
use truegreen_model::letter::Letter;

use crate::Error;

/// Messages looked at of one place, the last ones.
pub const MAX_MESSAGES: usize = 500;
/// Bytes of their bodies, after which no more are asked for.
pub const MAX_BYTES: usize = 16 << 20;

/// What a look at one place came to.
#[derive(Clone, PartialEq, Debug)]
pub enum Glance {
    /// The last messages of a log that anybody may read, a topic or a stream; those that were taken already are among them.
    Messages {
        /// The place as the system calls it: of a subject of NATS, its stream.
        place: String,
        /// At most [`MAX_MESSAGES`]. What tells of a death is empty or meaningless; `died_at` is when each was stored.
        messages: Vec<Letter>,
        /// Whether more lie before them.
        is_cut: bool,
    },
    /// A queue: reading one takes messages away from its consumers, so only how many there are is told.
    Counted {
        /// Messages that wait.
        waiting: u64,
        /// Messages that were given out and not acknowledged, where that is told.
        unacknowledged: Option<u64>,
        /// Who takes from it.
        consumers: u64,
    },
    /// Nothing has this name.
    Nothing,
}

/// A system with queues, topics or streams in which messages are under way.
#[async_trait]
pub trait Live: Send + Sync {
    /// Looks at one place, by the name that its clients know it by. Commits nothing, acknowledges nothing, joins no group.
    ///
    /// # Errors
    /// Where it cannot be asked.
    async fn glance(&self, place: &str) -> Result<Glance, Error>;
}
