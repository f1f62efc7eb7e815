//! What can be broken in the pipeline.

use std::fmt;
use std::str::FromStr;

use crate::Error;

/// One way in which the pipeline is broken, or not. What each service does differently stands in `plan.rs`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Fault {
    /// Nothing is broken; rare orders are complete and are handled.
    None,
    /// Orders leaves a field out of rare events; inventory acknowledges them without doing anything, and tells nobody.
    #[default]
    SilentSkip,
    /// Inventory refuses every event, with a reason.
    AllRejected,
    /// Inventory is up and healthy, but its consuming loop ended after the first few messages.
    NobodyConsuming,
    /// Inventory works, but a few seconds after its first message its telemetry goes to a closed port.
    DeadExporter,
    /// Orders asks for the label of a bulky return under a name that no carrier has, again and again without end.
    SilentLoop,
    /// Orders waits for ever for two people to fetch a bulky return; only one is on the rota.
    StalledRequest,
    /// Payments takes longer over gift cards than orders waits; orders accepts these orders unpaid.
    SwallowedTimeout,
    /// The SKUs of gifts are in capitals: inventory's `UPDATE` matches no row, and that counts as success.
    ZeroRowUpdate,
    /// Inventory takes half as long again over each message as there is until the next.
    SlowConsumer,
    /// A message that can never be handled is put back again and again, and its partition waits behind it.
    StuckConsumer,
    /// Inventory's release renamed the event of a new price; the storefront ignores it and serves the old prices.
    StaleCache,
    /// The clock of payments' host is seconds behind, so that fresh tokens are not yet valid there.
    ClockSkew,
    /// Inventory acknowledges first and writes later, from a buffer in memory that drops what does not fit.
    LostAfterAck,
    /// Orders publishes in a detached task, whose error nobody sees; messages over a limit are refused.
    LostPublish,
    /// Orders publishes again when a confirmation is lost, and inventory takes both for new.
    Duplicate,
    /// Orders publishes without headers, so that no trace goes past the queue.
    BrokenContext,
    /// Inventory's collector is slow and its span queue tiny: the SDK drops many of its spans.
    ExporterDrops,
    /// Payments can no longer write and says nothing; its health check only reads.
    LyingHealth,
}

impl Fault {
    /// Every fault, `none` first.
    pub const ALL: [Fault; 19] = [
        Fault::None,
        Fault::SilentSkip,
        Fault::AllRejected,
        Fault::NobodyConsuming,
        Fault::DeadExporter,
        Fault::SilentLoop,
        Fault::StalledRequest,
        Fault::SwallowedTimeout,
        Fault::ZeroRowUpdate,
        Fault::SlowConsumer,
        Fault::StuckConsumer,
        Fault::StaleCache,
        Fault::ClockSkew,
        Fault::LostAfterAck,
        Fault::LostPublish,
        Fault::Duplicate,
        Fault::BrokenContext,
        Fault::ExporterDrops,
        Fault::LyingHealth,
    ];

    /// As written on a command line.
    pub const fn name(self) -> &'static str {
        match self {
            Fault::None => "none",
            Fault::SilentSkip => "silent-skip",
            Fault::AllRejected => "all-rejected",
            Fault::NobodyConsuming => "nobody-consuming",
            Fault::DeadExporter => "dead-exporter",
            Fault::SilentLoop => "silent-loop",
            Fault::StalledRequest => "stalled-request",
            Fault::SwallowedTimeout => "swallowed-timeout",
            Fault::ZeroRowUpdate => "zero-row-update",
            Fault::SlowConsumer => "slow-consumer",
            Fault::StuckConsumer => "stuck-consumer",
            Fault::StaleCache => "stale-cache",
            Fault::ClockSkew => "clock-skew",
            Fault::LostAfterAck => "lost-after-ack",
            Fault::LostPublish => "lost-publish",
            Fault::Duplicate => "duplicate",
            Fault::BrokenContext => "broken-context",
            Fault::ExporterDrops => "exporter-drops",
            Fault::LyingHealth => "lying-health",
        }
    }

    /// One sentence for people: what really happens.
    pub const fn describe(self) -> &'static str {
        match self {
            Fault::None => "nothing is broken",
            Fault::SilentSkip => {
                "about one order in fifty lacks a field, and the consumer acknowledges it without doing anything"
            }
            Fault::AllRejected => "the consumer refuses every event, with a reason",
            Fault::NobodyConsuming => "the consumer is up and healthy, but stopped consuming after a few messages",
            Fault::DeadExporter => "the consumer works, but its telemetry goes nowhere after a few seconds",
            Fault::SilentLoop => "a rare return asks for a label again and again, without end",
            Fault::StalledRequest => "a rare return waits for ever for people who are not there",
            Fault::SwallowedTimeout => "payments by gift card time out, and the order is accepted unpaid",
            Fault::ZeroRowUpdate => "the stock update of gifts matches no row, and that counts as success",
            Fault::SlowConsumer => "the consumer is slower than its messages arrive, and the backlog grows",
            Fault::StuckConsumer => "one message is put back for ever, and its partition waits behind it",
            Fault::StaleCache => "new prices no longer reach the cache, which goes on serving the old ones",
            Fault::ClockSkew => "the clock of payments is seconds behind, so that fresh tokens are refused",
            Fault::LostAfterAck => "the consumer acknowledges first, and drops what its buffer cannot hold",
            Fault::LostPublish => "some events are never published, and the error is ignored",
            Fault::Duplicate => "some events are published twice, and their stock is taken twice",
            Fault::BrokenContext => "everything works, but no trace goes past the queue",
            Fault::ExporterDrops => {
                "everything works, but many of the consumer's spans are dropped before they are sent"
            }
            Fault::LyingHealth => "payments are no longer written down, while the health check passes",
        }
    }

    /// Whether there is mended code to run against the same trouble.
    pub const fn can_be_fixed(self) -> bool {
        !matches!(self, Fault::None | Fault::AllRejected | Fault::NobodyConsuming | Fault::DeadExporter)
    }

    pub(crate) fn names() -> String {
        Fault::ALL.map(Fault::name).join(", ")
    }

    pub(crate) fn names_with_a_fix() -> String {
        Fault::ALL.into_iter().filter(|fault| fault.can_be_fixed()).map(Fault::name).collect::<Vec<_>>().join(", ")
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Fault {
    type Err = Error;

    fn from_str(text: &str) -> Result<Fault, Error> {
        Fault::ALL.into_iter().find(|fault| fault.name() == text).ok_or_else(|| Error::UnknownFault(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::Fault;

    #[test]
    fn every_fault_reads_back_as_it_is_written() {
        for fault in Fault::ALL {
            assert_eq!(fault.to_string().parse::<Fault>().unwrap(), fault);
        }
        assert_eq!(BTreeSet::from(Fault::ALL.map(Fault::describe)).len(), Fault::ALL.len());
        let error = "silentskip".parse::<Fault>().unwrap_err().to_string();
        assert!(error.contains("hint: one of none, silent-skip, all-rejected"), "{error}");
    }
}
