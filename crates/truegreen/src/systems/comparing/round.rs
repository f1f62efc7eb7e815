//! One round of asking: first the cache, then the source for what the cache has. A change in between makes a key differ once,
//! and what differs once is never stale.

use std::time::Duration;

use truegreen_connect::Error;
use truegreen_connect::confirm::{Confirm, Found};

use super::comparison::{Asked, Comparison, Parties};
use super::value::{Value, printable};
use crate::confirming::Source;

/// How long it has been since the comparison began.
pub(super) type Clock = dyn Fn() -> Duration + Send + Sync;

/// Characters of the reason why one key could not be compared.
const MAX_REASON: usize = 300;

/// Seconds that clocks may differ by; an age further below 0 is a mistake.
const MAX_SKEW: f64 = 60.0;

/// What both said of some keys.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Round {
    pub(super) looks: Vec<Look>,
    pub(super) times: Times,
}

/// What both said of one key.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Look {
    pub(super) key: String,
    pub(super) seen: Seen,
}

/// What was seen of it.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Seen {
    /// It is not in the cache.
    Missed,
    /// One of them could not say.
    Untold(String),
    Both {
        cached: Value,
        /// None where the source has no such row.
        source: Option<Value>,
        /// Since when the source says so, where it tells.
        age: Option<Duration>,
    },
}

/// When it was, since the comparison began, and how far behind the truth each was.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Times {
    pub(super) cache_asked: Duration,
    pub(super) cache_answered: Duration,
    pub(super) cache_behind: Duration,
    pub(super) source_asked: Duration,
    pub(super) source_answered: Duration,
    pub(super) source_behind: Duration,
}

/// Asks both for these keys.
///
/// # Errors
/// Why nothing was compared.
pub(super) async fn ask(
    comparison: &Comparison,
    parties: &Parties,
    keys: Vec<String>,
    clock: &Clock,
) -> Result<Round, String> {
    let Comparison { cache, source, .. } = comparison;
    // A lag that grows between this and the question is one that was there.
    let mut times = Times {
        cache_behind: behind(&*parties.cache, cache).await?,
        source_behind: behind(&*parties.source, source).await?,
        ..Times::default()
    };
    times.cache_asked = clock();
    let cached = answers(&*parties.cache, cache, &keys).await?;
    times.cache_answered = clock();

    let mut looks = Vec::new();
    let mut held: Vec<(String, Value)> = Vec::new();
    for (key, answer) in keys.into_iter().zip(cached) {
        match picked(cache, None, answer) {
            Ok(Some(value)) => held.push((key, value)),
            Ok(None) => looks.push(Look { key, seen: Seen::Missed }),
            Err(why) => looks.push(Look { key, seen: Seen::Untold(why) }),
        }
    }
    times.source_asked = clock();
    let asked: Vec<String> = held.iter().map(|(key, _)| key.clone()).collect();
    let said = if asked.is_empty() { Vec::new() } else { answers(&*parties.source, source, &asked).await? };
    times.source_answered = clock();
    let age = comparison.age.as_deref();
    looks.extend(
        held.into_iter().zip(said).map(|((key, cached), said)| Look { key, seen: both(source, age, cached, said) }),
    );
    Ok(Round { looks, times })
}

/// Lists keys where `which` says.
///
/// # Errors
/// Why they cannot be listed.
pub(super) async fn list(
    parties: &Parties,
    from: Option<&str>,
    keys: usize,
) -> Result<truegreen_connect::keys::Listed, String> {
    let lister = parties.keys.keys().ok_or("keys cannot be listed there")?;
    let listed = lister.list(&parties.which, from, keys).await;
    listed.map_err(|error| format!("its keys could not be listed: {error}"))
}

async fn behind(system: &dyn Source, asked: &Asked) -> Result<Duration, String> {
    let confirm = confirm(system, asked)?;
    match confirm.behind().await.filter(|seconds| seconds.is_finite()) {
        Some(seconds) => Ok(Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX)),
        None if !system.may_be_behind() => Ok(Duration::ZERO),
        // Why it says nothing is what it answers to a question.
        None => {
            confirm.ask(&asked.ask, &[]).await.map_err(|error| format!("{} {error}", asked.system))?;
            Err(format!(
                "{} does not tell how far behind it may be\nhint: a replica that is not followed by its status proves nothing; \
                 grant what the page of its kind says",
                asked.system
            ))
        }
    }
}

