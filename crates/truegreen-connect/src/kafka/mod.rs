//! Kafka: brokers, leaders and copies, whether groups move, and the letters that consumers put aside.
//!
//! - `client`: its clients, and why they fail, in words;
//! - `topics`, `groups`, `assignment`: what is said of them;
//! - `scratch`: a real write and read, where a scratch topic is allowed;
//! - `letters`, `reading`, `letter`, `progress`, `tail`: what lies dead; `glance`: what is under way.
//!
//! The client blocks, so all of it runs on threads that may.

mod assignment;
mod client;
mod glance;
mod groups;
mod letter;
mod letters;
mod progress;
mod reading;
mod scratch;
mod tail;
mod topics;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use rdkafka::consumer::Consumer as _;
use truegreen_model::probe::{Check, Standing};

use self::client::{Client, Maker};
use self::topics::Topics;
use crate::dead_letters::DeadLetters;
use crate::lag::Window;
use crate::live::Live;
use crate::probe::{failed, within};
use crate::system::Ask;
use crate::{Error, SystemConfig, socket};

/// Where nothing else is said.
const PORT: u16 = 9092;

/// One probe may take so many times the limit of one question; what is not asked by then is said.
const PATIENCE: u32 = 4;

/// Kafka.
pub struct Kafka {
    asker: Arc<Asker>,
}

/// What the threads share that ask.
struct Asker {
    config: Arc<SystemConfig>,
    maker: Maker,
    began: Instant,
    kept: Mutex<Kept>,
}

/// What is kept from probe to probe.
#[derive(Default)]
struct Kept {
    client: Option<Client>,
    /// A client for each group that is asked about: a client belongs to one.
    of_groups: HashMap<String, Client>,
    windows: HashMap<(String, String, i32), Window>,
    /// Since when a group is rebalancing.
    rebalancing: HashMap<String, Duration>,
}

impl Kafka {
    /// Asks nothing yet.
    ///
    /// # Errors
    /// Where its address lacks something.
    pub fn new(config: Arc<SystemConfig>) -> Result<Kafka, Error> {
        let maker = Maker::new(Arc::clone(&config))?;
        Ok(Kafka { asker: Arc::new(Asker { config, maker, began: Instant::now(), kept: Mutex::default() }) })
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        let kept = std::mem::take(&mut *self.asker.kept.lock().unwrap_or_else(PoisonError::into_inner));
        // A client waits for its threads when it is dropped, and whoever drops us may be one that must not wait.
        std::thread::spawn(move || drop(kept));
    }
}

/// Runs what blocks on a thread that may, and gives up waiting for it after the limit.
async fn blocking<T: Send + 'static>(
    limit: Duration,
    what: &'static str,
    asked: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let asked = async {
        // The client panics where a broker sends a name that is no UTF-8.
        tokio::task::spawn_blocking(asked).await.unwrap_or_else(|error| Err(Error::Nonsense(error.to_string())))
    };
    within(limit, what, asked).await
}

impl Asker {
    fn probe(&self) -> Vec<Check> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let until = Instant::now() + self.config.timeout * PATIENCE;
        let mut checks = Vec::new();
        if let Err(error) = self.asked(&mut kept, until, &mut checks) {
            checks.push(failed("connect", &error));
            // A client tells why it cannot connect once; a new one tells it again.
            *kept = Kept { windows: std::mem::take(&mut kept.windows), ..Kept::default() };
        }
        checks
    }

    fn asked(&self, kept: &mut Kept, until: Instant, checks: &mut Vec<Check>) -> Result<(), Error> {
        let client = match kept.client.take() {
            Some(client) => client,
            None => self.maker.consumer(None)?,
        };
        let metadata = client.fetch_metadata(None, self.config.timeout).map_err(|error| {
            match self.maker.explain(&client, &error, "for its topics") {
                Error::TimedOut { limit, .. } if !socket::takes_connections(&self.config.address.hosts(PORT)) => {
                    Error::TimedOut { what: "a connection", limit }
                }
                error => error,
            }
        })?;
        checks.push(Check::pass("connect"));
        let topics = Topics::of(&metadata, &self.config);
        checks.extend(topics.checks());
        if let Some((topic, partition)) = topics.readable() {
            checks.push(match self.watermarks(&client, topic, partition) {
                Ok(_) => Check::pass("read"),
                Err(error) => failed("read", &error).of(format!("topic {topic}/{partition}")),
            });
        }
        if let Some(scratch) = &self.config.scratch {
            checks.push(self.write(scratch));
        }
        checks.extend(self.groups(&client, kept, &topics, until));
        for kept in std::iter::once(&client).chain(kept.of_groups.values()) {
            client::settle(kept);
        }
        kept.client = Some(client);
        Ok(())
    }

    /// The first offset that is still there, and the next to be written.
    fn watermarks(&self, client: &Client, topic: &str, partition: i32) -> Result<(u64, u64), Error> {
        let (low, high) = client
            .fetch_watermarks(topic, partition, self.config.timeout)
            .map_err(|error| self.maker.explain(client, &error, "for the end of a partition"))?;
        Ok((u64::try_from(low).unwrap_or(0), u64::try_from(high).unwrap_or(0)))
    }
}

#[async_trait]
impl Ask for Kafka {
    async fn probe(&self) -> Vec<Check> {
        let asker = Arc::clone(&self.asker);
        let limit = self.asker.config.timeout * (PATIENCE + 2);
        match blocking(limit, "a probe", move || Ok(asker.probe())).await {
            Ok(checks) => checks,
            Err(error) => vec![Check::new("probe", Standing::Fail, error.to_string())],
        }
    }

    fn dead_letters(&self) -> Option<&dyn DeadLetters> {
        Some(self)
    }

    fn live(&self) -> Option<&dyn Live> {
        Some(self)
    }
}
