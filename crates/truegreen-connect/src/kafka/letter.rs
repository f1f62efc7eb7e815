//! A record, as a letter: what Spring, Kafka Connect, Kafka Streams and plain consumers write into its headers.

use jiff::Timestamp;
use rdkafka::message::{Headers as _, Message};
use truegreen_model::letter::Letter;

use crate::dead_letters::{MAX_BODY_BYTES, MAX_HEADER_BYTES, MAX_HEADERS};

/// The header that a letter is sent back with.
pub(super) const IDEMPOTENCY_KEY: &str = "truegreen-idempotency-key";
/// What stands before bytes that are no UTF-8, so that they can be sent back as they were.
const HEXADECIMAL: &str = "hex:";

const ORIGIN: &[&str] = &[
    "kafka_dlt-original-topic",
    "__connect.errors.topic",
    "__streams.errors.topic",
    "x-original-topic",
    "original-topic",
];
const ERROR_TYPE: &[&str] = &[
    "kafka_dlt-exception-cause-fqcn",
    "kafka_dlt-exception-fqcn",
    "__connect.errors.exception.class.name",
    "__streams.errors.exception",
    "x-exception-class",
    "exception-type",
    "exception.type",
    "exception",
];
const ERROR: &[&str] = &[
    "kafka_dlt-exception-message",
    "__connect.errors.exception.message",
    "__streams.errors.message",
    "x-exception-message",
    "exception-message",
    "exception.message",
    "reason",
    "error",
];
const STACK: &[&str] = &[
    "kafka_dlt-exception-stacktrace",
    "__connect.errors.exception.stacktrace",
    "__streams.errors.stacktrace",
    "x-exception-stacktrace",
    "exception.stacktrace",
    "exception-stacktrace",
];
const TYPE: &[&str] = &["__TypeId__", "ce_type", "message-type", "event-type", "eventType", "type"];
const ID: &[&str] = &["ce_id", "message-id", "event-id", "id"];
const DEATHS: &[&str] = &["retry_topic-attempts", "kafka_deliveryAttempt"];

/// Frames of libraries begin so.
const LIBRARIES: &[&str] = &[
    "java.",
    "javax.",
    "jdk.",
    "sun.",
    "com.sun.",
    "jakarta.",
    "kotlin.",
    "kotlinx.",
    "scala.",
    "akka.",
    "reactor.",
    "io.netty.",
    "org.springframework.",
    "org.apache.",
    "io.micrometer.",
    "io.confluent.",
    "com.fasterxml.",
    "org.hibernate.",
    "io.quarkus.",
];

/// The letter that a record is.
pub(super) fn of(place: &str, record: &impl Message) -> Letter {
    let mut raw: Vec<(&str, &[u8])> = Vec::new();
    if let Some(told) = record.headers() {
        raw.extend(told.iter().take(MAX_HEADERS).map(|header| (header.key, header.value.unwrap_or_default())));
    }
    let find = |names: &[&str]| names.iter().find_map(|name| raw.iter().find(|(key, _)| key == name));
    let text = |names: &[&str]| find(names).map(|(name, value)| shown(name, value)).unwrap_or_default();
    let payload = record.payload().unwrap_or_default();
    let origin = match text(ORIGIN) {
        told if told.is_empty() => origin_of(place).to_owned(),
        told => told,
    };
    let died_at = record.timestamp().to_millis().and_then(|millis| Timestamp::from_millisecond(millis).ok());
    Letter {
        id: format!("{}:{}", record.partition(), record.offset()),
        place: place.to_owned(),
        origin,
        key: record.key().map(reversible).unwrap_or_default(),
        message_id: text(ID),
        message_type: text(TYPE),
        error_type: text(ERROR_TYPE),
        error: text(ERROR),
        frame: own_frame(&text(STACK)),
        deaths: text(DEATHS).parse().unwrap_or(1).max(1),
        died_at: died_at.map(|time| time.to_string()).unwrap_or_default(),
        traceparent: text(&["traceparent"]),
        headers: raw.iter().map(|(name, value)| (cut(name), shown(name, value))).collect(),
        body: payload[..payload.len().min(MAX_BODY_BYTES)].to_vec(),
        is_cut: payload.len() > MAX_BODY_BYTES,
    }
}

