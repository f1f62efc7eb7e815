//! A stored message, as a letter.

use async_nats::HeaderMap;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use truegreen_model::letter::Letter;

use super::told::{Advisory, Stored};
use crate::Error;
use crate::dead_letters::{MAX_BODY_BYTES, MAX_HEADER_BYTES, MAX_HEADERS};

/// Headers in which it is told, by those who put letters aside, where a message came from.
const ORIGIN: &[&str] =
    &["original-subject", "x-original-subject", "nats-original-subject", "dlq-original-subject", "topic_poisoned"];
/// By which error.
const ERROR_TYPE: &[&str] = &["exception-type", "x-exception-type", "error-type", "x-error-type", "x-exception-class"];
/// And what it said.
const ERROR: &[&str] =
    &["exception-message", "x-exception-message", "error-message", "error", "x-error", "reason", "reason_poisoned"];
/// How often it was tried.
const DEATHS: &[&str] = &["x-death-count", "deliveries", "num-delivered", "x-retry-count"];

/// The letter that a message in a dead-letter stream is.
pub(super) fn of_message(place: &str, stored: &Stored) -> Result<Letter, Error> {
    let headers = headers(&stored.hdrs)?;
    let (body, is_cut) = body(&stored.data)?;
    let find = |names: &[&str]| {
        let is = |name: &str| names.iter().any(|known| known.eq_ignore_ascii_case(name));
        headers.iter().find(|(name, _)| is(name)).map(|(_, value)| value.clone()).unwrap_or_default()
    };
    Ok(Letter {
        id: stored.seq.to_string(),
        place: place.to_owned(),
        origin: find(ORIGIN),
        key: stored.subject.clone(),
        message_id: find(&["nats-msg-id", "message-id"]),
        message_type: find(&["message-type", "event-type", "ce-type", "type"]),
        error_type: find(ERROR_TYPE),
        error: find(ERROR),
        frame: find(&["exception-frame", "error-frame"]),
        deaths: find(DEATHS).parse().unwrap_or(1).max(1),
        died_at: stored.time.clone(),
        traceparent: find(&["traceparent"]),
        headers,
        body,
        is_cut,
    })
}

/// The letter of which an advisory tells; `original` is the message, where it is still there.
pub(super) fn of_advisory(
    place: &str,
    seq: u64,
    advisory: &Advisory,
    original: Option<&Stored>,
) -> Result<Letter, Error> {
    let of = format!("consumer {} of stream {}", short(&advisory.consumer), short(&advisory.stream));
    let terminated = advisory.kind.contains("terminated");
    let mut letter = match original {
        Some(stored) => of_message(place, stored)?,
        None => Letter::default(),
    };
    letter.id = seq.to_string();
    letter.place = place.to_owned();
    letter.origin = letter.key.clone();
    letter.deaths = u32::try_from(advisory.deliveries).unwrap_or(u32::MAX).max(1);
    letter.died_at = short(&advisory.timestamp);
    letter.error_type = if terminated { "terminated" } else { "max_deliveries" }.to_owned();
    letter.error = match (terminated, advisory.reason.as_str()) {
        (true, "") => format!("{of} ended it"),
        (true, reason) => format!("{of} ended it: {}", short(reason)),
        (false, _) => format!("{of} was given it {} times and never acknowledged it", advisory.deliveries),
    };
    if original.is_none() {
        // Nothing is left to be sent.
        letter.is_cut = true;
        letter.deaths = letter.deaths.max(1);
        letter.error += &format!("; message {} is not there any more", advisory.stream_seq);
    }
    Ok(letter)
}

fn short(text: &str) -> String {
    text.chars().take(1024).collect()
}

/// Bytes of a body, cut at the bound, and whether they were.
fn body(data: &str) -> Result<(Vec<u8>, bool), Error> {
    let mut body = STANDARD.decode(data).map_err(|error| Error::Nonsense(format!("a body: {error}")))?;
    let is_cut = body.len() > MAX_BODY_BYTES;
    body.truncate(MAX_BODY_BYTES);
    Ok((body, is_cut))
}

