//! The orchestrator: starts the services, places the load, watches as an ordinary dashboard would, and stops them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::child::Service;
use crate::config::SERVICES;
use crate::load::{self, Customers, Load, LoadSummary, Mix, Progress};
use crate::monitoring::{self, OrdinaryMonitoring, Poller};
use crate::parts::{Parts, Site};
use crate::peers::Peers;
use crate::plan::Plan;
use crate::truth::Truth;
use crate::{Error, Fault, http};

/// How long a started service may take to answer its health check.
const HEALTHY_WITHIN: Duration = Duration::from_secs(15);
/// How often a wait looks again.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// The queue counts as standing still when its depth has not changed for so long.
const STILL: Duration = Duration::from_secs(2);
/// Longest wait for the queue to empty.
const SETTLE_AT_MOST: Duration = Duration::from_secs(30);

/// What to run.
#[derive(Clone, Debug)]
pub struct Setup {
    /// OTLP/gRPC address, `http://127.0.0.1:4317`.
    pub otlp_endpoint: String,
    /// Each run makes a directory of its own in here.
    pub data_dir: PathBuf,
    /// What is broken.
    pub fault: Fault,
    /// Runs the repaired code against the same trouble; only for faults that [`Fault::can_be_fixed`].
    pub fixed: bool,
    /// Orders per second.
    pub rate_per_second: f64,
    /// Decides the mix of orders.
    pub seed: u64,
    /// How long orders are placed.
    pub load_for: Duration,
    /// The program whose `demo-service` subcommand runs [`crate::serve_role`].
    pub exe: PathBuf,
    /// Names what the run makes on real parts, and its folder: letters and digits. [`Setup::name`] makes one up.
    pub run: String,
    /// The real parts it runs on.
    pub parts: Parts,
}

impl Setup {
    /// A name that no other run has.
    pub fn name() -> String {
        format!("{:08x}", fastrand::u32(..))
    }
}

/// The running pipeline. Dropping it without [`Pipeline::stop`] makes the services end by themselves.
pub struct Pipeline {
    setup: Setup,
    site: Site,
    /// storefront, orders, payments, inventory.
    services: [Service; 4],
    poller: Poller,
    customers: Arc<Customers>,
    placed_before: u64,
}

impl Pipeline {
    /// Starts all services and waits until each answers its health check.
    ///
    /// # Errors
    /// The set-up makes no sense, its files cannot be written, or a service does not come up.
    pub async fn start(setup: Setup) -> Result<Pipeline, Error> {
        load::planned(setup.rate_per_second, setup.load_for)?;
        if setup.fixed && !setup.fault.can_be_fixed() {
            return Err(Error::NothingToFix(setup.fault));
        }
        let run = setup.run.clone();
        let run_dir = setup.data_dir.join(format!("run-{run}"));
        std::fs::create_dir_all(&run_dir).map_err(Error::file("create", &run_dir))?;
        let run_dir = run_dir.canonicalize().map_err(Error::file("find", &run_dir))?;
        let site = Site { run_dir, run, parts: setup.parts.clone() };
        let preparing = site.clone();
        let prepared = http::blocking(move || preparing.create()).await.and_then(|prepared| prepared);
        let started = match prepared {
            Ok(()) => start_services(&setup, &site).await,
            Err(error) => Err(error),
        };
        match started {
            Ok(services) => {
                let poller = Poller::start(services.iter().map(|service| (service.name, service.url(), service.pid)));
                let customers = Arc::new(Customers::default());
                Ok(Pipeline { site, services, poller, customers, placed_before: 0, setup })
            }
            Err(error) => {
                // Why it did not start is what counts, not what may have been left behind.
                let _removed = http::blocking(move || site.remove()).await;
                Err(error)
            }
        }
    }

    /// Places orders at the rate and for the time of the set-up, and tells `progress` about four times a second.
    /// Dropping the future ends the load.
    ///
    /// # Errors
    /// A thread of the load panicked. Orders that fail are counted, not errors.
    pub async fn run_load(&mut self, progress: impl FnMut(Progress)) -> Result<LoadSummary, Error> {
        let planned = load::planned(self.setup.rate_per_second, self.setup.load_for)?;
        let first = self.placed_before;
        self.placed_before += planned;
        let load = Load {
            mix: Mix { seed: self.setup.seed },
            rate_per_second: self.setup.rate_per_second,
            planned,
            storefront: self.storefront().url(),
            inventory: self.inventory().url(),
            customers: Arc::clone(&self.customers),
        };
        load.run(first, progress).await
    }

