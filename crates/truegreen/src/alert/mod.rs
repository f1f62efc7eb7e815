//! Findings, and systems that fail, out: to Alertmanagers and webhooks. Each receiver has a thread of its own, so that a dead one holds up
//! nobody; what is given up is counted (INV-DROP-1).

mod alertmanager;
mod post;
mod webhook;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use truegreen_model::report::FindingReport;

use crate::config::{AlertKind, AlertTarget};
use crate::metrics::Metrics;
use crate::systems::latest::Probed;

/// Notices that may wait for one receiver.
const MAX_WAITING: usize = 1000;
/// What a receiver gets to hear the last notices when we stop.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// What happened.
#[derive(Clone, Debug)]
enum Notice {
    /// A finding.
    Opened(Arc<FindingReport>),
    /// It says now why it is there.
    Diagnosed(Arc<FindingReport>),
    Closed(Arc<FindingReport>),
    /// A system that is asked itself.
    Fails(Arc<Probed>),
    Works(Arc<Probed>),
    Stop,
}

/// The way to all receivers. Never blocks.
#[derive(Clone)]
pub struct Handle {
    targets: Vec<Target>,
    metrics: Arc<Metrics>,
}

#[derive(Clone)]
struct Target {
    notices: mpsc::Sender<Notice>,
    waiting: Arc<AtomicUsize>,
}

/// The threads that post.
pub struct Alerts {
    handle: Handle,
    threads: Vec<JoinHandle<()>>,
}

/// A receiver's own part: what to send, and when to be called again.
trait Receive {
    /// Takes a notice.
    fn note(&mut self, notice: Notice);

    /// Sends what is due; says when to be called again at the latest.
    fn send_due(&mut self, now: Instant) -> Duration;

    /// Tries once more to send all that waits.
    fn last_words(&mut self, until: Instant);
}

impl Alerts {
    /// Starts a thread for each receiver. `link` is where the pages are reached.
    pub fn start(targets: &[AlertTarget], link: &str, metrics: Arc<Metrics>) -> std::io::Result<Alerts> {
        let mut handle = Handle { targets: Vec::new(), metrics: metrics.clone() };
        let mut threads = Vec::new();
        for target in targets {
            let (notices, receiver) = mpsc::channel();
            let waiting = Arc::new(AtomicUsize::new(0));
            let poster = post::Poster::new(&target.url, metrics.clone());
            let mut receive: Box<dyn Receive + Send> = match target.kind {
                AlertKind::Alertmanager => Box::new(alertmanager::Alertmanager::new(poster, link)),
                AlertKind::Webhook => Box::new(webhook::Webhook::new(poster, link)),
            };
            let counted = waiting.clone();
            let work = move || deliver(&mut *receive, &receiver, &counted);
            threads.push(std::thread::Builder::new().name("alerts".to_owned()).spawn(work)?);
            handle.targets.push(Target { notices, waiting });
        }
        Ok(Alerts { handle, threads })
    }

    /// The way to them.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Lets each send what waits, within a bound, and ends.
    pub fn stop(self) {
        for target in &self.handle.targets {
            drop(target.notices.send(Notice::Stop));
        }
        for thread in self.threads {
            drop(thread.join());
        }
    }
}

impl Handle {
    /// A finding opened, or opened again.
    pub fn opened(&self, finding: FindingReport) {
        self.tell(&Notice::Opened(Arc::new(finding)));
    }

    /// A finding is explained, and says so itself: that is told behind its opening, which waits for nobody.
    pub fn diagnosed(&self, finding: FindingReport) {
        self.tell(&Notice::Diagnosed(Arc::new(finding)));
    }

    /// A finding was resolved or withdrawn.
    pub fn closed(&self, finding: FindingReport) {
        self.tell(&Notice::Closed(Arc::new(finding)));
    }

    /// A system that is asked itself fails.
    pub fn fails(&self, system: Probed) {
        self.tell(&Notice::Fails(Arc::new(system)));
    }

    /// It does no longer.
    pub fn works(&self, system: Probed) {
        self.tell(&Notice::Works(Arc::new(system)));
    }

    fn tell(&self, notice: &Notice) {
        for target in &self.targets {
            if target.waiting.load(Ordering::Relaxed) >= MAX_WAITING {
                self.metrics.alerts_dropped.add("queue_full", 1);
                continue;
            }
            target.waiting.fetch_add(1, Ordering::Relaxed);
            drop(target.notices.send(notice.clone()));
        }
    }
}

/// The page of a finding, below this address.
fn page_of(link: &str, finding: &FindingReport) -> String {
    format!("{link}/findings/{}", finding.id)
}

fn deliver(receive: &mut dyn Receive, notices: &Receiver<Notice>, waiting: &AtomicUsize) {
    loop {
        let wait = receive.send_due(Instant::now());
        match notices.recv_timeout(wait) {
            Ok(Notice::Stop) | Err(RecvTimeoutError::Disconnected) => break,
            Ok(notice) => {
                waiting.fetch_sub(1, Ordering::Relaxed);
                receive.note(notice);
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
    receive.last_words(Instant::now() + LAST_WORDS);
}
