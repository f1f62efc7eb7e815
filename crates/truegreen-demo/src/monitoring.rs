//! What an ordinary dashboard shows of the pipeline: health checks, the error rate of checkouts, queue depth, CPU.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde::Serialize;
use ureq::Agent;

use crate::http::{self, Health};

/// How often each service is asked for its health.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(1);

/// What ordinary monitoring says.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct OrdinaryMonitoring {
    /// storefront, orders, payments, inventory.
    pub services: Vec<ServiceHealth>,
    /// Checkouts answered with 201.
    pub checkouts_placed: u64,
    /// Checkouts answered otherwise, or not at all.
    pub checkouts_failed: u64,
    /// Looks at products, changes of prices and returns that were answered with an error of the server's.
    pub others_failed: u64,
    /// Returns whose customer gave up waiting. Only the customer knows of these.
    pub returns_unanswered: u64,
    /// Mean time to a checkout's answer, in milliseconds.
    pub checkout_mean_ms: Option<f64>,
    /// Longest time to a checkout's answer, in milliseconds.
    pub checkout_slowest_ms: Option<f64>,
    /// Messages not acknowledged yet, as the last health checks say; absent if no service that knows it answers.
    pub queue_depth: Option<u64>,
}

impl OrdinaryMonitoring {
    /// Failed checkouts among all (0 to 1); 0 if there were none.
    pub fn checkout_error_rate(&self) -> f64 {
        let answered = self.checkouts_placed + self.checkouts_failed;
        #[expect(clippy::cast_precision_loss, reason = "counts of one demo run")]
        let rate = self.checkouts_failed as f64 / answered.max(1) as f64;
        rate
    }

    /// Every health check of every service passed and no request was answered with an error. Queue depth has no say in
    /// it, as nobody can tell a number that is right for all days; nor have customers who gave up, as nothing tells of
    /// them.
    pub fn is_green(&self) -> bool {
        let passed = self.services.iter().all(|service| service.asked > 0 && service.passed == service.asked);
        passed && self.checkouts_failed == 0 && self.others_failed == 0
    }
}

/// One service as its health checks show it.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct ServiceHealth {
    /// `service.name`.
    pub service: &'static str,
    /// Health checks so far.
    pub asked: u64,
    /// Those answered with 200 and `pass`.
    pub passed: u64,
    /// Whether the last one passed.
    pub healthy: bool,
    /// Mean share of one core, in percent, since the first check; absent where the system does not tell.
    pub cpu_percent: Option<f64>,
}

/// What the poller knows of one service.
struct Watched {
    url: String,
    pid: u32,
    health: ServiceHealth,
    queue_depth: Option<u64>,
    /// When the first check was, and the CPU time used until then, in milliseconds.
    cpu_from: Option<(Instant, u64)>,
}

/// Asks every service for its health, once a second, on a thread of its own.
pub(crate) struct Poller {
    watched: Arc<Mutex<Vec<Watched>>>,
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Poller {
    /// `services`: name, address, process id.
    pub(crate) fn start(services: impl IntoIterator<Item = (&'static str, String, u32)>) -> Poller {
        let watch = |(service, url, pid)| Watched {
            url: format!("{url}/healthz"),
            pid,
            health: ServiceHealth { service, asked: 0, passed: 0, healthy: false, cpu_percent: None },
            queue_depth: None,
            cpu_from: None,
        };
        let watched = Arc::new(Mutex::new(services.into_iter().map(watch).collect::<Vec<_>>()));
        let (stop, stopped) = mpsc::channel();
        let theirs = Arc::clone(&watched);
        let thread = std::thread::spawn(move || {
            let agent = http::agent(Some(PATIENCE));
            loop {
                ask_all(&agent, &theirs);
                if stopped.recv_timeout(ASK_EVERY) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
            }
        });
        Poller { watched, stop: Some(stop), thread: Some(thread) }
    }

    /// What is known of each service, and the queue's depth.
    pub(crate) fn seen(&self) -> (Vec<ServiceHealth>, Option<u64>) {
        let watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        let health = watched.iter().map(|one| one.health.clone()).collect();
        // Inventory, the consumer, is asked last and knows best.
        (health, watched.iter().rev().find_map(|one| one.queue_depth))
    }
}

impl Drop for Poller {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the poller has already been printed; nothing else is lost with it.
            let _ended = thread.join();
        }
    }
}

fn ask_all(agent: &Agent, watched: &Mutex<Vec<Watched>>) {
    let lock = || watched.lock().unwrap_or_else(PoisonError::into_inner);
    let addresses: Vec<String> = lock().iter().map(|one| one.url.clone()).collect();
    for (index, url) in addresses.iter().enumerate() {
        let answer = ask(agent, url);
        if let Some(one) = lock().get_mut(index) {
            one.note(answer);
        }
    }
}

/// The answer of one health check, if it passed.
pub(crate) fn ask(agent: &Agent, url: &str) -> Option<Health> {
    let mut answer = agent.get(url).call().ok()?;
    let health = answer.body_mut().read_json::<Health>().ok()?;
    (answer.status().is_success() && health.status == "pass").then_some(health)
}

impl Watched {
    fn note(&mut self, answer: Option<Health>) {
        self.health.asked += 1;
        self.health.healthy = answer.is_some();
        self.health.passed += u64::from(answer.is_some());
        // Of a service that does not answer, nothing is known: the depth it told last is old.
        self.queue_depth = answer.and_then(|health| health.queue_depth);
        let Some(used) = cpu_ms(self.pid) else { return };
        let now = Instant::now();
        let (from, used_before) = *self.cpu_from.get_or_insert((now, used));
        let passed = now.duration_since(from);
        if !passed.is_zero() {
            let busy = Duration::from_millis(used.saturating_sub(used_before));
            self.health.cpu_percent = Some(100.0 * busy.as_secs_f64() / passed.as_secs_f64());
        }
    }
}

/// CPU time that a process has used, in milliseconds.
#[cfg(target_os = "linux")]
fn cpu_ms(pid: u32) -> Option<u64> {
    parse_cpu_ms(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

#[cfg(not(target_os = "linux"))]
fn cpu_ms(_pid: u32) -> Option<u64> {
    None
}

/// From a line of `/proc/<pid>/stat`: fields 14 and 15, in ticks of 10 ms, as all of Linux's ports report them.
#[cfg(target_os = "linux")]
fn parse_cpu_ms(stat: &str) -> Option<u64> {
    // The second field, the program's name, is in parentheses and may hold anything.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11).map(str::parse::<u64>);
    let user = fields.next()?.ok()?;
    let system = fields.next()?.ok()?;
    Some((user + system) * 10)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #[test]
    fn cpu_time_is_read_past_a_program_name_with_parentheses() {
        let stat = "42 (a (b) c) S 1 42 42 0 -1 4194304 500 0 0 0 7 3 0 0 20 0 4 0 100 1000 10";
        assert_eq!(super::parse_cpu_ms(stat), Some(100));
        assert_eq!(super::parse_cpu_ms("42 (a"), None);
        assert!(super::cpu_ms(std::process::id()).is_some());
    }
}
