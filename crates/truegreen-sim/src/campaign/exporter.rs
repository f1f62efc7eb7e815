//! What leaves a process: batches every five seconds, of those traces that are sampled, unless the queue is full.

use super::record::{Content, Log, Span};

/// Seconds between two exports of a batch processor.
pub const EVERY: f64 = 5.0;
/// Most spans of one request.
const LARGEST_BATCH: usize = 512;
/// Seconds of one round of a queue that is full half of the time.
const ROUND: f64 = 0.7;

/// Consistent sampling by trace id.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Sampling {
    /// Share of traces that are kept.
    pub ratio: f64,
    /// Whether `tracestate` says so.
    pub is_marked: bool,
}

impl Sampling {
    /// Whether this trace is kept: by the lower 56 bits of its id, as the specification has it.
    pub fn keeps(&self, trace: u128) -> bool {
        (trace as u64 & ((1 << 56) - 1)) >= self.threshold()
    }

    fn threshold(&self) -> u64 {
        ((1.0 - self.ratio) * (1u64 << 56) as f64) as u64
    }

    /// What `tracestate` says.
    pub fn trace_state(&self) -> String {
        if !self.is_marked {
            return String::new();
        }
        let digits = format!("{:014x}", self.threshold());
        format!("ot=th:{}", digits.trim_end_matches('0'))
    }
}

/// The exporter of one process.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Exporter {
    spans: Vec<Span>,
    logs: Vec<Log>,
    /// From then on its queue is full half of the time.
    pub drops_from: Option<f64>,
    /// From then on nothing of it arrives.
    pub dead_from: Option<f64>,
    /// Spans that its queue had no room for.
    pub dropped: i64,
    /// Spans that it sent.
    pub processed: i64,
}

impl Exporter {
    /// A span that will end.
    pub fn span(&mut self, span: Span) {
        self.spans.push(span);
    }

    /// A log record that will be written.
    pub fn log(&mut self, log: Log) {
        self.logs.push(log);
    }

    /// What ended by now, as requests.
    pub fn flush(&mut self, now: f64, sampling: Option<Sampling>) -> Vec<Content> {
        let mut ended: Vec<Span> = self.spans.extract_if(.., |span| span.ended <= now).collect();
        ended.sort_by(|a, b| a.ended.total_cmp(&b.ended));
        ended.retain(|span| sampling.is_none_or(|sampling| sampling.keeps(span.context.trace)));
        if let Some(from) = self.drops_from {
            let before = ended.len();
            ended.retain(|span| span.ended < from || (span.ended / ROUND).fract() < 0.5);
            self.dropped += (before - ended.len()) as i64;
        }
        self.processed += ended.len() as i64;
        let mut written: Vec<Log> = self.logs.extract_if(.., |log| log.written <= now).collect();
        written.sort_by(|a, b| a.written.total_cmp(&b.written));
        if self.dead_from.is_some_and(|from| now >= from) {
            return Vec::new();
        }
        let mut requests = Vec::new();
        while !ended.is_empty() {
            let rest = ended.split_off(ended.len().min(LARGEST_BATCH));
            requests.push(Content::Spans(std::mem::replace(&mut ended, rest)));
        }
        if !written.is_empty() {
            requests.push(Content::Logs(written));
        }
        requests
    }
}
