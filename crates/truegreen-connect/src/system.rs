//! A system of whichever kind, by its address.

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use truegreen_model::probe::{Check, ProbeReport, Standing};

use crate::confirm::Confirm;
use crate::dead_letters::DeadLetters;
use crate::keys::Keys;
use crate::live::Live;
use crate::probe::MAX_CHECKS;
use crate::{Error, Kind, SystemConfig, clock, http, tls};

/// What a module of one kind of system offers.
#[async_trait]
pub(crate) trait Ask: Send + Sync {
    /// Asks how it is. Every question in it has the configured time limit; what cannot be asked is a check that says why.
    async fn probe(&self) -> Vec<Check>;

    /// Where effects can be looked up.
    fn confirm(&self) -> Option<&dyn Confirm> {
        None
    }

    /// Where keys can be listed.
    fn keys(&self) -> Option<&dyn Keys> {
        None
    }

    /// Where dead letters can lie.
    fn dead_letters(&self) -> Option<&dyn DeadLetters> {
        None
    }

    /// Where messages can be under way.
    fn live(&self) -> Option<&dyn Live> {
        None
    }
}

/// One system that can be asked. Connects when it is first asked, and anew after a failure.
pub struct System {
    config: Arc<SystemConfig>,
    asked: Box<dyn Ask>,
}

impl System {
    /// Asks nothing yet.
    ///
    /// # Errors
    /// Where this build has no client for it, or its address lacks something.
    pub fn new(config: SystemConfig) -> Result<System, Error> {
        let config = Arc::new(config);
        let kind = config.address.kind();
        let asked: Box<dyn Ask> = match kind {
            #[cfg(feature = "postgres")]
            Kind::Postgres => Box::new(crate::postgres::Postgres::new(Arc::clone(&config))?),
            #[cfg(feature = "mysql")]
            Kind::Mysql => Box::new(crate::mysql::Mysql::new(Arc::clone(&config))?),
            #[cfg(feature = "redis")]
            Kind::Redis => Box::new(crate::redis::Redis::new(Arc::clone(&config))?),
            #[cfg(feature = "rabbitmq")]
            Kind::Rabbitmq => Box::new(crate::rabbitmq::Rabbitmq::new(Arc::clone(&config))?),
            #[cfg(feature = "nats")]
            Kind::Nats => Box::new(crate::nats::Nats::new(Arc::clone(&config))?),
            #[cfg(feature = "kafka")]
            Kind::Kafka => Box::new(crate::kafka::Kafka::new(Arc::clone(&config))?),
            Kind::Http => Box::new(http::Http::new(Arc::clone(&config))?),
            Kind::Tls => Box::new(tls::Tls::new(Arc::clone(&config))?),
            Kind::Clock => Box::new(clock::Clock::new(Arc::clone(&config))?),
            #[cfg(not(feature = "full"))]
            _ => return Err(Error::NotBuilt(kind.name())),
        };
        Ok(System { config, asked })
    }

    /// What it was told.
    pub fn config(&self) -> &SystemConfig {
        &self.config
    }

    /// Asks how it is, now. `time` is now as RFC 3339, for the report.
    pub async fn probe(&self, time: String) -> ProbeReport {
        let began = Instant::now();
        let mut checks = self.asked.probe().await;
        if checks.len() > MAX_CHECKS {
            let left = checks.len() - MAX_CHECKS;
            // The worst are what somebody has to see.
            checks.sort_by_key(|check| std::cmp::Reverse(check.standing));
            checks.truncate(MAX_CHECKS);
            let reason = format!("{left} more are not shown\nhint: name under `watch` what matters");
            checks.push(Check::new("checks", Standing::Unknown, reason));
        }
        for check in &mut checks {
            check.reason = self.config.address.without_secrets(&check.reason);
        }
        ProbeReport {
            system: self.config.name.clone(),
            kind: self.config.address.kind().name().to_owned(),
            address: self.config.address.to_string(),
            standing: ProbeReport::worst(&checks),
            time,
            seconds: began.elapsed().as_secs_f64(),
            checks,
        }
    }

    /// Where effects can be looked up.
    pub fn confirm(&self) -> Option<&dyn Confirm> {
        self.asked.confirm()
    }

    /// Where keys can be listed.
    pub fn keys(&self) -> Option<&dyn Keys> {
        self.asked.keys()
    }

    /// Where dead letters can lie.
    pub fn dead_letters(&self) -> Option<&dyn DeadLetters> {
        self.asked.dead_letters()
    }

    /// Where messages can be under way.
    pub fn live(&self) -> Option<&dyn Live> {
        self.asked.live()
    }
}
