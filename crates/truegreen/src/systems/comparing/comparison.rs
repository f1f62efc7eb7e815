//! A comparison as the configuration names it, and whether its systems can be asked what it asks of them.

use std::sync::Arc;
use std::time::Duration;

use truegreen_connect::confirm::MAX_KEYS;

use super::value::Pick;
use crate::confirming::{Source, Sources};

/// Keys compared in a round where nothing else is said.
pub const SAMPLE: usize = 50;
/// Keys of a round, at least: one that is known to differ, and a new one.
pub const LEAST_SAMPLE: usize = 2;
/// And at most.
pub const MOST_SAMPLE: usize = MAX_KEYS;
/// Comparisons of one system.
pub const MAX_COMPARISONS: usize = 20;

/// What a cache says of a key, held against what the source says of it. `systems.CACHE.compare.NAME`.
#[derive(Clone, PartialEq, Debug)]
pub struct Comparison {
    /// Its name, which is shown everywhere.
    pub name: String,
    /// What the cache is asked for a key.
    pub cache: Asked,
    /// Which keys are asked for.
    pub keys: KeysOf,
    /// What the source is asked for the same key.
    pub source: Asked,
    /// The column of the source's answer with the seconds since when it says so. `source.age`.
    pub age: Option<String>,
    /// How long the cache may lawfully be behind the source. `within`.
    pub within: Duration,
    /// Keys compared in a round. `sample`, default [`SAMPLE`].
    pub sample: usize,
    /// How often. `every`, default that of the cache's system.
    pub every: Duration,
}

/// What one system is asked for a key, and what of its answer counts.
#[derive(Clone, PartialEq, Debug)]
pub struct Asked {
    /// The system's name.
    pub system: String,
    /// The question, as [`truegreen_connect::confirm::Confirm`] takes it.
    pub ask: String,
    /// What of the answer is compared. `value`, default all of it.
    pub value: Pick,
}

/// Which keys are compared. `keys`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct KeysOf {
    /// The system that lists them; none: the cache's.
    pub system: Option<String>,
    /// How, as [`truegreen_connect::keys::Keys`] takes it; none: what `ask` asks for, where that can be read off it.
    pub ask: Option<String>,
}

const NOT_LISTED: &str = "`keys`: keys cannot be listed in a system of that kind\n\
                          hint: list them in another one, with `keys: {system: .., ask: ..}`";
const NO_KEYS: &str = "`keys` is missing, and cannot be read off `ask`\n\
                       hint: a pattern of names for Redis, as in product:{key}; a SELECT of keys for SQL";

/// The systems of a comparison, which can be asked what it asks.
#[derive(Clone)]
pub(super) struct Parties {
    pub(super) cache: Arc<dyn Source>,
    pub(super) source: Arc<dyn Source>,
    pub(super) keys: Arc<dyn Source>,
    /// By what keys are listed.
    pub(super) which: String,
}

impl Parties {
    /// # Errors
    /// What cannot be asked, and how to mend it.
    pub(super) fn of(comparison: &Comparison, sources: &Sources) -> Result<Parties, String> {
        let Comparison { cache, source, keys, .. } = comparison;
        let asked = |of: &Asked, field: &str| -> Result<Arc<dyn Source>, String> {
            let found = sources.find(&of.system)?;
            let checked = found.confirm().map_or(Ok(()), |confirm| confirm.check(&of.ask));
            checked.map_err(|why| format!("`{field}`: {why}")).map(|()| found)
        };
        let (cache, source) = (asked(cache, "ask")?, asked(source, "source.ask")?);
        let lister = match &keys.system {
            Some(name) => sources.find(name)?,
            None => Arc::clone(&cache),
        };
        let listing = lister.keys().ok_or(NOT_LISTED)?;
        let which = keys.ask.clone().or_else(|| listing.asked_by(&comparison.cache.ask)).ok_or(NO_KEYS)?;
        listing.check(&which).map_err(|why| format!("`keys`: {why}"))?;
        Ok(Parties { cache, source, keys: lister, which })
    }
}

/// What of these comparisons cannot be asked, and why, a sentence each.
pub fn mistakes(comparisons: &[Comparison], sources: &Sources) -> Vec<String> {
    let mistake = |comparison: &Comparison| {
        let why = Parties::of(comparison, sources).err()?;
        Some(format!("`{}` of the system `{}` is not compared: {why}", comparison.name, comparison.cache.system))
    };
    comparisons.iter().filter_map(mistake).collect()
}
