//! What frameworks write into the headers of a dead letter, and what must not travel back with it.

use serde_json::Value;
use truegreen_model::letter::Letter;

use super::stack::{error_type, own_frame};

/// Fields of a body that name its type, in order.
const TYPE_FIELDS: &[&str] =
    &["type", "eventType", "event_type", "messageType", "message_type", "event", "@type", "$type"];
/// Headers that do, in order; in small letters.
const TYPE_HEADERS: &[&str] = &[
    "ce-type",
    "ce_type",
    "cloudevents:type",
    "cloudevents_type",
    "message-type",
    "message_type",
    "event-type",
    "event_type",
    "__typeid__",
    "nservicebus.enclosedmessagetypes",
    "mt-messagetype",
    "type",
];
/// A body longer than this is not read for its type.
const MAX_READ_BYTES: usize = 256 << 10;

/// Headers that a death left, by how they begin; in small letters.
const LEFT_BY_DEATH: &[&str] = &[
    "kafka_dlt-",
    "kafka_original-",
    "kafka_exception-",
    "__connect.errors.",
    "__streams.errors.",
    "x-death",
    "x-first-death-",
    "x-last-death-",
    "x-delivery-count",
    "x-acquired-count",
    "x-exception-",
    "x-original-",
    "mt-fault-",
    "mt-reason",
    "nservicebus.failedq",
    "nservicebus.timeoffailure",
    "nservicebus.exceptioninfo.",
    "nats-expected-",
];
/// Of Watermill: `reason_poisoned` and so on.
const LEFT_AT_END: &str = "_poisoned";
/// Headers of ours, in small letters.
const OURS: &str = "truegreen-";
/// Headers that change each time a letter is looked at; in small letters.
const UNSTEADY: &[&str] = &["x-delivery-count", "x-acquired-count", "redelivered"];

/// The first header of this name, whatever its case.
pub fn value<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

/// Fills in what is still empty of a letter from headers that Spring, Kafka Connect and Streams, MassTransit, NServiceBus
/// and Watermill write, and from its body.
pub fn fill_in(letter: &mut Letter) {
    let Letter { headers, .. } = letter;
    let of = |names: &[&str]| {
        names.iter().find_map(|name| value(headers, name)).filter(|text| !text.is_empty()).map(str::to_owned)
    };
    let stack = of(&[
        "kafka_dlt-exception-stacktrace",
        "kafka_exception-stacktrace",
        "__connect.errors.exception.stacktrace",
        "__streams.errors.stacktrace",
        "x-exception-stacktrace",
        "mt-fault-stacktrace",
        "nservicebus.exceptioninfo.stacktrace",
    ]);
    let error = of(&[
        "kafka_dlt-exception-message",
        "kafka_exception-message",
        "__connect.errors.exception.message",
        "__streams.errors.message",
        "x-exception-message",
        "mt-fault-message",
        "nservicebus.exceptioninfo.message",
        "reason_poisoned",
        "mt-reason",
    ]);
    let kind = of(&[
        "kafka_dlt-exception-cause-fqcn",
        "kafka_dlt-exception-fqcn",
        "kafka_exception-cause-fqcn",
        "kafka_exception-fqcn",
        "__connect.errors.exception.class.name",
        "__streams.errors.exception",
        "mt-fault-exceptiontype",
        "nservicebus.exceptioninfo.exceptiontype",
    ]);
    let origin = of(&[
        "kafka_dlt-original-topic",
        "kafka_original-topic",
        "__connect.errors.topic",
        "__streams.errors.topic",
        "nservicebus.failedq",
        "topic_poisoned",
    ]);
    let message_id = of(&["message-id", "message_id", "nservicebus.messageid", "ce-id", "ce_id", "nats-msg-id"]);
    let died_at = of(&["mt-fault-timestamp"]);
    let traceparent = of(&["traceparent"]);

    let put = |field: &mut String, value: Option<String>| {
        if field.is_empty() {
            *field = value.unwrap_or_default();
        }
    };
    put(&mut letter.error, error);
    put(&mut letter.error_type, kind);
    put(&mut letter.origin, origin);
    put(&mut letter.message_id, message_id);
    put(&mut letter.traceparent, traceparent);
    put(&mut letter.died_at, died_at.filter(|time| time.parse::<jiff::Timestamp>().is_ok()));
    put(&mut letter.frame, stack.as_deref().map(own_frame));
    let told = stack.as_deref().map(error_type).filter(|told| !told.is_empty());
    let told = told.or_else(|| Some(error_type(&letter.error)));
    put(&mut letter.error_type, told);
    let message_type = message_type(&letter.headers, &letter.body);
    put(&mut letter.message_type, Some(message_type));
    letter.deaths = letter.deaths.max(1);
}