    /// What an ordinary dashboard shows now.
    pub fn ordinary(&self) -> OrdinaryMonitoring {
        let (services, queue_depth) = self.poller.seen();
        let (placed, failed) = self.customers.answers();
        let ms = |us: u64| Duration::from_micros(us).as_secs_f64() * 1_000.0;
        let mean_us = self.customers.total_us.load(Ordering::Relaxed).checked_div(placed + failed);
        let slowest_us = self.customers.slowest_us.load(Ordering::Relaxed);
        OrdinaryMonitoring {
            services,
            checkouts_placed: placed,
            checkouts_failed: failed,
            others_failed: self.customers.others_failed.load(Ordering::Relaxed),
            returns_unanswered: self.customers.returns_unanswered.load(Ordering::Relaxed),
            checkout_mean_ms: mean_us.map(ms),
            checkout_slowest_ms: (slowest_us > 0).then(|| ms(slowest_us)),
            queue_depth,
        }
    }

    /// Waits until the queue is empty, or has stood still for 2 seconds, or 30 seconds have passed.
    pub async fn settle(&self) {
        let started = Instant::now();
        let mut last = (started, None);
        while started.elapsed() < SETTLE_AT_MOST && last.0.elapsed() < STILL {
            let depth = health(self.inventory()).await.and_then(|health| health.queue_depth);
            if depth == Some(0) {
                return;
            }
            if depth != last.1 {
                last = (Instant::now(), depth);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Has every service send what telemetry it still holds and end; one that does not within 5 seconds is killed. Then
    /// removes what this run made on real parts.
    ///
    /// # Errors
    /// A service had ended before, failed, or had to be killed; or a part does not let go of what was made there.
    pub async fn stop(self) -> Result<(), Error> {
        drop(self.poller);
        let [storefront, orders, payments, inventory] = self.services.map(Service::stop);
        let (storefront, orders, payments, inventory) = tokio::join!(storefront, orders, payments, inventory);
        let site = self.site;
        let removed = http::blocking(move || site.remove()).await.and_then(|removed| removed);
        storefront.and(orders).and(payments).and(inventory).and(removed)
    }

    /// What the services really did so far.
    ///
    /// # Errors
    /// A truth file does not read.
    pub fn truth(&self) -> Result<Truth, Error> {
        Truth::read(&self.site.run_dir, &SERVICES)
    }

    /// Where this run's database, truth files and the services' output are.
    pub fn run_dir(&self) -> &Path {
        &self.site.run_dir
    }

    /// The process ids of the services, by name: storefront, orders, payments, inventory.
    pub fn pids(&self) -> [(&'static str, u32); 4] {
        self.services.each_ref().map(|service| (service.name, service.pid))
    }

    fn storefront(&self) -> &Service {
        let [storefront, ..] = &self.services;
        storefront
    }

    fn inventory(&self) -> &Service {
        let [.., inventory] = &self.services;
        inventory
    }
}

async fn start_services(setup: &Setup, site: &Site) -> Result<[Service; 4], Error> {
    let [storefront, orders, payments, inventory] = Plan { setup, run_dir: &site.run_dir }.services();
    let (storefront, orders, payments, inventory) = tokio::try_join!(
        Service::start(&setup.exe, &storefront),
        Service::start(&setup.exe, &orders),
        Service::start(&setup.exe, &payments),
        Service::start(&setup.exe, &inventory),
    )?;
    let services = [storefront, orders, payments, inventory];
    let addresses = services.iter().map(|service| (service.name, service.url()));
    Peers::write(&site.run_dir, &addresses.collect::<BTreeMap<_, _>>())?;
    for service in &services {
        wait_until_healthy(service).await?;
    }
    Ok(services)
}

async fn wait_until_healthy(service: &Service) -> Result<(), Error> {
    let started = Instant::now();
    while started.elapsed() < HEALTHY_WITHIN {
        if health(service).await.is_some() {
            return Ok(());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Err(Error::NotUp { service: service.name, waited: HEALTHY_WITHIN, output: service.output() })
}

async fn health(service: &Service) -> Option<http::Health> {
    let url = format!("{}/healthz", service.url());
    let answer = tokio::task::spawn_blocking(move || monitoring::ask(&http::agent(Some(LOOK_EVERY * 20)), &url));
    answer.await.ok().flatten()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Pipeline, Setup};
    use crate::{Error, Fault, Parts};

    /// Guarantee: a set-up that makes no sense is refused before anything is written or started.
    #[tokio::test]
    async fn a_setup_that_makes_no_sense_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let setup = Setup {
            otlp_endpoint: "http://127.0.0.1:1".into(),
            data_dir: dir.path().join("data"),
            fault: Fault::AllRejected,
            fixed: true,
            rate_per_second: 20.0,
            seed: 1,
            load_for: Duration::from_secs(1),
            exe: "/no/such/program".into(),
            run: "1".into(),
            parts: Parts::default(),
        };
        let refused = Pipeline::start(setup.clone()).await.err().unwrap();
        assert!(matches!(refused, Error::NothingToFix(Fault::AllRejected)), "{refused}");
        let refused = Pipeline::start(Setup { fixed: false, rate_per_second: 0.0, ..setup }).await.err().unwrap();
        assert!(matches!(refused, Error::Rate(_)), "{refused}");
        assert!(!dir.path().join("data").exists());
    }
}
