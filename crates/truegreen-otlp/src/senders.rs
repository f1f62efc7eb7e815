//! Whose request it was, as far as can be told.

use crate::Signal;
use crate::value::{Deepest, Value, pair};
use crate::wire::{self, Reader};

/// Most senders told apart in one request.
const MAX_SENDERS: usize = 64;

/// Most fields looked at, so that a hostile body costs no more than an honest one.
const MAX_FIELDS: usize = 100_000;

/// Who sent a part of a request.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Sender<'a> {
    /// `service.name`.
    pub service: &'a [u8],
    /// `service.instance.id`, where it was sent.
    pub instance: Option<&'a [u8]>,
}

/// Whose request this was, from a body that may be cut short or malformed: what can be read is told, each sender once,
/// in the order sent, 64 at most. Never an error: a refused request is a gap in somebody's telemetry, and a guess at
/// whose beats none.
pub fn senders(_signal: Signal, body: &[u8]) -> Vec<Sender<'_>> {
    // The three signals agree on everything down to the resource's attributes.
    let mut senders: Vec<Sender<'_>> = Vec::new();
    let mut left = MAX_FIELDS;
    let mut request = Remains { fields: Reader::new(body), wanted: wire::len(1) };
    while let Some(group) = request.next(&mut left) {
        let sender = sender(group, &mut left);
        if let Some(sender) = sender
            && !senders.contains(&sender)
        {
            senders.push(sender);
            if senders.len() == MAX_SENDERS {
                break;
            }
        }
    }
    senders
}

fn sender<'a>(group: &'a [u8], left: &mut usize) -> Option<Sender<'a>> {
    let (mut service, mut instance) = (None, None);
    let mut resources = Remains { fields: Reader::new(group), wanted: wire::len(1) };
    while let Some(resource) = resources.next(left) {
        let mut attributes = Remains { fields: Reader::new(resource), wanted: wire::len(1) };
        while let Some(bytes) = attributes.next(left) {
            let Ok(attribute) = pair(bytes, 0, &mut Deepest::default()) else {
                continue;
            };
            match (attribute.key, attribute.value) {
                (b"service.name", Value::Text(text)) => service = Some(text),
                (b"service.instance.id", Value::Text(text)) => instance = Some(text),
                _ => {}
            }
        }
    }
    service.map(|service| Sender { service, instance })
}

/// The fields of one key in what may be a torso.
struct Remains<'a> {
    fields: Reader<'a>,
    wanted: u32,
}

impl<'a> Remains<'a> {
    fn next(&mut self, left: &mut usize) -> Option<&'a [u8]> {
        while !self.fields.is_empty() {
            *left = left.checked_sub(1)?;
            let key = self.fields.key().ok()?;
            if key == self.wanted {
                return self.fields.chunk_or_rest();
            }
            self.fields.pass(key, 0).ok()?;
        }
        None
    }
}