/// A message's type by its headers, or by a field of its JSON body; empty where neither tells.
pub fn message_type(headers: &[(String, String)], body: &[u8]) -> String {
    if let Some(told) = TYPE_HEADERS.iter().find_map(|name| value(headers, name)).filter(|told| !told.is_empty()) {
        // .NET writes the assembly behind the type.
        return short(told.split(',').next().unwrap_or(told));
    }
    if body.len() > MAX_READ_BYTES || body.trim_ascii_start().first() != Some(&b'{') {
        return String::new();
    }
    let Ok(Value::Object(fields)) = serde_json::from_slice(body) else { return String::new() };
    let told = TYPE_FIELDS.iter().find_map(|name| match fields.get(*name)? {
        Value::String(text) => Some(text.as_str()),
        Value::Array(list) => list.first()?.as_str(),
        _ => None,
    });
    told.map(short).unwrap_or_default()
}

fn short(text: &str) -> String {
    text.trim().chars().take(200).collect()
}

/// Whether a header tells of the death, and must not go back with the letter.
pub fn is_left_by_death(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    LEFT_BY_DEATH.iter().any(|left| name.starts_with(left)) || name.ends_with(LEFT_AT_END)
}

/// Whether a header is one that an earlier sending by us wrote.
pub fn is_ours(name: &str) -> bool {
    name.to_ascii_lowercase().starts_with(OURS)
}

/// Whether a header says the same each time the letter is looked at.
pub fn is_steady(name: &str) -> bool {
    !UNSTEADY.iter().any(|unsteady| name.eq_ignore_ascii_case(unsteady))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(headers: &[(&str, &str)], body: &str) -> Letter {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let mut letter = Letter { headers, body: body.as_bytes().to_vec(), ..Letter::default() };
        fill_in(&mut letter);
        letter
    }

    #[test]
    fn each_framework_is_understood() {
        let spring = letter(
            &[
                ("kafka_dlt-original-topic", "orders"),
                ("kafka_dlt-exception-fqcn", "org.springframework.kafka.listener.ListenerExecutionFailedException"),
                ("kafka_dlt-exception-cause-fqcn", "com.shop.OutOfStock"),
                ("kafka_dlt-exception-message", "none left"),
                (
                    "kafka_dlt-exception-stacktrace",
                    "com.shop.OutOfStock: none left\n\tat com.shop.Reserve.apply(R.java:4)",
                ),
                ("__TypeId__", "com.shop.OrderPlaced"),
            ],
            "{}",
        );
        assert_eq!((spring.origin.as_str(), spring.error_type.as_str()), ("orders", "com.shop.OutOfStock"));
        assert_eq!((spring.frame.as_str(), spring.error.as_str()), ("com.shop.Reserve.apply(R.java:4)", "none left"));
        assert_eq!((spring.message_type.as_str(), spring.deaths), ("com.shop.OrderPlaced", 1));

        let connect = letter(&[("__connect.errors.exception.class.name", "org.x.DataException")], "");
        assert_eq!(connect.error_type, "org.x.DataException");
        let masstransit = letter(
            &[("MT-Fault-Message", "no"), ("MT-Fault-ExceptionType", "Shop.Bad"), ("MT-Fault-Timestamp", "yesterday")],
            r#"{"messageType": ["urn:message:Shop:Placed"]}"#,
        );
        assert_eq!((masstransit.error_type.as_str(), masstransit.died_at.as_str()), ("Shop.Bad", ""));
        assert_eq!(masstransit.message_type, "urn:message:Shop:Placed");
        let watermill = letter(&[("reason_poisoned", "sku missing"), ("topic_poisoned", "orders")], "[]");
        assert_eq!((watermill.error.as_str(), watermill.origin.as_str()), ("sku missing", "orders"));
    }

    #[test]
    fn what_the_death_left_stays_behind() {
        for name in
            ["X-Death", "x-first-death-queue", "kafka_dlt-original-topic", "NServiceBus.FailedQ", "handler_poisoned"]
        {
            assert!(is_left_by_death(name), "{name}");
        }
        for name in ["traceparent", "content-type", "x-tenant", "NServiceBus.MessageId"] {
            assert!(!is_left_by_death(name), "{name}");
        }
        assert!(is_ours("Truegreen-Redrive-Id") && !is_steady("X-Delivery-Count") && is_steady("x-death"));
    }
}
