//! What systems said when one key was followed and they were asked for it themselves, as JSON. Stable: fields are added,
//! never renamed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What one system said of one key.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct SystemAnswer {
    /// Its name in the configuration.
    pub system: String,
    /// What it is: `postgres`, `redis`, `kafka`, ...
    pub kind: String,
    /// What was looked into: `effect` (a step's `confirm`), `question` (one of `systems.NAME.trace`), `dead_letters` or
    /// `messages` (under way).
    pub way: String,
    /// The step whose effect it is, the question's name, or the queue, topic, stream or table; several are separated by commas.
    pub of: String,
    /// The question as contract or configuration give it, with a place for the key; absent for letters and messages.
    pub question: Option<String>,
    /// The key that was asked for.
    pub key: String,
    /// The flow that it is about, where it is about one.
    pub flow: Option<String>,
    /// The step beside which it stands, where there is one.
    pub step: Option<String>,
    /// RFC 3339: when it was asked.
    pub asked_at: String,
    /// How long that took.
    pub seconds: f64,
    /// `found`, `not_found` or `cannot_tell`.
    pub standing: String,
    /// Whether the effect is there, by what the contract expects; absent for other ways, and where it cannot be told.
    pub is_there: Option<bool>,
    /// The answer in words, or why there is none.
    pub says: String,
    /// The rows that were found, by column; `null` for NULL. Secrets are hidden, long values cut.
    pub rows: Vec<BTreeMap<String, Option<String>>>,
    /// The dead letters, or messages, that name the key or belong to its trace.
    pub letters: Vec<FoundLetter>,
}

/// A dead letter or message that was found.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct FoundLetter {
    /// Its id in its place.
    pub id: String,
    /// RFC 3339: when it died, or was stored; empty where nothing tells.
    pub at: String,
    /// The type of the error; empty where nothing tells, and for messages under way.
    pub error_type: String,
    /// What the error said, cut and with its secrets hidden.
    pub error: String,
    /// By what it was found: `key`, or `trace`.
    pub by: String,
    /// The command that shows it whole; absent for messages under way.
    pub command: Option<String>,
}
