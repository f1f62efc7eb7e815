//! What customers ask for, and how often.

use fastrand::Rng;

use super::noise::Noise;
use super::services::{BROWSE, CHANGE_PRICE, CHECKOUT, RETURN, Request, STATUS, Sort};
use super::task::Endpoint;

/// Share of root requests by kind.
const CHECKOUTS: f64 = 0.40;
const BROWSES: f64 = 0.38;
const STATUSES: f64 = 0.08;
const PRICES: f64 = 0.05;
/// Of orders.
const GIFTS: f64 = 0.10;
const DIGITAL: f64 = 0.06;
/// Of returns, which are the rest.
const FREIGHT: f64 = 0.30;
const PRODUCTS: f64 = 200.0;
/// What is left of the traffic at night.
const AT_NIGHT: f64 = 0.002;

/// Traffic from outside.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Traffic {
    /// Root requests a second, on an ordinary day.
    pub rate: f64,
    number: u64,
}

impl Traffic {
    /// So many root requests a second.
    pub fn new(rate: f64) -> Traffic {
        Traffic { rate, number: 0 }
    }

    /// By how much it is more or less than usual.
    pub fn factor(&self, noise: &Noise, at: f64) -> f64 {
        let burst = noise.bursts.iter().find(|(from, until, _)| *from <= at && at < *until);
        let is_night = noise.night.is_some_and(|(from, until)| from <= at && at < until);
        burst.map_or(1.0, |(.., factor)| *factor) * if is_night { AT_NIGHT } else { 1.0 }
    }

    /// Orders that need stock and a carrier, in an ordinary second.
    pub fn orders_per_second(&self) -> f64 {
        self.rate * CHECKOUTS * (1.0 - DIGITAL)
    }

    /// The next request.
    pub fn draw(&mut self, rng: &mut Rng) -> (Endpoint, Request) {
        self.number += 1;
        let kind = rng.f64();
        let sort = match rng.f64() {
            part if part < GIFTS => Sort::Gift,
            part if part < GIFTS + DIGITAL => Sort::Digital,
            _ => Sort::Standard,
        };
        // Some products are looked at much more often than others.
        let sku = (rng.f64().powi(2) * PRODUCTS) as u32;
        let request = Request { number: self.number, sort, sku, token: 0.0 };
        if kind < CHECKOUTS {
            (CHECKOUT, request)
        } else if kind < CHECKOUTS + BROWSES {
            (BROWSE, request)
        } else if kind < CHECKOUTS + BROWSES + STATUSES {
            (STATUS, request)
        } else if kind < CHECKOUTS + BROWSES + STATUSES + PRICES {
            (CHANGE_PRICE, request)
        } else {
            let sort = if rng.f64() < FREIGHT { Sort::Freight } else { Sort::Standard };
            (RETURN, Request { sort, ..request })
        }
    }
}
