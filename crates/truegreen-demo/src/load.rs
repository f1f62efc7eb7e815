//! The load: orders placed over HTTP at a given rate, in a mix that the seed decides.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::task::JoinSet;
use ureq::Agent;

use crate::Error;
use crate::event::{BUNDLE, CATALOGUE, NewOrder, OrderedArticle};
use crate::http;

/// One order in so many is of the rare kind.
pub const RARE_ONE_IN: u64 = 50;
/// Highest rate that is accepted, in orders per second.
pub const MAX_RATE: f64 = 1_000.0;
/// Customers that order at the same time.
const CUSTOMERS: usize = 4;
/// How long a customer waits for an answer.
const PATIENCE: Duration = Duration::from_secs(15);
/// How often progress is told.
const PROGRESS_EVERY: Duration = Duration::from_millis(250);

/// How far a load has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Progress {
    /// Since the load began.
    pub elapsed: Duration,
    /// Orders answered with 201.
    pub placed: u64,
    /// Orders answered otherwise, or not at all.
    pub failed: u64,
    /// Orders that the whole load consists of.
    pub planned: u64,
}

/// What a load came to, as its customers saw it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct LoadSummary {
    /// Orders answered with 201.
    pub placed: u64,
    /// Orders answered otherwise, or not at all.
    pub failed: u64,
    /// Orders of the rare kind among all.
    pub rare: u64,
    /// From the first order to the last answer.
    pub took: Duration,
}

/// What customers have seen so far; shared with the monitoring.
#[derive(Debug, Default)]
pub(crate) struct Customers {
    pub(crate) placed: AtomicU64,
    pub(crate) failed: AtomicU64,
    pub(crate) total_us: AtomicU64,
    pub(crate) slowest_us: AtomicU64,
}

/// Which orders are placed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mix {
    pub(crate) seed: u64,
}

impl Mix {
    /// The `n`-th order, counted from 0: a function of the seed and `n` only.
    pub(crate) fn order(self, n: u64) -> NewOrder {
        let mut chance = self.chance(n, 0);
        let ordinary = &CATALOGUE[..CATALOGUE.len() - 1];
        let (kind, article) = match self.is_rare(n) {
            true => (BUNDLE, CATALOGUE[CATALOGUE.len() - 1].name),
            false => {
                (if chance.u8(..10) == 0 { "gift" } else { "standard" }, ordinary[chance.usize(..ordinary.len())].name)
            }
        };
        NewOrder {
            order_id: String::new(),
            kind: kind.to_owned(),
            channel: if chance.bool() { "web" } else { "app" }.to_owned(),
            articles: vec![OrderedArticle { article: article.to_owned(), quantity: chance.u32(1..=3) }],
        }
    }

    /// Exactly one of each [`RARE_ONE_IN`] orders, somewhere among them.
    pub(crate) fn is_rare(self, n: u64) -> bool {
        let block = n / RARE_ONE_IN;
        n % RARE_ONE_IN == self.chance(block, 1).u64(..RARE_ONE_IN)
    }