/// The headers of a stored message: a line `NATS/1.0`, then a line each.
fn headers(encoded: &str) -> Result<Vec<(String, String)>, Error> {
    let bytes = STANDARD.decode(encoded).map_err(|error| Error::Nonsense(format!("headers: {error}")))?;
    let text = |bytes: &[u8]| match std::str::from_utf8(bytes) {
        Ok(text) => cut(text.trim()),
        Err(_) => bytes.iter().take(MAX_HEADER_BYTES / 2).map(|byte| format!("{byte:02x}")).collect(),
    };
    let lines = bytes.split(|byte| *byte == b'\n').skip(1);
    let named = lines.filter_map(|line| {
        let colon = line.iter().position(|byte| *byte == b':')?;
        Some((text(&line[..colon]), text(&line[colon + 1..])))
    });
    Ok(named.take(MAX_HEADERS).collect())
}

fn cut(text: &str) -> String {
    let mut end = text.len().min(MAX_HEADER_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}

/// Headers of what is sent back. What a header of NATS cannot carry is left out rather than let it end the headers early.
pub(super) fn outgoing(headers: &[(String, String)], idempotency_key: &str) -> HeaderMap {
    let mut map = HeaderMap::new();
    let can_be_sent = |text: &str| !text.contains(['\r', '\n', '\0']);
    let is_name = |name: &str| name.bytes().all(|byte| (33..=126).contains(&byte) && byte != b':') && !name.is_empty();
    for (name, value) in headers {
        // Those of JetStream itself tell of the old place: they would refuse or misdirect the new message.
        let is_ours = name.to_ascii_lowercase().starts_with("nats-");
        if is_name(name) && can_be_sent(value) && !is_ours {
            map.append(name.as_str(), value.as_str());
        }
    }
    if can_be_sent(idempotency_key) {
        map.insert("Nats-Msg-Id", idempotency_key);
    }
    map
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(headers: &str, body: &[u8]) -> Stored {
        Stored {
            subject: "orders.placed".into(),
            seq: 7,
            hdrs: STANDARD.encode(headers),
            data: STANDARD.encode(body),
            time: "2026-01-02T03:04:05Z".into(),
        }
    }

    #[test]
    fn a_letter_is_read_by_its_headers() {
        let text = "NATS/1.0\r\nNats-Msg-Id: m-1\r\nX-Original-Subject: orders.new\r\nexception-type: OutOfStock\r\n\
                    error: none left\r\ntraceparent: 00-a-b-01\r\n\r\n";
        let letter = of_message("ORDERS_DLQ", &stored(text, b"{}")).unwrap();
        assert_eq!(
            (letter.id.as_str(), letter.origin.as_str(), letter.key.as_str()),
            ("7", "orders.new", "orders.placed")
        );
        assert_eq!((letter.error_type.as_str(), letter.error.as_str()), ("OutOfStock", "none left"));
        assert_eq!((letter.message_id.as_str(), letter.traceparent.as_str(), letter.deaths), ("m-1", "00-a-b-01", 1));
        assert_eq!((letter.headers.len(), letter.body.as_slice(), letter.is_cut), (5, b"{}".as_slice(), false));
    }

    #[test]
    fn hostile_headers_and_bodies_are_bounded() {
        let many: String = (0..10_000).map(|index| format!("h{index}: {}\r\n", "x".repeat(100))).collect();
        let long = format!("NATS/1.0\r\nlong: {}\r\n{many}no colon\r\n", "é".repeat(10_000));
        let letter = of_message("D", &stored(&long, &vec![0; MAX_BODY_BYTES + 1])).unwrap();
        assert_eq!((letter.headers.len(), letter.body.len(), letter.is_cut), (MAX_HEADERS, MAX_BODY_BYTES, true));
        assert!(letter.headers[0].1.len() <= MAX_HEADER_BYTES);
        let broken = Stored { data: "%%%".into(), ..Stored::default() };
        assert!(of_message("D", &broken).is_err());
    }

    #[test]
    fn what_would_break_headers_is_not_sent() {
        let headers =
            [("a".to_owned(), "b\r\nNats-Rollup: all".to_owned()), ("Nats-Expected-Stream".into(), "OTHER".into())];
        let sent = outgoing(&headers, "key-1");
        assert_eq!((sent.len(), sent.get("Nats-Msg-Id").map(|id| id.as_str())), (1, Some("key-1")));
    }
}
