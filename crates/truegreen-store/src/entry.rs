//! What the log holds.

use truegreen_model::time::Timestamp;

/// What an entry is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Kind {
    /// An accepted `ExportTraceServiceRequest`.
    Traces,
    /// An accepted `ExportLogsServiceRequest`.
    Logs,
    /// An accepted `ExportMetricsServiceRequest`.
    Metrics,
    /// A request, or records of one, were refused.
    Refused,
    /// We listen again after an outage of our own.
    Resumed,
    /// We stopped in order: until then we listened, and everything that was taken stands before this.
    Stopped,
    /// The contracts that are in force for what stands behind this.
    Contracts,
    /// What systems answered when they were asked whether effects are there.
    Confirmations,
    /// Changes that were reported.
    Changes,
}

impl Kind {
    /// Every kind, each once.
    pub const ALL: [Kind; 9] = [
        Kind::Traces,
        Kind::Logs,
        Kind::Metrics,
        Kind::Refused,
        Kind::Resumed,
        Kind::Stopped,
        Kind::Contracts,
        Kind::Confirmations,
        Kind::Changes,
    ];

    /// Whether it is a note of our own rather than what a sender sent. Notes are small, and must be taken where requests
    /// no longer are: for them half of [`Options::min_free_bytes`](crate::Options::min_free_bytes) may be used.
    pub const fn is_note(self) -> bool {
        match self {
            Kind::Traces | Kind::Logs | Kind::Metrics | Kind::Changes => false,
            Kind::Refused | Kind::Resumed | Kind::Stopped | Kind::Contracts | Kind::Confirmations => true,
        }
    }

    /// Its name where entries are counted.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Traces => "traces",
            Kind::Logs => "logs",
            Kind::Metrics => "metrics",
            Kind::Refused => "refused",
            Kind::Resumed => "resumed",
            Kind::Stopped => "stopped",
            Kind::Contracts => "contracts",
            Kind::Confirmations => "confirmations",
            Kind::Changes => "changes",
        }
    }

    /// Its byte on disk; never reused for another meaning. A further one takes a further format: a program that does
    /// not know it must say so, and neither misread it nor take it for damage.
    pub(crate) const fn byte(self) -> u8 {
        match self {
            Kind::Traces => 1,
            Kind::Logs => 2,
            Kind::Metrics => 3,
            Kind::Refused => 4,
            Kind::Resumed => 5,
            Kind::Stopped => 6,
            Kind::Contracts => 7,
            Kind::Confirmations => 8,
            Kind::Changes => 9,
        }
    }

    pub(crate) fn from_byte(byte: u8) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.byte() == byte)
    }
}

/// How many entries there are of each kind.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct ByKind([u64; Kind::ALL.len()]);

impl ByKind {
    pub(crate) fn of(entries: &[Entry]) -> ByKind {
        let mut counts = ByKind::default();
        entries.iter().for_each(|entry| counts.0[entry.kind as usize] += 1);
        counts
    }

    pub(crate) fn add(&mut self, other: &ByKind) {
        self.0.iter_mut().zip(other.0).for_each(|(count, more)| *count += more);
    }

    /// Each kind that there is, with its number of entries.
    pub fn counts(&self) -> impl Iterator<Item = (Kind, u64)> + '_ {
        Kind::ALL.into_iter().map(|kind| (kind, self.0[kind as usize])).filter(|(_, count)| *count > 0)
    }
}

/// One accepted input as it was appended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Its place in the log: 1 for the first, one more for each next.
    pub sequence: u64,
    /// When we received it, by our clock.
    pub received_at: Timestamp,
    /// What it is.
    pub kind: Kind,
    /// The bytes as given to [`Log::append`](crate::Log::append).
    pub body: Vec<u8>,
}
