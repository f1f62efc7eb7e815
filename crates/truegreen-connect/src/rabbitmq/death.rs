//! What the broker and frameworks write of a death.

use lapin::types::{AMQPValue, FieldTable};
use truegreen_model::letter::Letter;

use super::message::text;
use super::topology::alive;
use crate::dead_letters::headers::fill_in;

/// Deaths that are read of one letter; a broker adds one for each queue and reason.
const MAX_DEATHS: usize = 100;

/// One entry of `x-death`.
#[derive(Debug, Default)]
struct Death {
    queue: String,
    reason: String,
    /// How often it died there for this reason.
    count: u32,
    /// In seconds since 1970.
    time: Option<u64>,
    routing_key: String,
}

impl Death {
    fn read(value: &AMQPValue) -> Option<Death> {
        let AMQPValue::FieldTable(table) = value else { return None };
        let of = |name: &str| table.inner().get(name);
        let word = |name: &str| of(name).map(text).unwrap_or_default();
        let routing_key = match of("routing-keys") {
            Some(AMQPValue::FieldArray(keys)) => keys.as_slice().first().map(text).unwrap_or_default(),
            _ => String::new(),
        };
        let time = match of("time") {
            Some(AMQPValue::Timestamp(seconds)) => Some(*seconds),
            _ => None,
        };
        let count = word("count").parse().unwrap_or(1);
        Some(Death { queue: word("queue"), reason: word("reason"), count, time, routing_key })
    }
}

/// Fills in what headers tell of the death. The newest death is the first of `x-death`; the letter goes back to where it
/// died first, since what came between were stages of a retry.
pub(super) fn tell(letter: &mut Letter, headers: &FieldTable, routing_key: &str) {
    let deaths: Vec<Death> = match headers.inner().get("x-death") {
        Some(AMQPValue::FieldArray(deaths)) => {
            deaths.as_slice().iter().take(MAX_DEATHS).filter_map(Death::read).collect()
        }
        _ => Vec::new(),
    };
    let first = headers.inner().get("x-first-death-queue").map(text).filter(|queue| !queue.is_empty());
    letter.origin = first.or_else(|| deaths.last().map(|death| death.queue.clone())).unwrap_or_default();
    let there: Vec<&Death> = deaths.iter().filter(|death| death.queue == letter.origin).collect();
    letter.deaths = there.iter().map(|death| death.count).fold(0, u32::saturating_add).max(1);
    let told = there.first().map(|death| death.routing_key.as_str()).filter(|key| !key.is_empty());
    letter.key = told.unwrap_or(routing_key).to_owned();
    let newest = deaths.iter().filter_map(|death| death.time).max();
    letter.died_at = newest.and_then(time).unwrap_or_default();

    fill_in(letter);
    // A framework's exception says more than the broker, to which all of them are `rejected`.
    if letter.error_type.is_empty() {
        letter.error_type = deaths.first().map(|death| death.reason.clone()).unwrap_or_default();
    }
    if letter.origin.is_empty() {
        letter.origin = alive(&letter.place).unwrap_or_default().to_owned();
    }
}

fn time(seconds: u64) -> Option<String> {
    let time = jiff::Timestamp::from_second(i64::try_from(seconds).ok()?).ok()?;
    Some(time.to_string())
}

#[cfg(test)]
mod tests {
    use lapin::types::FieldArray;

    use super::*;

    fn word(text: &str) -> AMQPValue {
        AMQPValue::LongString(text.into())
    }

    fn death(queue: &str, reason: &str, count: i64, time: u64) -> AMQPValue {
        let mut table = FieldTable::default();
        table.insert("queue".into(), word(queue));
        table.insert("reason".into(), word(reason));
        table.insert("count".into(), AMQPValue::LongLongInt(count));
        table.insert("time".into(), AMQPValue::Timestamp(time));
        table.insert("routing-keys".into(), AMQPValue::FieldArray(FieldArray::from(vec![word("order.placed")])));
        AMQPValue::FieldTable(table)
    }

    #[test]
    fn a_letter_that_went_through_a_retry_goes_back_to_where_it_died_first() {
        let mut headers = FieldTable::default();
        let deaths =
            vec![death("orders", "rejected", 3, 1_700_000_000), death("orders.retry", "expired", 2, 1_600_000_000)];
        headers.insert("x-death".into(), AMQPValue::FieldArray(FieldArray::from(deaths)));
        headers.insert("x-first-death-queue".into(), word("orders"));
        let mut letter = Letter { place: "orders.dlq".into(), ..Letter::default() };
        tell(&mut letter, &headers, "orders.dlq");
        assert_eq!((letter.origin.as_str(), letter.key.as_str(), letter.deaths), ("orders", "order.placed", 3));
        assert_eq!((letter.error_type.as_str(), letter.died_at.as_str()), ("rejected", "2023-11-14T22:13:20Z"));
    }

    #[test]
    fn what_a_framework_moved_itself_is_told_by_its_headers_and_the_queues_name() {
        let mut letter = Letter { place: "orders_error".into(), ..Letter::default() };
        letter.headers = vec![
            ("MT-Fault-ExceptionType".into(), "Shop.OutOfStock".into()),
            ("MT-Fault-Message".into(), "none left".into()),
        ];
        tell(&mut letter, &FieldTable::default(), "");
        assert_eq!((letter.origin.as_str(), letter.error_type.as_str()), ("orders", "Shop.OutOfStock"));
        assert_eq!((letter.error.as_str(), letter.deaths), ("none left", 1));
    }
}
