//! Senders of whom something was refused, until it is written down.

use std::collections::BTreeSet;

use crate::request::Sender;

/// Most senders; more are dropped, and counted.
const MAX_SENDERS: usize = 10_000;
/// Most bytes of their names: whoever is refused chose them.
const MAX_BYTES: usize = 4 << 20;

/// Each sender once.
#[derive(Default)]
pub(super) struct Gaps {
    senders: BTreeSet<Sender>,
    bytes: usize,
}

impl Gaps {
    pub(super) fn is_empty(&self) -> bool {
        self.senders.is_empty()
    }

    /// Adds them within the bounds; returns how many were dropped.
    pub(super) fn add(&mut self, senders: impl IntoIterator<Item = Sender>) -> u64 {
        let mut dropped = 0;
        for sender in senders {
            if self.senders.contains(&sender) {
                continue;
            }
            let bytes = self.bytes + sender.bytes();
            if self.senders.len() >= MAX_SENDERS || bytes > MAX_BYTES {
                dropped += 1;
            } else {
                self.bytes = bytes;
                self.senders.insert(sender);
            }
        }
        dropped
    }

    pub(super) fn take(&mut self) -> Vec<Sender> {
        std::mem::take(self).senders.into_iter().collect()
    }
}

/// The body of an entry of kind `Refused`.
pub(super) fn body(senders: &[Sender]) -> Vec<u8> {
    let list: Vec<_> = senders.iter().map(|sender| (&sender.service, &sender.instance)).collect();
    serde_json::to_vec(&list).unwrap_or_default()
}

/// What such a body says.
pub(super) fn senders(body: &[u8]) -> Vec<Sender> {
    let list: Vec<(String, Option<String>)> = serde_json::from_slice(body).unwrap_or_default();
    list.into_iter().map(|(service, instance)| Sender { service, instance }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sender(service: &str) -> Sender {
        Sender { service: service.to_owned(), instance: None }
    }

    #[test]
    fn what_is_beyond_the_bounds_is_counted() {
        let mut gaps = Gaps::default();
        assert_eq!(gaps.add([sender("a"), sender("a"), sender("b")]), 0);
        assert_eq!(gaps.add([sender(&"x".repeat(MAX_BYTES)), sender("c")]), 1);
        assert_eq!(gaps.add((0..MAX_SENDERS).map(|n| sender(&n.to_string()))), 3);
        assert_eq!(gaps.take().len(), MAX_SENDERS);
        assert!(gaps.is_empty());
        assert_eq!(gaps.add([sender(&"x".repeat(MAX_BYTES))]), 0, "there is room again");
    }

    #[test]
    fn a_body_reads_back() {
        let senders = [sender("shop"), Sender { service: "stock".to_owned(), instance: Some("\u{1}".to_owned()) }];
        assert_eq!(super::senders(&body(&senders)), senders);
    }
}
