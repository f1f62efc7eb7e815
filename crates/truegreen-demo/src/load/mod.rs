//! The load: orders placed over HTTP at a given rate, in a mix that the seed decides; each customer looks at the product
//! first. Besides, and however many orders there are, one price is changed and one order sent back each second.

mod customers;
mod mix;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::task::JoinSet;

use crate::Error;
use crate::event::CATALOGUE;
use crate::http;
use customers::Shopping;

pub(crate) use customers::Customers;
pub(crate) use mix::Mix;

/// One order in so many is of the rare kind.
pub const RARE_ONE_IN: u64 = 50;
/// Highest rate that is accepted, in orders per second.
pub const MAX_RATE: f64 = 1_000.0;
/// Customers that order at the same time.
const CUSTOMERS: usize = 8;
/// How long a customer waits for an answer.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long a customer who sends something back does.
const PATIENCE_OVER_RETURNS: Duration = Duration::from_secs(3);
/// Time between two changes of a price, and between two returns.
const BESIDES_EVERY: Duration = Duration::from_secs(1);
/// Of so many returns, one is of a bundle, if one was ordered.
const BUNDLE_RETURN_ONE_IN: u64 = 5;
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

/// A load to be placed.
pub(crate) struct Load {
    pub(crate) mix: Mix,
    pub(crate) rate_per_second: f64,
    pub(crate) planned: u64,
    /// `http://127.0.0.1:<port>` of the storefront, and of inventory.
    pub(crate) storefront: String,
    pub(crate) inventory: String,
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
        let (others, theirs) = (Arc::clone(&load), Arc::clone(&ended.0));
        customers.spawn_blocking(move || others.change_prices(started, &theirs));
        let (others, theirs) = (Arc::clone(&load), Arc::clone(&ended.0));
        customers.spawn_blocking(move || others.send_back(started, &theirs));
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
        let shopping = Shopping::at(&self.storefront, http::agent(Some(PATIENCE)), &self.customers);
        loop {
            let n = next.fetch_add(1, Ordering::Relaxed);
            if n >= self.planned || !wait_until(started + self.time_of(n), ended) {
                return;
            }
            let order = self.mix.order(first + n);
            shopping.look_at(&order);
            shopping.place(&order);
        }
    }

    /// Changes the prices of all products in turn.
    fn change_prices(&self, started: Instant, ended: &AtomicBool) {
        let shopping = Shopping::at(&self.inventory, http::agent(Some(PATIENCE)), &self.customers);
        for turn in 0.. {
            let after = BESIDES_EVERY * turn;
            if after > self.lasts() || !wait_until(started + after, ended) {
                return;
            }
            let article = &CATALOGUE[turn as usize % CATALOGUE.len()];
            shopping.reprice(article.sku, article.price_cents + turn);
        }
    }

    /// Sends back what was ordered lately.
    fn send_back(&self, started: Instant, ended: &AtomicBool) {
        let shopping = Shopping::at(&self.storefront, http::agent(Some(PATIENCE_OVER_RETURNS)), &self.customers);
        for turn in 1.. {
            let after = BESIDES_EVERY * turn;
            if after > self.lasts() || !wait_until(started + after, ended) {
                return;
            }
            shopping.send_back(u64::from(turn).is_multiple_of(BUNDLE_RETURN_ONE_IN));
        }
    }

    fn time_of(&self, n: u64) -> Duration {
        #[expect(clippy::cast_precision_loss, reason = "no load has 2^52 orders")]
        let seconds = n as f64 / self.rate_per_second;
        Duration::from_secs_f64(seconds)
    }

    fn lasts(&self) -> Duration {
        self.time_of(self.planned)
    }
}

/// False if the load ended before.
fn wait_until(due: Instant, ended: &AtomicBool) -> bool {
    while let Some(wait) = due.checked_duration_since(Instant::now()).filter(|wait| !wait.is_zero()) {
        if ended.load(Ordering::Relaxed) {
            return false;
        }
        std::thread::sleep(wait.min(PROGRESS_EVERY));
    }
    !ended.load(Ordering::Relaxed)
}

struct EndOnDrop(Arc<AtomicBool>);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::planned;

    #[test]
    fn a_rate_that_cannot_be_kept_is_refused() {
        assert_eq!(planned(20.0, Duration::from_secs(30)).unwrap(), 600);
        assert_eq!(planned(0.1, Duration::from_secs(1)).unwrap(), 1);
        for rate in [0.0, -1.0, f64::NAN, f64::INFINITY, 1_001.0] {
            assert!(planned(rate, Duration::from_secs(1)).is_err(), "{rate}");
        }
    }
}
