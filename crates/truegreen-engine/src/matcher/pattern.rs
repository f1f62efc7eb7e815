//! Whether one record matches one pattern of a contract.

use std::borrow::Cow;

use truegreen_model::flow::{Pattern, Signal, SpanKind, Test, Text};
use truegreen_otlp::Value;

use super::names::{Found, NameId, Names};
use super::resource::Resource;

/// A span, log record or event, as far as contracts look at it.
pub(crate) struct Record<'a, 's> {
    pub(crate) signal: Signal,
    pub(crate) name: &'s [u8],
    pub(crate) kind: SpanKind,
    pub(crate) severity: u8,
    pub(crate) body: Option<Value<'a>>,
    pub(crate) found: &'s Found<'a>,
    pub(crate) resource: &'s Resource,
}

impl<'a> Record<'a, '_> {
    /// The record's own attribute, or else its resource's.
    pub(crate) fn value(&self, name: NameId) -> Option<Cow<'_, [u8]>> {
        match self.own(name) {
            Some(value) => Some(value.text()),
            None => self.resource.value(name).map(Cow::Borrowed),
        }
    }

    /// The record's own attribute.
    pub(crate) fn own(&self, name: NameId) -> Option<&Value<'a>> {
        self.found.iter().find(|(id, _)| *id == name).map(|(_, value)| value)
    }
}

/// A pattern with its names interned. Its service is judged once per resource, and an exact name by a map.
#[derive(Debug)]
pub(crate) struct Compiled {
    pub(crate) signal: Signal,
    pub(crate) service: Option<Text>,
    pub(crate) name: Option<Text>,
    kind: Option<SpanKind>,
    severity_at_least: u8,
    body: Option<Text>,
    attributes: Vec<(NameId, Test)>,
    /// Matches only records that say their outcome themselves.
    pub(crate) needs_outcome: bool,
}

impl Compiled {
    pub(crate) fn new(pattern: &Pattern, needs_outcome: bool, names: &mut Names) -> Self {
        let attribute =
            |condition: &truegreen_model::flow::Condition| (names.intern(&condition.attribute), condition.test.clone());
        Compiled {
            signal: pattern.signal,
            service: pattern.service.clone(),
            name: pattern.name.clone(),
            kind: pattern.kind,
            severity_at_least: pattern.severity_at_least.unwrap_or(0),
            body: pattern.body.clone(),
            attributes: pattern.attributes.iter().map(attribute).collect(),
            needs_outcome,
        }
    }

    /// Everything but signal, service and an exact name, which the index has judged already.
    pub(crate) fn matches(&self, record: &Record<'_, '_>) -> bool {
        self.kind.is_none_or(|kind| kind == record.kind)
            && record.severity >= self.severity_at_least
            && self.name.as_ref().is_none_or(|name| name.is_exact() || name.matches(record.name))
            && self.body.as_ref().is_none_or(|body| record.body.is_some_and(|value| body.matches(&value.text())))
            && self.attributes.iter().all(|(name, test)| holds(test, record.value(*name).as_deref()))
    }
}

/// Whether a test holds on the text of an attribute's value, or on its absence.
pub(crate) fn holds(test: &Test, value: Option<&[u8]>) -> bool {
    match (test, value) {
        (Test::Absent, value) => value.is_none(),
        (_, None) => false,
        (Test::Present, Some(_)) => true,
        (Test::AnyOf(texts), Some(value)) => texts.iter().any(|text| text.matches(value)),
        (Test::NoneOf(texts), Some(value)) => !texts.iter().any(|text| text.matches(value)),
        (Test::Number { at_least, below }, Some(value)) => {
            let number = std::str::from_utf8(value).ok().and_then(|text| text.trim().parse::<f64>().ok());
            number.is_some_and(|n| at_least.is_none_or(|low| n >= low) && below.is_none_or(|high| n < high))
        }
    }
}