fn confirm<'a>(system: &'a dyn Source, asked: &Asked) -> Result<&'a dyn Confirm, String> {
    system.confirm().ok_or_else(|| format!("{} cannot be asked for keys", asked.system))
}

async fn answers(system: &dyn Source, asked: &Asked, keys: &[String]) -> Result<Vec<Result<Found, Error>>, String> {
    let answers = confirm(system, asked)?.ask(&asked.ask, keys).await;
    match answers.map_err(|error| format!("{} {error}", asked.system))? {
        answers if answers.len() == keys.len() => Ok(answers),
        answers => Err(format!("{} gave {} answers to {} questions", asked.system, answers.len(), keys.len())),
    }
}

/// What counts of an answer; none where nothing is there.
fn picked(asked: &Asked, age: Option<&str>, answer: Result<Found, Error>) -> Result<Option<Value>, String> {
    let why = |why: String| printable(&format!("{}: {}", asked.system, why.replace('\n', "; ")), MAX_REASON);
    match answer {
        Ok(Found::Rows(rows)) if !rows.is_empty() => asked.value.of(rows, age).map(Some).map_err(why),
        Ok(_) => Ok(None),
        Err(error) => Err(why(error.to_string())),
    }
}

fn both(asked: &Asked, age: Option<&str>, cached: Value, said: Result<Found, Error>) -> Seen {
    let aged = age.map_or(Ok(None), |column| aged(column, &said));
    match (picked(asked, age, said), aged) {
        (Ok(source), Ok(age)) => Seen::Both { cached, source, age },
        (Err(why), _) => Seen::Untold(why),
        (_, Err(why)) => Seen::Untold(format!("{}: {}", asked.system, why.replace('\n', "; "))),
    }
}

/// The youngest row tells. A little below 0 it is of a moment ago, by another clock.
fn aged(column: &str, said: &Result<Found, Error>) -> Result<Option<Duration>, String> {
    let Ok(Found::Rows(rows)) = said else { return Ok(None) };
    let mut youngest: Option<Duration> = None;
    for row in rows {
        let shown = printable(column, 60);
        let text = row.get(column).ok_or_else(|| format!("its answer has no column `{shown}` for an age"))?;
        let Some(text) = text else { return Ok(None) };
        let seconds = text.trim().parse::<f64>().ok().filter(|seconds| seconds.is_finite());
        let seconds = seconds.ok_or_else(|| format!("`{shown}` is no number of seconds"))?;
        if seconds < -MAX_SKEW {
            return Err(format!(
                "`{shown}` is {:.0} s in the future\nhint: the question runs in UTC; is the time that it reckons with another zone's?",
                -seconds
            ));
        }
        let age = Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX);
        youngest = Some(youngest.map_or(age, |youngest| youngest.min(age)));
    }
    Ok(youngest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_a_number_of_seconds_of_the_past() {
        let row = |age: Option<&str>| [("age".to_owned(), age.map(str::to_owned))].into();
        let told = |ages: &[Option<&str>]| aged("age", &Ok(Found::Rows(ages.iter().map(|age| row(*age)).collect())));
        assert_eq!(told(&[Some("240.5"), Some("7e1")]), Ok(Some(Duration::from_secs(70))));
        assert_eq!(told(&[Some("-59")]), Ok(Some(Duration::ZERO)));
        assert_eq!((told(&[None]), aged("age", &Ok(Found::Nothing))), (Ok(None), Ok(None)));
        for (age, part) in
            [("-32400", "32400 s in the future\nhint:"), ("NaN", "no number"), ("2026-01-01", "no number")]
        {
            assert!(told(&[Some(age)]).unwrap_err().contains(part), "{age}");
        }
        assert!(aged("since", &Ok(Found::Rows(vec![row(None)]))).unwrap_err().contains("no column `since`"));
    }
}
