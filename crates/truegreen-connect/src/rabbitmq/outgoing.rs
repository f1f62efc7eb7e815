//! A letter as the message that it goes back as.

use std::collections::HashMap;

use lapin::BasicProperties;
use lapin::message::Delivery;
use lapin::types::{AMQPValue, FieldTable, ShortString};

use super::dial::name;
use super::message::{PROPERTY, text};
use crate::Error;
use crate::dead_letters::Outgoing;
use crate::dead_letters::headers::is_left_by_death;

/// Delivery mode 2: written to disk. The default of what comes back, since it was worth keeping.
const PERSISTENT: u8 = 2;
/// Where a target is an exchange, not a queue.
const EXCHANGE: &str = "exchange:";
/// Headers whose kind is remembered, of all letters of a reading; the rest goes back as text.
const MAX_KINDS: usize = 10_000;

/// What headers were before they became text, so that a number goes back as a number.
#[derive(Debug, Default)]
pub(super) struct Kinds(HashMap<(String, String), AMQPValue>);

impl Kinds {
    pub(super) fn remember(&mut self, delivery: &Delivery) {
        for (name, value) in delivery.properties.headers().iter().flat_map(|headers| headers.inner()) {
            let is_text = matches!(value, AMQPValue::LongString(long) if std::str::from_utf8(long.as_bytes()).is_ok());
            if !is_text && !is_left_by_death(name.as_str()) && self.0.len() < MAX_KINDS {
                self.0.insert((name.to_string(), text(value)), value.clone());
            }
        }
    }

    fn value(&self, name: &str, text: &str) -> AMQPValue {
        let known = self.0.get(&(name.to_owned(), text.to_owned())).cloned();
        known.unwrap_or_else(|| AMQPValue::LongString(text.into()))
    }
}

/// Exchange and routing key: `exchange:NAME` with its key, or a queue, which alone gets it then.
pub(super) fn target(outgoing: &Outgoing) -> Result<(ShortString, ShortString), Error> {
    match outgoing.to.strip_prefix(EXCHANGE) {
        Some(exchange) => Ok((name(exchange)?, name(&outgoing.key)?)),
        None if outgoing.to.is_empty() => Err(Error::NotAsked("no queue to send it to".to_owned())),
        None => Ok(("".into(), name(&outgoing.to)?)),
    }
}

/// Its properties and headers, its idempotency key as the message's id.
pub(super) fn properties(outgoing: &Outgoing, kinds: &Kinds) -> Result<BasicProperties, Error> {
    let mut properties = BasicProperties::default().with_delivery_mode(PERSISTENT);
    let mut headers = FieldTable::default();
    for (header, value) in &outgoing.headers {
        match header.strip_prefix(PROPERTY) {
            Some(property) => properties = with(properties, property, value)?,
            // The broker takes a message with its old deaths for one that goes round in circles.
            None if is_left_by_death(header) => {}
            None => {
                headers.insert(name(header)?, kinds.value(header, value));
            }
        }
    }
    Ok(properties.with_headers(headers).with_message_id(name(&outgoing.idempotency_key)?))
}

fn with(properties: BasicProperties, property: &str, value: &str) -> Result<BasicProperties, Error> {
    let wrong = |_| Error::NotAsked(format!("`{PROPERTY}{property}` is no number"));
    Ok(match property {
        "content-type" => properties.with_content_type(name(value)?),
        "content-encoding" => properties.with_content_encoding(name(value)?),
        "correlation-id" => properties.with_correlation_id(name(value)?),
        "reply-to" => properties.with_reply_to(name(value)?),
        "expiration" => properties.with_expiration(name(value)?),
        "type" => properties.with_type(name(value)?),
        "app-id" => properties.with_app_id(name(value)?),
        "delivery-mode" => properties.with_delivery_mode(value.parse().map_err(wrong)?),
        "priority" => properties.with_priority(value.parse().map_err(wrong)?),
        "timestamp" => properties.with_timestamp(value.parse().map_err(wrong)?),
        _ => return Err(Error::NotAsked(format!("no property of a message is named `{PROPERTY}{property}`"))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_go_back_as_such_and_what_the_death_left_stays() {
        let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let headers = vec![header("amqp.priority", "3"), header("x-tenant", "a"), header("x-death", "[]")];
        let mut outgoing =
            Outgoing { to: "orders".into(), key: "k".into(), headers, body: Vec::new(), idempotency_key: "i".into() };
        let sent = properties(&outgoing, &Kinds::default()).unwrap();
        assert_eq!((*sent.priority(), sent.message_id().as_ref().unwrap().as_str()), (Some(3), "i"));
        let names: Vec<&str> = sent.headers().as_ref().unwrap().inner().keys().map(ShortString::as_str).collect();
        assert_eq!(names, ["x-tenant"]);
        assert_eq!(target(&outgoing).unwrap(), ("".into(), "orders".into()), "a queue needs no key");
        outgoing.to = "exchange:events".into();
        assert_eq!(target(&outgoing).unwrap(), ("events".into(), "k".into()));
        outgoing.idempotency_key = "x".repeat(256);
        assert!(properties(&outgoing, &Kinds::default()).is_err(), "too long, and no panic");
    }
}
