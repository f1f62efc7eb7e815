//! RabbitMQ: asked over AMQP, and by its management API for what AMQP does not tell.
//!
//! Each probe has a connection of its own, and so has each reading of dead letters.

mod death;
mod dial;
mod flow;
mod glance;
mod letters;
mod limits;
mod management;
mod message;
mod outgoing;
mod probe;
mod queues;
mod reading;
mod topology;

use std::sync::Arc;

use async_trait::async_trait;
use truegreen_model::probe::Check;

use crate::dead_letters::DeadLetters;
use crate::live::Live;
use crate::system::Ask;
use crate::{Error, SystemConfig};
use management::Management;

/// RabbitMQ.
pub struct Rabbitmq {
    config: Arc<SystemConfig>,
    management: Management,
}

impl Rabbitmq {
    /// Asks nothing yet.
    ///
    /// # Errors
    /// Where its address names what cannot be connected to.
    pub fn new(config: Arc<SystemConfig>) -> Result<Rabbitmq, Error> {
        let management = Management::new(&config, &dial::uri(&config)?);
        Ok(Rabbitmq { config, management })
    }
}

#[async_trait]
impl Ask for Rabbitmq {
    async fn probe(&self) -> Vec<Check> {
        self.checks().await
    }

    fn dead_letters(&self) -> Option<&dyn DeadLetters> {
        Some(self)
    }

    fn live(&self) -> Option<&dyn Live> {
        Some(self)
    }
}
