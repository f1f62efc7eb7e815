//! Dead letters: messages that a consumer could not process, and that were put aside.

use serde::{Deserialize, Serialize};

/// One dead letter, as it lies there. What it carries is hostile, and is bounded where it is read.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Letter {
    /// What tells it from all others in its place, and stays the same each time it is looked at.
    pub id: String,
    /// Where it lies: a queue, topic, stream or table.
    pub place: String,
    /// Where it came from and would go back to: a queue, topic, subject or stream; empty where nothing tells.
    pub origin: String,
    /// Its routing key, message key or subject at its origin; empty for none.
    pub key: String,
    /// The message's own id, where its producer gave it one: `message-id`, `Nats-Msg-Id`, ...
    pub message_id: String,
    /// Its type, by header or by a field of its body; empty where nothing tells.
    pub message_type: String,
    /// The type of the error that put it here, or the broker's reason: `rejected`, `expired`, `max_deliveries`.
    pub error_type: String,
    /// What the error said.
    pub error: String,
    /// The first frame of the error's stack that is no library's; empty where there is none.
    pub frame: String,
    /// How often it died so far, where that is told; at least 1.
    pub deaths: u32,
    /// RFC 3339: when it died; empty where nothing tells.
    pub died_at: String,
    /// W3C `traceparent` of its first life; empty where it carries none.
    pub traceparent: String,
    /// All of its headers, as text; what is no UTF-8 in hexadecimal.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: Vec<u8>,
    /// Whether the body was longer than what was read of it. Such a letter is shown, and never sent.
    pub is_cut: bool,
}
