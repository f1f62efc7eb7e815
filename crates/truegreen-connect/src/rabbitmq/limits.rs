//! Whether a queue can be looked at without harm. Reading takes letters and gives them back, and a quorum queue counts that
//! as a delivery: over its limit it drops the letter. Such a queue is not read at all, since a reading that is refused half
//! way has counted already.

use std::time::{Duration, Instant};

use lapin::options::{BasicCancelOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;

use super::Rabbitmq;
use super::dial::{Line, name, told};
use crate::Error;
use crate::probe::within;

/// How long letters may take to come back from a reader that is gone; figures of a quorum queue are 5 s old at most.
const RETURN: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(200);
const HINT: &str = "hint: rabbitmqctl set_policy dlq '^NAME$' '{\"delivery-limit\":-1}' --apply-to queues, or a classic queue for \
                    dead letters";

/// What is said of a queue with such a limit.
pub(super) fn refusal(queue: &str, limit: u64) -> String {
    format!(
        "`{queue}` is a quorum queue with a delivery limit of {limit}: each look at a letter counts as a delivery, and over the \
         limit the letter is lost\n{HINT}"
    )
}

impl Rabbitmq {
    /// An error where a reading could cost a letter, or where that cannot be told; else whether it is a quorum queue.
    pub(super) async fn check_harmless(&self, queue: &str) -> Result<bool, Error> {
        let told = match self.management.queue(queue).await {
            Ok(told) => told,
            Err(error @ Error::Answered(_)) => return Err(error),
            Err(_) => return self.check_by_trial(queue).await.map(|()| false),
        };
        if told.is_stream() {
            return Err(Error::NotAsked(format!("`{queue}` is a stream, of which nothing can be removed")));
        }
        if !told.is_quorum() {
            return Ok(false);
        }
        match told.delivery_limit(self.management.version().await?) {
            Some(limit) => Err(Error::NotAsked(refusal(queue, limit))),
            None => self.wait_for_return(queue).await.map(|()| true),
        }
    }

    /// After a crash a quorum queue still holds letters for a reader that is gone, and looks empty to the next one until it
    /// has noticed.
    async fn wait_for_return(&self, queue: &str) -> Result<(), Error> {
        let began = Instant::now();
        loop {
            let held = self.management.queue(queue).await?.messages_unacknowledged;
            match held {
                Some(0) => return Ok(()),
                _ if began.elapsed() < RETURN => tokio::time::sleep(PAUSE).await,
                Some(held) => {
                    let why = "they cannot be seen until it gives them back";
                    return Err(Error::Answered(format!("another reader holds {held} letters of `{queue}`: {why}")));
                }
                None => return Err(Error::Answered(format!("there are no figures of `{queue}` yet"))),
            }
        }
    }

    /// Without the management API the kind of a queue shows in what it refuses: only a classic queue knows a prefetch for a
    /// whole channel. Others refuse it before anything is delivered; the limit itself cannot be seen.
    async fn check_by_trial(&self, queue: &str) -> Result<(), Error> {
        let line = Line::open(&self.config).await?;
        let channel = line.channel().await?;
        line.wait("a prefetch", channel.basic_qos(1, BasicQosOptions { global: true })).await?;
        let tag = name("truegreen")?;
        let options = BasicConsumeOptions::default();
        let consumed = channel.basic_consume(name(queue)?, tag.clone(), options, FieldTable::default());
        let consumed = within(self.config.timeout, "a consumer", async { Ok(consumed.await) }).await?;
        match consumed {
            Ok(_consumer) => {
                line.wait("a cancellation", channel.basic_cancel(tag, BasicCancelOptions::default())).await?;
                line.close().await
            }
            Err(error) => match told(&error) {
                Error::Answered(text) if text.contains("NOT_IMPLEMENTED") => Err(Error::NotAsked(format!(
                    "`{queue}` is a quorum queue, and only the management API tells whether it has a delivery limit, over which a \
                     look at a letter loses it\nhint: name the API under `management`"
                ))),
                other => Err(other),
            },
        }
    }
}