/// A header's value: a number where it is known to be one, else text.
fn shown(name: &str, value: &[u8]) -> String {
    let is_number =
        name.starts_with("kafka_dlt-original-") || DEATHS.contains(&name) || name.starts_with("retry_topic-");
    match (is_number, value.len()) {
        (true, 4) => value.try_into().map(|bytes| i32::from_be_bytes(bytes).to_string()).unwrap_or_default(),
        (true, 8) if std::str::from_utf8(value).map_or(true, |text| text.contains('\0')) => {
            value.try_into().map(|bytes| i64::from_be_bytes(bytes).to_string()).unwrap_or_default()
        }
        _ => reversible(value),
    }
}

/// As text, from which the same bytes can be made again where nothing was cut.
fn reversible(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.starts_with(HEXADECIMAL) => cut(text),
        _ => {
            let digits = bytes.iter().take(MAX_HEADER_BYTES / 2).map(|byte| format!("{byte:02x}"));
            std::iter::once(HEXADECIMAL.to_owned()).chain(digits).collect()
        }
    }
}

/// The bytes of which [`Letter`] shows this text.
pub(super) fn bytes_of(text: &str) -> Vec<u8> {
    let digits = text.strip_prefix(HEXADECIMAL).filter(|digits| digits.is_ascii() && digits.len() % 2 == 0);
    let bytes = digits.and_then(|digits| {
        let pair = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).ok();
        (0..digits.len()).step_by(2).map(pair).collect::<Option<Vec<u8>>>()
    });
    bytes.unwrap_or_else(|| text.as_bytes().to_vec())
}

