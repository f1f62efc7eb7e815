//! Which keys there are: some of them at a time, for whoever compares what two systems say of the same key.

use async_trait::async_trait;

use crate::Error;

/// Keys that one listing gives at most.
pub const MAX_LISTED: usize = 1000;
/// Bytes of a key; a longer one is left out.
pub const MAX_KEY_BYTES: usize = 1024;

/// Some keys, and where the rest begins.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Listed {
    /// May name one twice, and may be empty where more is to come.
    pub keys: Vec<String>,
    /// Where to go on; none where nothing more is to come, and the next listing begins anew.
    pub next: Option<String>,
}

/// A system that can tell which keys it has. Listings are read-only, have a time limit, and do so little at once that nobody
/// else waits for it.
#[async_trait]
pub trait Keys: Send + Sync {
    /// Whether keys can be listed by this: a pattern of names with `{key}` once (Redis), or one SELECT without a parameter, the
    /// first column of which is the key (PostgreSQL, MySQL).
    ///
    /// # Errors
    /// What is wrong with it, and how to mend it.
    fn check(&self, which: &str) -> Result<(), String>;

    /// By what those keys are listed that this question asks for, where that can be read off it.
    fn asked_by(&self, question: &str) -> Option<String> {
        let _none_can = question;
        None
    }

    /// About `limit` keys, at most [`MAX_LISTED`], from where an earlier listing ended.
    ///
    /// # Errors
    /// Where they cannot be listed.
    async fn list(&self, which: &str, from: Option<&str>, limit: usize) -> Result<Listed, Error>;
}
