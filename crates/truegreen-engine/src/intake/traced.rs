//! Spans as far as traces are put together from them.

use std::borrow::Cow;

use truegreen_model::observation::{Evidence, InstanceId, Symbol, TraceId};
use truegreen_model::time::Timestamp;
use truegreen_otlp::{Span, Status, Value};

use super::digest::{News, Traced};
use super::spans::{kind, links};
use super::{Reading, entry};
use crate::matcher::key::hash;
use crate::matcher::names::Found;
use crate::matcher::resource::Resource;
use crate::matcher::vocabulary::Word;
use crate::trace::operation::Told;
use crate::trace::span::{Outcome, TracedSpan};

impl Reading<'_> {
    /// Adds a span to what traces are put together from.
    pub(super) fn trace(&mut self, span: &Span<'_, '_>, found: &Found<'_>, sender: &Resource, instance: InstanceId) {
        let Some(vocabulary) = &self.lamp.matcher.vocabulary else { return };
        let said = vocabulary.said(found);
        let peer = said.text(&[Word::PeerService, Word::ServerAddress]);
        let mut subject = said.text(&[Word::Destination, Word::Collection, Word::Cache]);
        let group = said.text(&[Word::Group]);
        let verb = said.text(&VERBS);
        let system = said.text(&[Word::MessagingSystem, Word::DatabaseSystem]);
        let cache_key = said.value(Word::CacheKey).map(|key| key.text()).or_else(|| {
            let statement = said.value(Word::Statement).filter(|_| CACHES.contains(&&*system))?.text();
            entry::of_statement(&statement).map(|key| key.to_owned().into())
        });
        let of_entry = cache_key.as_deref().map(entry::split);
        let key = match &of_entry {
            Some((family, id)) => key_of_entry(family, id),
            None if system.is_empty() => 0,
            None => match said.value(Word::Message) {
                Some(message) => key_of(&message.text()),
                None => parameter(span).map_or(0, |value| key_of(entry::split(&value).1)),
            },
        };
        if let Some((family, _)) = &of_entry
            && subject.is_empty()
        {
            subject = family.clone();
        }
        let told = Told {
            service: sender.service,
            service_name: sender.name,
            kind: kind(span.kind),
            name: span.name,
            texts: [&peer, &subject, &group, &verb, &system],
        };
        let operation = self.lamp.operations.find(told.hash());
        let error = said.text(&[Word::Error]);
        let partition = said.text(&[Word::Partition]);
        let symbol = |text: &[u8]| if text.is_empty() { None } else { self.lamp.symbols.find_bytes(text) };
        let symbols = (symbol(&error), symbol(&partition));
        let is_known = |text: &[u8], symbol: Option<Symbol>| text.is_empty() || symbol.is_some();
        let is_all_known = operation.is_some() && is_known(&error, symbols.0) && is_known(&partition, symbols.1);
        let news = || {
            let (error, partition) = ((*error).into(), (*partition).into());
            Box::new(News { operation: told.to_owned(), error, partition })
        };
        let news = (!is_all_known).then(news);
        let rows = said.value(Word::AffectedRows).or_else(|| said.value(Word::ReturnedRows)).and_then(number);
        let start = Timestamp(span.start);
        self.digest.traced.push(Traced {
            trace: TraceId(span.trace_id),
            span: TracedSpan {
                span: span.span_id,
                parent: span.parent_span_id,
                operation: operation.unwrap_or_default(),
                instance,
                outcome: match span.status {
                    Status::Unset => Outcome::Unset,
                    Status::Ok => Outcome::Ok,
                    Status::Error => Outcome::Error,
                },
                start,
                end: Timestamp(span.end).max(start),
                received: self.lamp.now,
                status: said.value(Word::Status).and_then(number).and_then(|n| u16::try_from(n).ok()).unwrap_or(0),
                error: symbols.0,
                refused: matches!(&*said.text(&[Word::Outcome]), b"rejected" | b"dead_lettered" | b"retried"),
                rows,
                hit: said.value(Word::Hit).and_then(flag),
                key,
                partition: symbols.1,
                links: links(span),
                evidence: Evidence { sequence: 0, offset: span.offset },
            },
            news,
        });
    }
}

/// Of these the first counts.
const VERBS: [Word; 4] =
    [Word::MessageOperationType, Word::MessageOperation, Word::DatabaseOperation, Word::CacheOperation];
/// Systems whose statements name the entry that they are about.
const CACHES: [&[u8]; 3] = [b"redis", b"valkey", b"memcached"];
/// Before the names of a statement's parameters, now and formerly.
const PARAMETERS: [&[u8]; 2] = [b"db.query.parameter.", b"db.operation.parameter."];

/// The last of a statement's parameters: mostly that which names the row.
fn parameter<'a>(span: &Span<'a, '_>) -> Option<Cow<'a, [u8]>> {
    let is_parameter = |name: &[u8]| PARAMETERS.iter().any(|prefix| name.starts_with(prefix));
    let mut parameters = span.attributes.iter().filter(|attribute| is_parameter(attribute.key));
    parameters.next_back().map(|attribute| attribute.value.text())
}

/// The hash of a text that names something; 0 where it names nothing.
fn key_of(text: &[u8]) -> u64 {
    if text.is_empty() { 0 } else { hash(text).max(1) }
}

/// The same of a cache's entry: the lower 48 bits are those of the id, above are the words around it.
fn key_of_entry(family: &[u8], id: &[u8]) -> u64 {
    const ID: u64 = (1 << 48) - 1;
    if id.is_empty() { 0 } else { (key_of(id) & ID).max(1) | (key_of(family) & !ID) }
}

fn number(value: Value<'_>) -> Option<u32> {
    match value {
        Value::Int(n) => u32::try_from(n).ok(),
        other => std::str::from_utf8(&other.text()).ok()?.trim().parse().ok(),
    }
}

fn flag(value: Value<'_>) -> Option<bool> {
    match value {
        Value::Bool(hit) => Some(hit),
        other => match &*other.text() {
            b"true" => Some(true),
            b"false" => Some(false),
            _ => None,
        },
    }
}