fn cut(text: &str) -> String {
    let mut end = text.len().min(MAX_HEADER_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}

/// Whether a topic is one of dead letters by its name.
pub(super) fn is_named_dead(topic: &str) -> bool {
    !origin_of(topic).is_empty()
}

/// The topic that a dead-letter topic is of, by its name; empty for any other.
fn origin_of(topic: &str) -> &str {
    let lower = topic.to_ascii_lowercase();
    if !topic.is_ascii() {
        return "";
    }
    for end in ["-dlt", ".dlt", "-dlq", ".dlq", "_dlq", "_dlt"] {
        if lower.ends_with(end) {
            return &topic[..topic.len() - end.len()];
        }
    }
    for begin in ["dlq-", "dlq.", "dlt-"] {
        if lower.starts_with(begin) {
            return &topic[begin.len()..];
        }
    }
    ""
}

/// The first frame of a stack that is no library's.
fn own_frame(stack: &str) -> String {
    let frames = stack.lines().map(str::trim).filter_map(|line| line.strip_prefix("at "));
    // `app//com.shop.Stock.move(Stock.java:12)`: a loader or module may stand before the class.
    let class = |frame: &str| frame.rsplit_once('/').map_or(frame, |(_, class)| class).to_owned();
    let own = frames.map(class).find(|frame| !LIBRARIES.iter().any(|library| frame.starts_with(library)));
    own.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use rdkafka::Timestamp as Time;
    use rdkafka::message::{Header, OwnedHeaders, OwnedMessage};

    use super::*;

    fn letter(headers: &[(&str, &[u8])], key: Option<&[u8]>, body: &[u8]) -> Letter {
        let mut owned = OwnedHeaders::new();
        for (key, value) in headers {
            owned = owned.insert(Header { key, value: Some(*value) });
        }
        let time = Time::CreateTime(1_767_323_045_000);
        let body = Some(body.to_vec());
        of(
            "orders-dlt",
            &OwnedMessage::new(body, key.map(<[u8]>::to_vec), "orders-dlt".into(), time, 3, 41, Some(owned)),
        )
    }

    #[test]
    fn a_letter_of_spring_is_read_with_its_numbers() {
        let stack = b"org.springframework.kafka.X: y\n\tat org.springframework.kafka.Z.run(Z.java:1)\n\
                      \tat app//com.shop.Stock.move(Stock.java:12)\n\tat com.shop.Main.main(Main.java:3)\n";
        let told: &[(&str, &[u8])] = &[
            ("kafka_dlt-original-topic", b"orders"),
            ("kafka_dlt-original-partition", &[0, 0, 0, 2]),
            ("kafka_dlt-original-offset", &[0, 0, 0, 0, 0, 0, 4, 210]),
            ("kafka_dlt-exception-fqcn", b"org.springframework.kafka.listener.ListenerExecutionFailedException"),
            ("kafka_dlt-exception-cause-fqcn", b"com.shop.OutOfStock"),
            ("kafka_dlt-exception-message", b"none left"),
            ("kafka_dlt-exception-stacktrace", stack),
            ("retry_topic-attempts", &[0, 0, 0, 5]),
            ("__TypeId__", b"com.shop.OrderPlaced"),
            ("traceparent", b"00-a-b-01"),
        ];
        let letter = letter(told, Some(b"order-7"), b"{}");
        assert_eq!((letter.id.as_str(), letter.origin.as_str(), letter.key.as_str()), ("3:41", "orders", "order-7"));
        assert_eq!((letter.error_type.as_str(), letter.error.as_str()), ("com.shop.OutOfStock", "none left"));
        assert_eq!((letter.frame.as_str(), letter.deaths), ("com.shop.Stock.move(Stock.java:12)", 5));
        assert_eq!((letter.headers[1].1.as_str(), letter.headers[2].1.as_str()), ("2", "1234"));
        assert_eq!(
            (letter.message_type.as_str(), letter.died_at.as_str()),
            ("com.shop.OrderPlaced", "2026-01-02T03:04:05Z")
        );
    }

    #[test]
    fn letters_of_connect_and_streams_and_of_nobody_in_particular_are_read() {
        let connect = letter(
            &[("__connect.errors.topic", b"raw"), ("__connect.errors.exception.class.name", b"DataException")],
            None,
            b"",
        );
        assert_eq!((connect.origin.as_str(), connect.error_type.as_str()), ("raw", "DataException"));
        let streams = letter(&[("__streams.errors.message", b"bad"), ("__streams.errors.exception", b"E")], None, b"");
        assert_eq!((streams.error.as_str(), streams.error_type.as_str()), ("bad", "E"));
        // Nothing tells but the topic's name.
        assert_eq!(letter(&[], None, b"").origin, "orders");
    }

    #[test]
    fn bytes_that_are_no_text_come_back_as_they_were() {
        let read = letter(&[("binary", &[0xff, 0x00]), ("text", b"hex:1")], Some(&[0xfe, 0x01]), b"");
        assert_eq!((read.key.as_str(), bytes_of(&read.key)), ("hex:fe01", vec![0xfe, 0x01]));
        assert_eq!((bytes_of(&read.headers[0].1), bytes_of(&read.headers[1].1)), (vec![0xff, 0x00], b"hex:1".to_vec()));
        assert_eq!(bytes_of("plain"), b"plain");
    }

    #[test]
    fn what_is_too_long_is_cut_and_said_to_be() {
        let value = vec![b'x'; MAX_HEADER_BYTES + 9];
        let many: Vec<(&str, &[u8])> = (0..MAX_HEADERS + 5).map(|_| ("h", value.as_slice())).collect();
        let read = letter(&many, None, &vec![0; MAX_BODY_BYTES + 1]);
        assert_eq!((read.headers.len(), read.headers[0].1.len()), (MAX_HEADERS, MAX_HEADER_BYTES));
        assert_eq!((read.body.len(), read.is_cut), (MAX_BODY_BYTES, true));
    }

    #[test]
    fn dead_letter_topics_are_known_by_name() {
        for (topic, origin) in [
            ("orders-dlt", "orders"),
            ("orders.DLT", "orders"),
            ("orders.dlq", "orders"),
            ("dlq-orders", "orders"),
            ("orders", ""),
        ] {
            assert_eq!((origin_of(topic), is_named_dead(topic)), (origin, !origin.is_empty()), "{topic}");
        }
    }
}
