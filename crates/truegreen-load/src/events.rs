//! Ten million events of five million orders, in order of arrival: an order is placed and, up to five seconds later,
//! shipped. Of each thousand orders one never is. Arrival is up to 100 ms late, so that some shipped before placed.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use fastrand::Rng;

/// Nanoseconds since 1970 of the first order.
pub(crate) const START: u64 = 1_700_000_000_000_000_000;
const BETWEEN_ORDERS: u64 = 1_000_000;
const SHIPPED_WITHIN: u64 = 5_000_000_000;
const ARRIVES_WITHIN: u64 = 100_000_000;
const SEED: u64 = 20_260_101;
pub(crate) const ONE_LACKS_IN: u64 = 1_000;

/// One line.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Event {
    pub(crate) order: u32,
    pub(crate) is_shipped: bool,
    /// Its own time, in nanoseconds.
    pub(crate) at: u64,
}

/// The events by arrival, and the orders that were never shipped.
pub(crate) fn generate(orders: u32) -> (Vec<Event>, Vec<u32>) {
    let mut dice = Rng::with_seed(SEED);
    let (mut arriving, mut lacking) = (Vec::with_capacity(orders as usize * 2), Vec::new());
    let mut lacks = 0;
    for order in 0..orders {
        if u64::from(order) % ONE_LACKS_IN == 0 {
            lacks = order + dice.u32(..ONE_LACKS_IN as u32);
        }
        let placed = START + u64::from(order) * BETWEEN_ORDERS;
        let mut arrives = |is_shipped, at| {
            arriving.push((at + dice.u64(..ARRIVES_WITHIN), Event { order, is_shipped, at }));
        };
        arrives(false, placed);
        if order == lacks {
            lacking.push(order);
        } else {
            let shipped = placed + 1_000_000 + scattered(order) % SHIPPED_WITHIN;
            arrives(true, shipped);
        }
    }
    arriving.sort_by_key(|(arrival, _)| *arrival);
    (arriving.into_iter().map(|(_, event)| event).collect(), lacking)
}

fn scattered(order: u32) -> u64 {
    crate::wire::scatter(u64::from(order)) >> 8
}

/// Writes `events.csv` (`order-N,0 or 1,nanoseconds`) and `lacking.txt` into this folder.
pub(crate) fn write(folder: &Path, orders: u32) -> Result<usize> {
    let (events, lacking) = generate(orders);
    let mut csv = BufWriter::with_capacity(1 << 20, File::create(folder.join("events.csv"))?);
    for event in &events {
        writeln!(csv, "order-{},{},{}", event.order, u8::from(event.is_shipped), event.at)?;
    }
    csv.flush()?;
    let lines: String = lacking.iter().map(|order| format!("order-{order}\n")).collect();
    std::fs::write(folder.join("lacking.txt"), lines)?;
    Ok(events.len())
}

/// Reads them back, as every peer does.
pub(crate) fn read(csv: &Path) -> Result<Vec<Event>> {
    let text = std::fs::read_to_string(csv).with_context(|| format!("cannot read {}", csv.display()))?;
    let events: Option<Vec<Event>> = text.lines().map(event).collect();
    let events = events.with_context(|| format!("{} has a line that is no event", csv.display()))?;
    ensure!(!events.is_empty(), "{} is empty", csv.display());
    Ok(events)
}

fn event(line: &str) -> Option<Event> {
    let (key, rest) = line.split_once(',')?;
    let (kind, at) = rest.split_once(',')?;
    let order = key.strip_prefix("order-")?.parse().ok()?;
    Some(Event { order, is_shipped: kind == "1", at: at.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guarantee: exactly one of each thousand lacks its second event, some second events arrive first, and what is
    /// written is read back.
    #[test]
    fn one_order_of_each_thousand_is_never_shipped() {
        let (events, lacking) = generate(20_000);
        assert_eq!((events.len(), lacking.len()), (2 * 20_000 - 20, 20));
        let mut placed = std::collections::HashSet::new();
        let mut first = 0;
        for event in &events {
            if !event.is_shipped {
                placed.insert(event.order);
            } else if !placed.contains(&event.order) {
                first += 1;
            }
        }
        assert!(first > 0, "some must arrive out of order");
        assert!(!events.iter().any(|event| event.is_shipped && lacking.contains(&event.order)));
        let line = format!("order-{},1,{}", events[7].order, events[7].at);
        assert_eq!(event(&line), Some(Event { is_shipped: true, ..events[7] }));
        assert_eq!(event("order-x,1,2"), None);
    }
}
