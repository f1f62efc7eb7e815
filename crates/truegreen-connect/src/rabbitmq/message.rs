//! A message as a dead letter.

use std::fmt::Write as _;

use lapin::BasicProperties;
use lapin::message::Delivery;
use lapin::types::AMQPValue;
use rapidhash::v3::{RapidSecrets, rapidhash_v3_seeded};
use serde_json::Value;
use truegreen_model::letter::Letter;

use super::death;
use crate::dead_letters::headers::is_steady;
use crate::dead_letters::{MAX_BODY_BYTES, MAX_HEADER_BYTES, MAX_HEADERS};

/// How properties are called among the headers: `amqp.content-type`, and so on.
pub(super) const PROPERTY: &str = "amqp.";
/// Tables within tables that are read.
const MAX_DEPTH: usize = 8;

// These ids are kept by whoever redrives; they must never change.
const LOW: RapidSecrets = RapidSecrets::seed_cpp(0x6465_6164_206c_6574);
const HIGH: RapidSecrets = RapidSecrets::seed_cpp(0x7465_7220_6964_2121);

/// A value of a header as text.
pub(super) fn text(value: &AMQPValue) -> String {
    match value {
        AMQPValue::LongString(text) => bytes(text.as_bytes()),
        AMQPValue::ByteArray(array) => bytes(array.as_slice()),
        AMQPValue::Void => String::new(),
        value => match json(value, 0) {
            Value::String(text) => text,
            other => other.to_string(),
        },
    }
}

fn bytes(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().fold(String::new(), |mut hex, byte| {
            // Writing into a string cannot fail.
            let _written = write!(hex, "{byte:02x}");
            hex
        }),
    }
}

fn json(value: &AMQPValue, depth: usize) -> Value {
    match value {
        _ if depth > MAX_DEPTH => Value::Null,
        AMQPValue::Boolean(yes) => (*yes).into(),
        AMQPValue::ShortShortInt(number) => (*number).into(),
        AMQPValue::ShortShortUInt(number) => (*number).into(),
        AMQPValue::ShortInt(number) => (*number).into(),
        AMQPValue::ShortUInt(number) => (*number).into(),
        AMQPValue::LongInt(number) => (*number).into(),
        AMQPValue::LongUInt(number) => (*number).into(),
        AMQPValue::LongLongInt(number) => (*number).into(),
        AMQPValue::Float(number) => (*number).into(),
        AMQPValue::Double(number) => (*number).into(),
        AMQPValue::DecimalValue(number) => (f64::from(number.value) / 10f64.powi(number.scale.into())).into(),
        AMQPValue::ShortString(text) => text.as_str().into(),
        AMQPValue::LongString(text) => bytes(text.as_bytes()).into(),
        AMQPValue::ByteArray(array) => bytes(array.as_slice()).into(),
        AMQPValue::Timestamp(seconds) => (*seconds).into(),
        AMQPValue::FieldArray(array) => array.as_slice().iter().map(|value| json(value, depth + 1)).collect(),
        AMQPValue::FieldTable(table) => {
            let entries = table.inner().iter().map(|(name, value)| (name.to_string(), json(value, depth + 1)));
            Value::Object(entries.collect())
        }
        AMQPValue::Void => Value::Null,
    }
}

/// Properties that travel with a message, by name; its own id and its user do not.
fn properties(of: &BasicProperties) -> Vec<(&'static str, String)> {
    let words = [
        ("content-type", of.content_type()),
        ("content-encoding", of.content_encoding()),
        ("correlation-id", of.correlation_id()),
        ("reply-to", of.reply_to()),
        ("expiration", of.expiration()),
        ("type", of.kind()),
        ("app-id", of.app_id()),
    ];
    let words = words.into_iter().filter_map(|(name, word)| Some((name, word.as_ref()?.to_string())));
    let numbers = [
        ("delivery-mode", of.delivery_mode().map(u64::from)),
        ("priority", of.priority().map(u64::from)),
        ("timestamp", *of.timestamp()),
    ];
    words.chain(numbers.into_iter().filter_map(|(name, number)| Some((name, number?.to_string())))).collect()
}

/// What tells it from all other messages of its queue, save those that are the same in everything.
pub(super) fn identity(delivery: &Delivery) -> u128 {
    let mut told = Vec::new();
    let mut put = |part: &[u8]| {
        told.extend_from_slice(&(part.len() as u64).to_le_bytes());
        told.extend_from_slice(part);
    };
    put(delivery.exchange.as_str().as_bytes());
    put(delivery.routing_key.as_str().as_bytes());
    if let Some(id) = delivery.properties.message_id() {
        put(id.as_str().as_bytes());
    }
    for (name, value) in properties(&delivery.properties) {
        put(name.as_bytes());
        put(value.as_bytes());
    }
    for (name, value) in delivery.properties.headers().iter().flat_map(|headers| headers.inner()) {
        if is_steady(name.as_str()) {
            put(name.as_str().as_bytes());
            put(text(value).as_bytes());
        }
    }
    let half = |secrets: &RapidSecrets| {
        let body = rapidhash_v3_seeded(&delivery.data, secrets).to_le_bytes();
        rapidhash_v3_seeded(&[&told[..], &body[..]].concat(), secrets)
    };
    u128::from(half(&HIGH)) << 64 | u128::from(half(&LOW))
}

/// The n-th of messages that are the same in everything.
pub(super) fn id(identity: u128, nth: u32) -> String {
    if nth == 0 { format!("{identity:032x}") } else { format!("{identity:032x}-{nth}") }
}

/// As the letter of this id that it is in this place.
pub(super) fn letter(place: &str, id: String, delivery: Delivery) -> Letter {
    let Delivery { routing_key, properties: own, mut data, .. } = delivery;
    let is_long = data.len() > MAX_BODY_BYTES;
    data.truncate(MAX_BODY_BYTES);
    let mut letter = Letter { id, place: place.to_owned(), body: data, is_cut: is_long, ..Letter::default() };
    letter.message_id = own.message_id().as_ref().map(ToString::to_string).unwrap_or_default();
    letter.message_type = own.kind().as_ref().map(ToString::to_string).unwrap_or_default();
    for (name, value) in properties(&own) {
        letter.headers.push((format!("{PROPERTY}{name}"), value));
    }
    let headers = own.headers().clone().unwrap_or_default();
    for (name, value) in headers.inner() {
        let mut value = text(value);
        // What is left out here would be missing when the letter is sent, so it is cut then.
        if value.len() > MAX_HEADER_BYTES {
            let end = (0..=MAX_HEADER_BYTES).rev().find(|at| value.is_char_boundary(*at)).unwrap_or_default();
            value.truncate(end);
            letter.is_cut |= !crate::dead_letters::headers::is_left_by_death(name.as_str());
        }
        if letter.headers.len() < MAX_HEADERS {
            letter.headers.push((name.to_string(), value));
        } else {
            letter.is_cut = true;
        }
    }
    death::tell(&mut letter, &headers, routing_key.as_str());
    letter
}