    fn chance(self, n: u64, purpose: u64) -> fastrand::Rng {
        let mixed = self.seed.wrapping_add(n.wrapping_mul(2).wrapping_add(purpose).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let mut rng = fastrand::Rng::with_seed(mixed);
        // Neighbouring seeds give alike first numbers.
        rng.u64(..);
        rng
    }
}

/// A load to be placed.
pub(crate) struct Load {
    pub(crate) mix: Mix,
    pub(crate) rate_per_second: f64,
    pub(crate) planned: u64,
    pub(crate) checkout_url: String,
    pub(crate) customers: Arc<Customers>,
}

/// How many orders are placed in `load_for`; at least one.
pub(crate) fn planned(rate_per_second: f64, load_for: Duration) -> Result<u64, Error> {
    if !(rate_per_second > 0.0 && rate_per_second <= MAX_RATE) {
        return Err(Error::Rate(rate_per_second));
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive, and a float cast saturates")]
    let orders = (rate_per_second * load_for.as_secs_f64()).round() as u64;
    Ok(orders.max(1))
}

impl Load {
    /// Places all orders at their times. Dropping the future ends the load.
    pub(crate) async fn run(self, first: u64, mut progress: impl FnMut(Progress)) -> Result<LoadSummary, Error> {
        let load = Arc::new(self);
        let started = Instant::now();
        let ended = EndOnDrop(Arc::new(AtomicBool::new(false)));
        let next = Arc::new(AtomicU64::new(0));
        let before = load.customers.answers();
        let mut customers = JoinSet::new();
        for _ in 0..CUSTOMERS {
            let (load, next, ended) = (Arc::clone(&load), Arc::clone(&next), Arc::clone(&ended.0));
            customers.spawn_blocking(move || load.be_a_customer(first, started, &next, &ended));
        }
        loop {
            let joined = tokio::time::timeout(PROGRESS_EVERY, customers.join_next()).await;
            let (placed, failed) = load.customers.answers();
            let (placed, failed) = (placed - before.0, failed - before.1);
            progress(Progress { elapsed: started.elapsed(), placed, failed, planned: load.planned });
            match joined {
                Ok(Some(customer)) => customer.map_err(|panic| Error::Worker(panic.to_string()))?,
                Ok(None) => {
                    let rare = (first..first + load.planned).filter(|&n| load.mix.is_rare(n)).count() as u64;
                    return Ok(LoadSummary { placed, failed, rare, took: started.elapsed() });
                }
                Err(_) => {}
            }
        }
    }

    /// Takes the next order that is due, waits for its time, and places it.
    fn be_a_customer(&self, first: u64, started: Instant, next: &AtomicU64, ended: &AtomicBool) {
        let agent = http::agent(PATIENCE);
        loop {
            let n = next.fetch_add(1, Ordering::Relaxed);
            if n >= self.planned {
                return;
            }
            #[expect(clippy::cast_precision_loss, reason = "no load has 2^52 orders")]
            let due = started + Duration::from_secs_f64(n as f64 / self.rate_per_second);
            while let Some(wait) = due.checked_duration_since(Instant::now()).filter(|wait| !wait.is_zero()) {
                if ended.load(Ordering::Relaxed) {
                    return;
                }
                std::thread::sleep(wait.min(PROGRESS_EVERY));
            }
            if ended.load(Ordering::Relaxed) {
                return;
            }
            self.customers.place(&agent, &self.checkout_url, &self.mix.order(first + n));
        }
    }
}

impl Customers {
    fn place(&self, agent: &Agent, url: &str, order: &NewOrder) {
        let asked = Instant::now();
        let answer = agent.post(url).send_json(order);
        // Reading the answer to its end lets the connection be used again.
        let placed = answer.is_ok_and(|mut answer| {
            let created = answer.status().as_u16() == 201;
            answer.body_mut().read_to_string().is_ok() && created
        });
        let took = u64::try_from(asked.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.total_us.fetch_add(took, Ordering::Relaxed);
        self.slowest_us.fetch_max(took, Ordering::Relaxed);
        if placed { &self.placed } else { &self.failed }.fetch_add(1, Ordering::Relaxed);
    }

    /// Placed and failed.
    pub(crate) fn answers(&self) -> (u64, u64) {
        (self.placed.load(Ordering::Relaxed), self.failed.load(Ordering::Relaxed))
    }
}

struct EndOnDrop(Arc<AtomicBool>);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::{Mix, RARE_ONE_IN, planned};

    #[test]
    fn one_order_in_fifty_is_rare_and_where_depends_on_the_seed() {
        let places = |seed| {
            let mix = Mix { seed };
            (0..40 * RARE_ONE_IN).filter(|&n| mix.order(n).kind == "bundle").collect::<Vec<_>>()
        };
        let rare = places(7);
        assert_eq!(rare.len(), 40);
        for (block, n) in rare.iter().enumerate() {
            assert_eq!(n / RARE_ONE_IN, block as u64, "one in each fifty");
        }
        assert_ne!(rare, places(8));
        assert_eq!(rare, places(7));
    }

    #[test]
    fn the_other_orders_are_mixed() {
        let mut kinds = BTreeMap::<_, u64>::new();
        let mut channels = BTreeMap::<_, u64>::new();
        for n in 0..1_000 {
            let order = Mix { seed: 1 }.order(n);
            *kinds.entry(order.kind).or_default() += 1;
            *channels.entry(order.channel).or_default() += 1;
        }
        assert!((50..200).contains(&kinds["gift"]), "{kinds:?}");
        assert!((400..600).contains(&channels["web"]), "{channels:?}");
    }

    #[test]
    fn a_rate_that_cannot_be_kept_is_refused() {
        assert_eq!(planned(20.0, Duration::from_secs(30)).unwrap(), 600);
        assert_eq!(planned(0.1, Duration::from_secs(1)).unwrap(), 1);
        for rate in [0.0, -1.0, f64::NAN, f64::INFINITY, 1_001.0] {
            assert!(planned(rate, Duration::from_secs(1)).is_err(), "{rate}");
        }
    }
}
