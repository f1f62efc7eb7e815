//! NATS with JetStream: whether streams have a leader and room, whether consumers move, and the letters that they gave up.
//!
//! - `link`: the connection, and a question to JetStream;
//! - `told`: what the answers carry;
//! - `streams`, `consumers`: what is said of them;
//! - `scratch`: a real write and read, where a scratch stream is allowed;
//! - `letters`, `reading`, `letter`: what lies dead; `glance`: what is under way.

mod consumers;
mod glance;
mod letter;
mod letters;
mod link;
mod monitoring;
mod reading;
mod scratch;
mod streams;
mod told;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use serde_json::json;
use tokio::sync::Mutex;
use truegreen_model::probe::{Check, Standing};

use self::link::Link;
use self::told::{Account, StreamInfo};
use crate::config::Limit;
use crate::dead_letters::DeadLetters;
use crate::lag::Window;
use crate::live::Live;
use crate::probe::failed;
use crate::system::Ask;
use crate::{Error, SystemConfig};

/// Streams that are looked at in one probe.
const MAX_STREAMS: usize = 200;
/// Consumers that are looked at in one probe.
const MAX_CONSUMERS: usize = 500;

/// NATS with JetStream.
pub struct Nats {
    config: Arc<SystemConfig>,
    link: Arc<Link>,
    began: Instant,
    /// What was seen of each consumer, by stream and name.
    windows: Mutex<HashMap<(String, String), Window>>,
    /// What monitoring counted of slow consumers when it was last asked.
    slow_consumers: Mutex<Option<u64>>,
}

impl Nats {
    /// Asks nothing yet.
    ///
    /// # Errors
    /// Where its address lacks something.
    pub fn new(config: Arc<SystemConfig>) -> Result<Nats, Error> {
        Ok(Nats {
            link: Arc::new(Link::new(Arc::clone(&config))?),
            config,
            began: Instant::now(),
            windows: Mutex::default(),
            slow_consumers: Mutex::default(),
        })
    }

    /// Whether JetStream is there and has room.
    async fn jetstream(&self) -> Result<Vec<Check>, Check> {
        let account = match self.link.ask::<Account>("INFO", &json!({}), "whether JetStream is enabled").await {
            Ok(Some(account)) => account,
            Ok(None) => Account::default(),
            Err(error) => return Err(failed("jetstream", &error)),
        };
        let mut checks = vec![Check::pass("jetstream")];
        for (what, used, limit) in [
            ("storage", account.storage, account.limits.max_storage),
            ("memory", account.memory, account.limits.max_memory),
        ] {
            if limit > 0 {
                let share = used as f64 / limit as f64;
                let words = format!("{used} of {limit} bytes of the account's {what} are used");
                let name = format!("{what}_used");
                checks.push(self.config.judge(&name, Limit::new(0.8, 0.95), share, "1", &words));
            }
        }
        Ok(checks)
    }

    /// All streams, or those that are named under `watch`, and what is wrong with the rest.
    async fn watched(&self, all: &[StreamInfo]) -> (Vec<StreamInfo>, Vec<Check>) {
        let names: Vec<&str> =
            self.config.watch.iter().map(|watched| watched.split('/').next().unwrap_or_default()).collect();
        if names.is_empty() {
            return (all.to_vec(), Vec::new());
        }
        let (mut found, mut checks) = (Vec::new(), Vec::new());
        for name in names {
            if found.iter().any(|stream: &StreamInfo| stream.config.name == name) {
                continue;
            }
            match all.iter().find(|stream| stream.config.name == name) {
                Some(stream) => found.push(stream.clone()),
                None => match self.link.stream(name).await {
                    Ok(Some(stream)) => found.push(stream),
                    Ok(None) => checks.push(
                        Check::new("stream", Standing::Fail, format!("there is no stream {name}"))
                            .of(format!("stream {name}")),
                    ),
                    Err(error) => checks.push(failed("stream", &error).of(format!("stream {name}"))),
                },
            }
        }
        (found, checks)
    }
}

#[async_trait]
impl Ask for Nats {
    async fn probe(&self) -> Vec<Check> {
        if let Err(error) = self.link.client().await {
            return vec![failed("connect", &error)];
        }
        let mut checks = vec![Check::pass("connect")];
        checks.extend(self.monitoring().await);
        match self.jetstream().await {
            Ok(answered) => checks.extend(answered),
            Err(failed) => {
                checks.push(failed);
                return checks;
            }
        }
        if let Some(scratch) = &self.config.scratch {
            checks.push(self.link.write(scratch).await);
        }
        let listed = match self.link.streams().await {
            Ok(listed) => listed,
            Err(error) => {
                checks.push(failed("streams", &error));
                return checks;
            }
        };
        checks.extend(listed.without_answer.iter().map(|name| streams::unanswered(name)));
        if listed.left > 0 {
            let reason =
                format!("{} more streams are not looked at\nhint: name under `watch` what matters", listed.left);
            checks.push(Check::new("streams", Standing::Unknown, reason));
        }
        let (watched, missing) = self.watched(&listed.streams).await;
        checks.extend(missing);
        for stream in &watched {
            checks.extend(streams::checks(&self.config, stream));
        }
        checks.extend(self.consumers(&watched, &listed.streams).await);
        checks
    }

    fn dead_letters(&self) -> Option<&dyn DeadLetters> {
        Some(self)
    }

    fn live(&self) -> Option<&dyn Live> {
        Some(self)
    }
}
