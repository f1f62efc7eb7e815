//! Rounds on a cache and a source in memory, on simulated time.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use truegreen_connect::address::Surroundings;
use truegreen_connect::config::Limit;
use truegreen_connect::confirm::{Confirm, Found};
use truegreen_connect::keys::{Keys, Listed};
use truegreen_connect::{Address, Error};

use super::comparison::{Asked, KeysOf};
use super::value::Pick;
use super::*;
use crate::confirming::Source;

/// What one side says, and how it is.
#[derive(Default)]
struct Side {
    values: Mutex<BTreeMap<String, String>>,
    /// Why it cannot be asked.
    down: Mutex<Option<Error>>,
    behind: Mutex<Option<f64>>,
    hangs: bool,
    asked: Mutex<Vec<Vec<String>>>,
}

impl Side {
    fn of(keys: usize) -> Side {
        let values = (0..keys).map(|n| (format!("{n:03}"), "10.00".to_owned())).collect();
        Side { values: Mutex::new(values), behind: Mutex::new(Some(0.0)), ..Side::default() }
    }

    fn set(&self, key: &str, value: &str) {
        self.values.lock().unwrap().insert(key.to_owned(), value.to_owned());
    }

    fn fails(&self) -> Result<(), Error> {
        self.down.lock().unwrap().clone().map_or(Ok(()), Err)
    }
}

impl Source for Side {
    fn confirm(&self) -> Option<&dyn Confirm> {
        Some(self)
    }

    fn keys(&self) -> Option<&dyn Keys> {
        Some(self)
    }

    fn timeout(&self) -> Duration {
        Duration::from_millis(5)
    }

    fn may_be_behind(&self) -> bool {
        true
    }
}

#[async_trait]
impl Confirm for Side {
    fn check(&self, question: &str) -> Result<(), String> {
        if question == "GET {key}" { Ok(()) } else { Err("not asked\nhint: GET {key}".to_owned()) }
    }

    async fn ask(&self, _: &str, keys: &[String]) -> Result<Vec<Result<Found, Error>>, Error> {
        if self.hangs {
            std::future::pending::<()>().await;
        }
        self.fails()?;
        self.asked.lock().unwrap().push(keys.to_vec());
        let values = self.values.lock().unwrap();
        let found = |key: &String| match values.get(key) {
            Some(value) => Ok(Found::Rows(vec![[("value".to_owned(), Some(value.clone()))].into()])),
            None => Ok(Found::Nothing),
        };
        Ok(keys.iter().map(found).collect())
    }

    async fn behind(&self) -> Option<f64> {
        self.fails().ok().and(*self.behind.lock().unwrap())
    }
}

#[async_trait]
impl Keys for Side {
    fn check(&self, which: &str) -> Result<(), String> {
        if which == "{key}" { Ok(()) } else { Err("not listed".to_owned()) }
    }

    fn asked_by(&self, question: &str) -> Option<String> {
        question.strip_prefix("GET ").map(str::to_owned)
    }

    async fn list(&self, _: &str, from: Option<&str>, limit: usize) -> Result<Listed, Error> {
        self.fails()?;
        let values = self.values.lock().unwrap();
        let from: usize = from.map_or(0, |from| from.parse().unwrap());
        let keys: Vec<String> = values.keys().skip(from).take(limit).cloned().collect();
        let next = from + keys.len();
        Ok(Listed { keys, next: (next < values.len()).then(|| next.to_string()) })
    }
}

struct World {
    cache: Arc<Side>,
    source: Arc<Side>,
    running: Arc<Running>,
    seconds: Arc<AtomicU64>,
}

fn comparison() -> Comparison {
    let asked = |system: &str| Asked { system: system.to_owned(), ask: "GET {key}".to_owned(), value: Pick::Whole };
    Comparison {
        name: "prices".to_owned(),
        cache: asked("cache"),
        keys: KeysOf::default(),
        source: asked("db"),
        age: None,
        within: Duration::from_secs(30),
        sample: 10,
        every: Duration::from_secs(15),
    }
}

fn config() -> SystemConfig {
    SystemConfig::new("cache", Address::parse("http://cache", &Surroundings).unwrap())
}

impl World {
    fn of(keys: usize) -> World {
        World::with(Side::of(keys), Side::of(keys), comparison(), config())
    }

