//! A plain webhook: one JSON document for each finding that opens, is diagnosed or closes, and each system that fails or works
//! again, in their order.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use truegreen_model::diagnosis::Brief;
use truegreen_model::report::FindingReport;

use super::post::{Posted, Poster, backoff};
use super::{MAX_WAITING, Notice, Receive, page_of};
use crate::systems::latest::Probed;
use crate::systems::words;
use crate::wording;

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

/// What happened; once it is known, why.
fn text(finding: &FindingReport) -> String {
    let why = |brief: &Brief| format!("{}: {}", brief.verdict.name(), wording::sentence(&brief.says));
    finding.diagnosis.as_ref().map_or_else(|| finding.title.clone(), why)
}

impl Receive for Webhook {
    fn note(&mut self, notice: Notice) {
        // `text` is what Slack-compatible receivers show.
        let finding = |event: &str, finding: &FindingReport| {
            let link = page_of(&self.link, finding);
            json!({"event": event, "text": text(finding), "finding": finding, "url": link})
        };
        let system = |event: &str, text: String, probed: &Probed| json!({"event": event, "text": text, "system": probed, "url": format!("{}/systems", self.link)});
        let document = match &notice {
            Notice::Opened(opened) => finding("finding_opened", opened),
            Notice::Diagnosed(diagnosed) => finding("finding_diagnosed", diagnosed),
            Notice::Closed(closed) => finding("finding_closed", closed),
            Notice::Fails(probed) => system("system_fails", words::failure(&probed.report), probed),
            Notice::Works(probed) => {
                let text = format!("{} ({}) works again", probed.report.system, probed.report.kind);
                system("system_works", text, probed)
            }
            Notice::Stop => return,
        };
        if self.waiting.len() >= MAX_WAITING {
            return self.poster.metrics.alerts_dropped.add("queue_full", 1);
        }
        self.waiting.push_back(document);
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
