//! What of a record is shown to people: no attribute that is not known to be harmless, and nothing without an end.

use std::collections::BTreeSet;

use truegreen_model::flow::{FanOut, Flow, Pattern, ReasonSource};
use truegreen_otlp::{Attribute, Value};

use super::terms::{self, MESSAGE_IDS};

/// Longest name of a span, an event, a service, an instance or a host, in bytes.
pub(crate) const MAX_NAME_BYTES: usize = 200;
/// Longest value of an attribute.
pub(crate) const MAX_VALUE_BYTES: usize = 300;
/// Longest message of a log line or a status.
pub(crate) const MAX_MESSAGE_BYTES: usize = 1000;

/// Attributes of OpenTelemetry's conventions that say what a span did. None of them carries what a user typed: no
/// statement, no query string, no header, no body.
const STANDARD: &[&str] = &[
    "cloudevents.event_source",
    "cloudevents.event_subject",
    "cloudevents.event_type",
    "db.collection.name",
    "db.name",
    "db.namespace",
    "db.operation",
    "db.operation.name",
    "db.query.summary",
    "db.response.status_code",
    "db.sql.table",
    "db.system",
    "db.system.name",
    "error.type",
    "exception.message",
    "exception.type",
    "http.method",
    "http.request.method",
    "http.request.resend_count",
    "http.response.status_code",
    "http.route",
    "http.status_code",
    "messaging.batch.message_count",
    "messaging.consumer.group.name",
    "messaging.conversation_id",
    "messaging.destination",
    "messaging.destination.name",
    "messaging.destination.partition.id",
    "messaging.destination.template",
    "messaging.kafka.consumer.group",
    "messaging.kafka.offset",
    "messaging.operation",
    "messaging.operation.name",
    "messaging.operation.type",
    "messaging.rabbitmq.destination.routing_key",
    "messaging.system",
    "peer.service",
    "rpc.grpc.status_code",
    "rpc.method",
    "rpc.service",
    "rpc.system",
    "server.address",
    "server.port",
    "truegreen.outcome",
    "truegreen.reason",
];

/// The attributes that are shown.
#[derive(Clone, Debug)]
pub(crate) struct Shown(terms::Names);

impl Shown {
    /// Those of the conventions, and all that these contracts read.
    pub(crate) fn of(flows: &[Flow]) -> Shown {
        let mut names: BTreeSet<&str> = STANDARD.iter().chain(&MESSAGE_IDS).copied().collect();
        for flow in flows {
            names.extend(terms::key_names(flow));
            let steps = flow.steps.iter();
            let conditions = steps.clone().flat_map(|step| step.when.iter().chain(&step.unless));
            names.extend(conditions.map(|condition| condition.attribute.as_str()));
            names.extend(steps.clone().filter_map(|step| step.fan_out.as_ref()).flat_map(|fan_out| match fan_out {
                FanOut::ForEach { attribute, item } => vec![attribute.as_str(), item.as_str()],
                FanOut::CountFrom { attribute } => vec![attribute.as_str()],
            }));
            let patterns: Vec<&Pattern> =
                steps.flat_map(|step| &step.any_of).chain(flow.exits.iter().flat_map(|exit| &exit.any_of)).collect();
            names.extend(patterns.iter().flat_map(|pattern| &pattern.attributes).map(|test| test.attribute.as_str()));
            for exit in &flow.exits {
                if let ReasonSource::Attributes(reasons) = &exit.reason {
                    names.extend(reasons.iter().map(String::as_str));
                }
            }
        }
        Shown(terms::Names::new(names.into_iter()))
    }

    /// Those of a record that are shown; of one that repeats, the last.
    pub(crate) fn pick<'a>(
        &self,
        attributes: impl IntoIterator<Item = Attribute<'a>>,
    ) -> std::collections::BTreeMap<String, String> {
        let known = attributes.into_iter().filter(|attribute| self.0.contain(attribute.key));
        known.map(|attribute| (text(attribute.key, MAX_NAME_BYTES), value(attribute.value, MAX_VALUE_BYTES))).collect()
    }
}

/// The text of a value, cut.
pub(crate) fn value(value: Value<'_>, most: usize) -> String {
    text(&value.text(), most)
}

/// Bytes as text of at most so many bytes, with an ellipsis where it was cut.
pub(crate) fn text(bytes: &[u8], most: usize) -> String {
    if bytes.len() <= most {
        return String::from_utf8_lossy(bytes).into_owned();
    }
    // Cutting within a character must not leave half of it behind as a replacement of its own.
    let cut = &bytes[..most];
    let whole = match std::str::from_utf8(cut) {
        Err(error) if error.error_len().is_none() => &cut[..error.valid_up_to()],
        _ => cut,
    };
    format!("{}…", String::from_utf8_lossy(whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut_between_characters() {
        assert_eq!(text("äöü".as_bytes(), 6), "äöü");
        assert_eq!(text("äöü".as_bytes(), 5), "äö…");
        assert_eq!(text(b"\xffab", 2), "\u{fffd}a…");
    }

    #[test]
    fn only_known_attributes_are_shown() {
        let attribute = |key, text| Attribute { key, value: Value::Text(text) };
        let sent: [Attribute<'_>; 3] =
            [attribute(b"http.route", b"/a"), attribute(b"password", b"x"), attribute(b"http.route", b"/b")];
        let shown = Shown::of(&[]).pick(sent);
        assert_eq!(shown.into_iter().collect::<Vec<_>>(), [("http.route".to_owned(), "/b".to_owned())]);
    }
}