    fn with(cache: Side, source: Side, comparison: Comparison, config: SystemConfig) -> World {
        let (cache, source, seconds) = (Arc::new(cache), Arc::new(source), Arc::new(AtomicU64::new(0)));
        let sides: [(String, Arc<dyn Source>); 2] =
            [("cache".to_owned(), Arc::clone(&cache) as _), ("db".to_owned(), Arc::clone(&source) as _)];
        let ticking = Arc::clone(&seconds);
        let clock = Box::new(move || Duration::from_secs(ticking.load(Ordering::Relaxed)));
        let running = Running::new(comparison, config, &Sources::new(sides), Redaction::default(), clock);
        World { cache, source, running: Arc::new(running), seconds }
    }

    /// So many rounds, each 15 s after the one before; the checks after the last.
    async fn rounds(&self, rounds: usize) -> Vec<Check> {
        for _ in 0..rounds {
            self.seconds.fetch_add(15, Ordering::Relaxed);
            self.running.round(None).await;
        }
        self.running.checks()
    }

    async fn share(&self, rounds: usize) -> (Standing, String) {
        let checks = self.rounds(rounds).await;
        assert!(checks.iter().all(|check| check.component == "prices"));
        (checks[0].standing, checks[0].reason.clone())
    }
}

#[tokio::test]
async fn a_stale_key_is_named_with_both_values_until_it_is_mended() {
    let world = World::of(40);
    assert_eq!(world.running.checks()[0].reason, "not compared yet");
    assert_eq!(world.share(8).await, (Standing::Pass, "none of 40 sampled keys is stale".to_owned()));
    world.source.set("017", "12.50");
    let (standing, reason) = world.share(60).await;
    assert_eq!(standing, Standing::Warn, "{reason}");
    assert_eq!(
        reason,
        "1 of 40 sampled keys has been stale for 14 min 30 s: 017: cache says 10.00, db says 12.50 for 14 min 30 s"
    );
    let checks = world.running.checks();
    let observed = |n: usize| (checks[n].measurement.as_str(), checks[n].observed.as_ref().unwrap().value);
    assert_eq!([observed(0), observed(1)], [("stale_share", 0.025), ("stale_age", 870.0)]);
    assert!(observed(2).0 == "compared" && observed(2).1 > 0.0);
    world.cache.set("017", "12.5");
    assert_eq!(world.share(1).await.0, Standing::Pass, "it is the first that is looked at again");
}

#[tokio::test]
async fn a_share_with_weight_fails_and_the_worst_are_shown() {
    let world = World::of(40);
    (0..40).for_each(|n| world.source.set(&format!("{n:03}"), "12.50"));
    let (standing, reason) = world.share(1).await;
    assert_eq!(standing, Standing::Unknown, "{reason}");
    assert!(
        reason.starts_with("10 of 10 sampled keys differ now; whether for longer than 30 s is told by"),
        "{reason}"
    );
    let (standing, reason) = world.share(20).await;
    assert_eq!(standing, Standing::Fail, "{reason}");
    assert!(reason.lines().next().unwrap().ends_with("; surely more than 1 % are"), "{reason}");
    assert_eq!((reason.lines().count(), reason.lines().last()), (6, Some("and 35 more keys")), "{reason}");
    // Limits in the configuration win.
    let mut config = config();
    config.limits = [("stale_share".to_owned(), Limit { warn: Some(0.5), fail: None })].into();
    let lenient = World::with(Side::of(40), Side::of(40), comparison(), config);
    lenient.source.set("000", "1");
    assert_eq!(lenient.share(20).await.0, Standing::Pass);
}

