//! A plain webhook: one JSON document for each finding that opens or closes, in their order.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::post::{Posted, Poster, backoff};
use super::{MAX_WAITING, Notice, Receive};

/// After so many failures a notice is given up, about ten minutes later.
const MAX_ATTEMPTS: u32 = 15;
const IDLE: Duration = Duration::from_secs(3600);

pub(super) struct Webhook {
    poster: Poster,
    link: String,
    waiting: VecDeque<Value>,
    failures: u32,
    due: Instant,
}

impl Webhook {
    pub(super) fn new(poster: Poster, link: &str) -> Webhook {
        Webhook { poster, link: link.to_owned(), waiting: VecDeque::new(), failures: 0, due: Instant::now() }
    }

    /// Sends the oldest; false if it must wait.
    fn send_one(&mut self) -> bool {
        let Some(body) = self.waiting.front() else { return false };
        match self.poster.post("", body) {
            Posted::Later if self.failures + 1 < MAX_ATTEMPTS => {
                self.failures += 1;
                self.due = Instant::now() + backoff(self.failures);
                return false;
            }
            Posted::Later => self.poster.metrics.alerts_dropped.add("gave_up", 1),
            Posted::Taken | Posted::Refused => {}
        }
        self.failures = 0;
        self.waiting.pop_front();
        true
    }
}

impl Receive for Webhook {
    fn note(&mut self, notice: Notice) {
        let (event, finding) = match notice {
            Notice::Opened(finding) => ("finding_opened", finding),
            Notice::Closed(finding) => ("finding_closed", finding),
            Notice::Stop => return,
        };
        if self.waiting.len() >= MAX_WAITING {
            return self.poster.metrics.alerts_dropped.add("queue_full", 1);
        }
        let link = format!("{}/#finding-{}", self.link, finding.id);
        // `text` is what Slack-compatible receivers show.
        self.waiting.push_back(json!({"event": event, "text": finding.title, "finding": *finding, "url": link}));
    }

    fn send_due(&mut self, now: Instant) -> Duration {
        if self.due <= now {
            while self.send_one() {}
        }
        if self.waiting.is_empty() { IDLE } else { self.due.saturating_duration_since(Instant::now()) }
    }

    fn last_words(&mut self, until: Instant) {
        while Instant::now() < until && self.send_one() {}
    }
}
