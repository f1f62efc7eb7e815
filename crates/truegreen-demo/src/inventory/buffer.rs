//! What was acknowledged and is still to be written. It is in memory only.

use std::collections::VecDeque;

use crate::config::Acknowledging;

#[derive(Debug)]
pub(super) struct Buffer<T> {
    capacity: usize,
    flush_every_ms: i64,
    waiting: VecDeque<T>,
    due_ms: i64,
}

impl<T> Buffer<T> {
    /// None if what is acknowledged has been written before.
    pub(super) fn of(acknowledging: Acknowledging, now_ms: i64) -> Option<Buffer<T>> {
        let Acknowledging::BeforeWriting { buffer, flush_every_ms } = acknowledging else { return None };
        let flush_every_ms = i64::try_from(flush_every_ms).unwrap_or(i64::MAX);
        let due_ms = now_ms.saturating_add(flush_every_ms);
        Some(Buffer { capacity: buffer, flush_every_ms, waiting: VecDeque::new(), due_ms })
    }

    /// The fault: what does not fit is gone, and nobody hears of it.
    pub(super) fn push(&mut self, work: T) {
        if self.waiting.len() < self.capacity {
            self.waiting.push_back(work);
        }
    }

    /// All that waits, if it is time.
    pub(super) fn due(&mut self, now_ms: i64) -> VecDeque<T> {
        if now_ms < self.due_ms {
            return VecDeque::new();
        }
        self.due_ms = now_ms.saturating_add(self.flush_every_ms);
        std::mem::take(&mut self.waiting)
    }
}
