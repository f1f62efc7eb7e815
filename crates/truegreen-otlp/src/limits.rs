//! What one request may ask for, what is refused beyond it, and the count of both.

/// Bounds on one request. A record beyond a bound is refused alone (partial success); the request is not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Most attributes of one record, and of one resource: beyond it in a resource, its records are all refused.
    pub max_attributes: usize,
    /// Deepest nesting of arrays and maps in an attribute or a log body; a plain value has depth 0.
    pub max_depth: usize,
    /// Most links of one span.
    pub max_links: usize,
    /// Most records (spans, log records, data points) of one request; those after it are refused.
    pub max_records: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { max_attributes: 128, max_depth: 16, max_links: 1024, max_records: 1_000_000 }
    }
}

/// Why one record was refused while the others of its request were taken.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Refusal {
    /// More attributes than [`Limits::max_attributes`].
    TooManyAttributes,
    /// An attribute or a body nested deeper than [`Limits::max_depth`].
    TooDeep,
    /// More links than [`Limits::max_links`].
    TooManyLinks,
    /// More records than [`Limits::max_records`].
    TooManyRecords,
    /// A span whose trace id is not 16 bytes, or all zero.
    BadTraceId,
    /// A span whose id is not 8 bytes, or all zero.
    BadSpanId,
    /// A span whose parent's id is neither absent nor 8 bytes.
    BadParentSpanId,
}

impl Refusal {
    /// How many reasons there are.
    pub const COUNT: usize = Self::ALL.len();

    /// All reasons, in the order of [`Tally::refused`].
    pub const ALL: [Refusal; 7] = [
        Refusal::TooManyAttributes,
        Refusal::TooDeep,
        Refusal::TooManyLinks,
        Refusal::TooManyRecords,
        Refusal::BadTraceId,
        Refusal::BadSpanId,
        Refusal::BadParentSpanId,
    ];

    /// The reason as a label of a metric, in snake_case.
    pub const fn name(self) -> &'static str {
        match self {
            Refusal::TooManyAttributes => "too_many_attributes",
            Refusal::TooDeep => "too_deep",
            Refusal::TooManyLinks => "too_many_links",
            Refusal::TooManyRecords => "too_many_records",
            Refusal::BadTraceId => "bad_trace_id",
            Refusal::BadSpanId => "bad_span_id",
            Refusal::BadParentSpanId => "bad_parent_span_id",
        }
    }
}

/// The records of one request (spans, log records or data points), taken and refused.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Tally {
    /// Records handed to the sink.
    pub accepted: u64,
    /// Records refused, by the position of their reason in [`Refusal::ALL`].
    pub refused: [u64; Refusal::COUNT],
    /// Links left out of an accepted span because their ids were no ids: some SDKs link to an empty context, and the
    /// span itself is still worth having.
    pub ignored_links: u64,
}

impl Tally {
    /// Records refused for whatever reason.
    pub fn refused_total(&self) -> u64 {
        self.refused.iter().sum()
    }

    /// Reasons that occurred, with how often.
    pub fn refusals(&self) -> impl Iterator<Item = (Refusal, u64)> + '_ {
        Refusal::ALL.into_iter().zip(self.refused).filter(|(_, count)| *count > 0)
    }

    pub(crate) fn refuse(&mut self, why: Refusal) {
        self.refused[why as usize] += 1;
    }
}
