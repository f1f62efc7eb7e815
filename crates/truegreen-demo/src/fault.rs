//! What can be broken in the pipeline.

use std::fmt;
use std::str::FromStr;

use crate::Error;

/// One way in which the pipeline is broken, or not.
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
}

impl Fault {
    /// Every fault, `none` first.
    pub const ALL: [Fault; 5] =
        [Fault::None, Fault::SilentSkip, Fault::AllRejected, Fault::NobodyConsuming, Fault::DeadExporter];

    /// As written on a command line.
    pub const fn name(self) -> &'static str {
        match self {
            Fault::None => "none",
            Fault::SilentSkip => "silent-skip",
            Fault::AllRejected => "all-rejected",
            Fault::NobodyConsuming => "nobody-consuming",
            Fault::DeadExporter => "dead-exporter",
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
        }
    }

    pub(crate) fn names() -> String {
        Fault::ALL.map(Fault::name).join(", ")
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
    use super::Fault;

    #[test]
    fn every_fault_reads_back_as_it_is_written() {
        for fault in Fault::ALL {
            assert_eq!(fault.to_string().parse::<Fault>().unwrap(), fault);
        }
        let error = "silentskip".parse::<Fault>().unwrap_err().to_string();
        assert!(error.contains("hint: one of none, silent-skip, all-rejected"), "{error}");
    }
}
