//! What customers do, and what they see of the shop.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use serde_json::{Value, json};
use ureq::Agent;

use crate::event::{BUNDLE, NewOrder, sku_of};
use crate::product::NewPrice;

/// Orders remembered, for one of them to be sent back.
const REMEMBERED: usize = 32;

/// What customers have seen so far; shared with the monitoring.
#[derive(Debug, Default)]
pub(crate) struct Customers {
    pub(crate) placed: AtomicU64,
    pub(crate) failed: AtomicU64,
    pub(crate) total_us: AtomicU64,
    pub(crate) slowest_us: AtomicU64,
    /// Other requests that were answered with a server's error.
    pub(crate) others_failed: AtomicU64,
    /// Returns given up.
    pub(crate) returns_unanswered: AtomicU64,
    bundles: Recent,
    others: Recent,
}

/// Orders that can still be sent back, the oldest first.
#[derive(Debug, Default)]
struct Recent(Mutex<VecDeque<String>>);

impl Recent {
    fn remember(&self, order: String) {
        let mut orders = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if orders.len() == REMEMBERED {
            orders.pop_front();
        }
        orders.push_back(order);
    }

    fn take(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }
}

impl Customers {
    /// Placed and failed.
    pub(crate) fn answers(&self) -> (u64, u64) {
        (self.placed.load(Ordering::Relaxed), self.failed.load(Ordering::Relaxed))
    }
}

/// Somebody who asks something of one service.
pub(super) struct Shopping<'a> {
    address: &'a str,
    agent: Agent,
    customers: &'a Customers,
}

impl<'a> Shopping<'a> {
    pub(super) fn at(address: &'a str, agent: Agent, customers: &'a Customers) -> Shopping<'a> {
        Shopping { address, agent, customers }
    }

    pub(super) fn look_at(&self, order: &NewOrder) {
        let article = order.articles.first().map_or("", |ordered| &ordered.article);
        let asked = self.agent.get(format!("{}/stock/{}", self.address, sku_of(article).unwrap_or_default())).call();
        self.note_other(asked.map(read));
    }

    pub(super) fn reprice(&self, sku: &str, price_cents: u32) {
        let asked = self.agent.put(format!("{}/stock/{sku}", self.address)).send_json(NewPrice { price_cents });
        self.note_other(asked.map(read));
    }

    pub(super) fn place(&self, order: &NewOrder) {
        let asked = Instant::now();
        let answer = self.agent.post(format!("{}/checkout", self.address)).send_json(order).map(read);
        let took = u64::try_from(asked.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.customers.total_us.fetch_add(took, Ordering::Relaxed);
        self.customers.slowest_us.fetch_max(took, Ordering::Relaxed);
        match answer {
            Ok((201, Some(body))) => {
                self.customers.placed.fetch_add(1, Ordering::Relaxed);
                let kept = if order.kind == BUNDLE { &self.customers.bundles } else { &self.customers.others };
                kept.remember(body["order_id"].as_str().unwrap_or_default().to_owned());
            }
            _ => drop(self.customers.failed.fetch_add(1, Ordering::Relaxed)),
        }
    }

    /// Sends an order back, one of a bundle if asked for and there is one.
    pub(super) fn send_back(&self, bundle: bool) {
        let kept = &self.customers;
        let bundle = if bundle { kept.bundles.take() } else { None };
        let Some(order) = bundle.or_else(|| kept.others.take()) else { return };
        let request = json!({ "order_id": order });
        let asked = self.agent.post(format!("{}/returns", self.address)).send_json(request).map(read);
        if matches!(asked, Err(ureq::Error::Timeout(_))) {
            self.customers.returns_unanswered.fetch_add(1, Ordering::Relaxed);
        } else {
            self.note_other(asked);
        }
    }

    fn note_other(&self, answer: Result<(u16, Option<Value>), ureq::Error>) {
        if !matches!(answer, Ok((..500, Some(_)))) {
            self.customers.others_failed.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Reads an answer to its end, which lets the connection be used again. The body is absent if it broke off.
fn read(mut answer: ureq::http::Response<ureq::Body>) -> (u16, Option<Value>) {
    let status = answer.status().as_u16();
    (status, answer.body_mut().read_json().ok())
}
