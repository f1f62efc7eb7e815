//! How much waits in a queue, and nothing of what: whoever reads a queue takes messages away from its consumers.

use async_trait::async_trait;

use super::Rabbitmq;
use super::dial::Line;
use super::queues::counted;
use crate::Error;
use crate::live::{Glance, Live};

#[async_trait]
impl Live for Rabbitmq {
    async fn glance(&self, place: &str) -> Result<Glance, Error> {
        let line = Line::open(&self.config).await?;
        let counted = counted(&line, place).await;
        let (waiting, consumers) = match counted {
            Ok(counted) => counted,
            Err(Error::Answered(told)) if told.contains("NOT_FOUND") => return Ok(Glance::Nothing),
            Err(error) => return Err(error),
        };
        // What was counted stands, whether the goodbye is answered or not.
        let _goodbye = line.close().await;
        // Only the management API tells, and it may be switched off.
        let told = self.management.queue(place).await.ok();
        let unacknowledged = told.and_then(|queue| queue.messages_unacknowledged);
        Ok(Glance::Counted { waiting, unacknowledged, consumers })
    }
}