/// Guarantee: nothing that could not be compared is ever green, and each reason is its own.
#[tokio::test]
async fn what_cannot_be_compared_is_not_known() {
    let world = World::of(10);
    assert_eq!(world.share(3).await.0, Standing::Pass);
    let gone = Error::Unreachable("nobody listens there".to_owned());
    *world.cache.down.lock().unwrap() = Some(gone.clone());
    let told = |why: &str| (Standing::Unknown, format!("nothing was compared: {why}"));
    assert_eq!(
        world.share(1).await,
        told("cache: its keys could not be listed: cannot be reached: nobody listens there")
    );
    *world.cache.down.lock().unwrap() = None;
    *world.source.down.lock().unwrap() = Some(gone);
    assert_eq!(world.share(1).await, told("db cannot be reached: nobody listens there"));
    *world.source.down.lock().unwrap() = None;
    *world.source.behind.lock().unwrap() = None;
    assert!(
        world.share(1).await.1.starts_with("nothing was compared: db does not tell how far behind it may be\nhint:")
    );
    *world.source.behind.lock().unwrap() = Some(31.0);
    let reason = "db is 31 s behind, more than 30 s: that both say the same proves nothing";
    assert_eq!(world.share(1).await, (Standing::Unknown, reason.to_owned()));
    *world.source.behind.lock().unwrap() = Some(3.0);
    assert_eq!(world.share(1).await.0, Standing::Pass);

    world.cache.values.lock().unwrap().clear();
    assert_eq!(world.share(1).await, told("cache has no key by `{key}`\nhint: see `keys`"));
    let mut elsewhere = comparison();
    elsewhere.keys = KeysOf { system: Some("db".to_owned()), ask: None };
    let misses = World::with(Side::of(0), Side::of(5), elsewhere, config());
    assert_eq!(misses.share(1).await, told("none of 5 keys is in cache"));
    let mut picky = comparison();
    picky.cache.value = Pick::parse("$.price").unwrap();
    let no_json = World::with(Side::of(5), Side::of(5), picky, config());
    no_json.cache.values.lock().unwrap().values_mut().for_each(|value| *value = "<html>".to_owned());
    let unread = "nothing was compared, of 5 keys: cache: its answer is no JSON".to_owned();
    assert_eq!(no_json.share(1).await, (Standing::Unknown, unread));
    let hanging = World::with(Side::of(5), Side { hangs: true, ..Side::of(5) }, comparison(), config());
    assert!(hanging.share(1).await.1.contains("did not come to an end within"));
    hanging.seconds.fetch_add(10_000, Ordering::Relaxed);
    assert_eq!(hanging.running.checks()[1].measurement, "asked", "and by then it is of long ago");
}

/// Guarantee: however many keys there are, a round asks for so many, those that differ first, and all come up in turn.
#[tokio::test]
async fn a_round_is_bounded_and_the_next_goes_on() {
    let world = World::of(100);
    (0..20).for_each(|n| world.source.set(&format!("{n:03}"), "1"));
    world.rounds(2).await;
    world.rounds(18).await;
    let asked = world.cache.asked.lock().unwrap().clone();
    assert!(asked.iter().all(|keys| keys.len() <= 10), "{asked:?}");
    assert_eq!(asked[1][..5], asked[0][..5], "those that differ, and");
    assert_eq!(asked[1][5..], ["010", "011", "012", "013", "014"], "new ones, where it left off");
    let all: BTreeSet<&String> = asked.iter().flatten().collect();
    assert_eq!(all.len(), 100);
}

#[test]
fn what_cannot_be_asked_is_a_mistake_that_is_told_at_the_start() {
    let sources = || {
        let sides = ["cache", "db"].map(|name| (name.to_owned(), Arc::new(Side::of(1)) as Arc<dyn Source>));
        Sources::new(sides)
    };
    let told = |change: fn(&mut Comparison)| {
        let mut comparison = comparison();
        change(&mut comparison);
        mistakes(&[comparison], &sources()).pop().unwrap_or_default()
    };
    assert_eq!(told(|_| {}), "");
    for (change, part) in [
        ((|comparison| comparison.source.system = "db2".to_owned()) as fn(&mut Comparison), "no system `db2`\nhint:"),
        (|comparison| comparison.cache.ask = "SET {key}".to_owned(), "`ask`: not asked\nhint: GET {key}"),
        (|comparison| comparison.source.ask = "DROP".to_owned(), "`source.ask`: not asked"),
        (|comparison| comparison.keys.ask = Some("*".to_owned()), "`keys`: not listed"),
        (|comparison| comparison.keys.system = Some("x".to_owned()), "no system `x`"),
    ] {
        let mistake = told(change);
        let whole = "`prices` of the system `cache` is not compared: ";
        assert!(mistake.starts_with(whole) && mistake.contains(part), "{mistake}");
    }
}
