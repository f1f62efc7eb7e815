//! What must be true of a server that was started again.

use std::collections::BTreeMap;
use std::io::{Error, Result};
use std::time::{Duration, Instant};

use fastrand::Rng;
use serde_json::Value;

use crate::line::ask;
use crate::orders::{Deed, Order};
use crate::post::Post;

/// Sentences that were not true.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Faults {
    pub(crate) lost: u64,
    pub(crate) doubled: u64,
    pub(crate) changed: u64,
    pub(crate) unbalanced: u64,
    pub(crate) other: u64,
}

impl Faults {
    pub(crate) fn is_none(&self) -> bool {
        *self == Faults::default()
    }
}

/// Verdicts by key.
pub(crate) type Verdicts = BTreeMap<String, String>;

/// Longest wait until everything is judged.
const JUDGED_WITHIN: Duration = Duration::from_secs(5);
/// How many keys of each sender are looked up after a restart.
const SAMPLE: usize = 12;

/// Holds the books against what the senders know: exactly, once everything that was sent is acknowledged.
pub(crate) async fn books(web: &str, posts: &[Post], old_orders: u64) -> Result<Vec<(Kind, String)>> {
    let orders = || posts.iter().flat_map(|post| &post.book.orders);
    let number = |of: &dyn Fn(&Order) -> bool| orders().filter(|order| of(order)).count() as u64;
    let is = |order: &Order, verdict: &str| order.verdict() == Some(verdict);
    let report = judged(web, old_orders / 4 + number(&|order| is(order, "late"))).await?;
    let books = &report["flows"]["orders"];
    let count = |name: &str| books[name].as_u64().unwrap_or_default();
    let sum = |name: &str| books[name].as_object().into_iter().flatten().filter_map(|(_, n)| n.as_u64()).sum::<u64>();
    let mut faults = Vec::new();
    let decided = count("completed") + count("late") + count("unaccounted");
    let decided = decided + sum("rejected") + sum("dead_lettered") + sum("unknown");
    if count("entered") != count("open") + decided {
        faults.push((Kind::Unbalanced, format!("the books balance (INV-BOOKS-1): {books}")));
    }
    if count("duplicates") > 0 {
        faults.push((Kind::Doubled, format!("what is sent again counts once: {books}")));
    }
    // Of the old ones two of four are completed, and one is late.
    let sent = |order: &Order, deed: Deed| order.deed == deed && order.is_offered;
    let bounds = [
        ("entered", old_orders, number(&|order| order.is_placed), number(&|order| order.is_offered)),
        (
            "completed",
            old_orders / 2,
            number(&|order| is(order, "completed")),
            number(&|order| sent(order, Deed::Done)),
        ),
        ("late", old_orders / 4, number(&|order| is(order, "late")), number(&|order| sent(order, Deed::Late))),
    ];
    for (name, old, acknowledged, sent) in bounds {
        if count(name) < old + acknowledged {
            faults
                .push((Kind::Lost, format!("{} orders are acknowledged that are {name}: {books}", old + acknowledged)));
        }
        if count(name) > old + sent {
            faults.push((Kind::Doubled, format!("only {} orders were sent that are {name}: {books}", old + sent)));
        }
    }
    Ok(faults)
}

/// What a broken sentence is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Lost,
    Doubled,
    Changed,
    Unbalanced,
}

/// Waits until everything is judged: that an order is late is said a moment after its last step was seen, by a timer,
/// and what time has passed before a crash must pass again. Returns the report.
async fn judged(web: &str, late: u64) -> Result<Value> {
    let began = Instant::now();
    loop {
        let report = ask(web, "/api/v1/report").await?;
        let is_judged = report["flows"]["orders"]["late"].as_u64().is_some_and(|judged| judged >= late);
        if is_judged || began.elapsed() > JUDGED_WITHIN {
            return Ok(report);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Looks up some orders of each sender: those whose verdict is known must have it, all once.
pub(crate) async fn orders(web: &str, posts: &[Post], rng: &mut Rng) -> Result<Vec<(Kind, String)>> {
    let mut faults = Vec::new();
    for post in posts {
        let placed: Vec<&Order> = post.book.orders.iter().filter(|order| order.is_placed).collect();
        for _ in 0..SAMPLE.min(placed.len()) {
            let order = placed[rng.usize(..placed.len())];
            let found = verdicts_of(web, &order.key).await?;
            match (found.as_slice(), order.verdict()) {
                ([], _) => faults.push((Kind::Lost, format!("{} was acknowledged, and is not there", order.key))),
                ([one], Some(verdict)) if one != verdict => {
                    faults.push((Kind::Changed, format!("{} is {verdict}, not {one}", order.key)));
                }
                ([one], _) if order.deed == Deed::Forgotten && (one == "completed" || one == "late") => {
                    faults.push((Kind::Changed, format!("{} was forgotten, and is {one}", order.key)));
                }
                ([_], _) => {}
                (many, _) => faults.push((Kind::Doubled, format!("{} is there {} times", order.key, many.len()))),
            }
        }
    }
    Ok(faults)
}

/// The verdicts of the old orders.
pub(crate) async fn old(web: &str, old_orders: u64) -> Result<Verdicts> {
    let mut verdicts = Verdicts::new();
    for order in 0..old_orders {
        let key = format!("old-{order}");
        let found = verdicts_of(web, &key).await?;
        verdicts.insert(key, found.join("+"));
    }
    Ok(verdicts)
}

/// What was decided stays so; `unknown` may be found out.
pub(crate) fn changed(before: &Verdicts, after: &Verdicts) -> Vec<(Kind, String)> {
    let is_firm = |verdict: &str| ["completed", "late", "unaccounted"].contains(&verdict);
    let firm = before.iter().filter(|(_, verdict)| is_firm(verdict));
    let changed = firm.filter(|(key, verdict)| after.get(*key) != Some(verdict));
    changed.map(|(key, was)| (Kind::Changed, format!("{key} was {was}, is {:?}", after.get(key)))).collect()
}

async fn verdicts_of(web: &str, key: &str) -> Result<Vec<String>> {
    let found = ask(web, &format!("/api/v1/journeys/orders/{key}")).await?;
    let journeys = match &found["journeys"] {
        Value::Array(journeys) => journeys.clone(),
        // Nothing of that key.
        _ if found["error"].is_string() => Vec::new(),
        _ => return Err(Error::other(format!("no answer: {found}"))),
    };
    let verdict = |journey: &Value| journey["verdict"].as_str().unwrap_or_default().to_owned();
    Ok(journeys.iter().map(verdict).collect())
}
