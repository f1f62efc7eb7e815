//! A real write and read, in a scratch stream that is ours.

use async_nats::{HeaderMap, Request};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::de::IgnoredAny;
use serde_json::json;
use truegreen_model::probe::Check;

use super::link::{Link, answered, is_name};
use super::told::{Stowed, StreamInfo};
use crate::Error;
use crate::probe::failed;

/// Messages that the scratch stream holds.
const MAX_SCRATCH: u64 = 10;

impl Link {
    /// Writes one message into the scratch stream, reads it back, and removes it.
    pub(super) async fn write(&self, scratch: &str) -> Check {
        match self.written(scratch).await {
            Ok(()) => Check::pass("write"),
            Err(error) => failed("write", &error),
        }
    }

    async fn written(&self, scratch: &str) -> Result<(), Error> {
        if !is_name(scratch) {
            return Err(Error::NotAsked(format!(
                "`{scratch}` is no name of a stream\nhint: scratch: TRUEGREEN_SCRATCH"
            )));
        }
        let stream = match self.stream(scratch).await? {
            Some(stream) => stream,
            None => self.create(scratch).await?,
        };
        let subject = stream
            .config
            .subjects()
            .first()
            .map(|subject| subject.replace(['*', '>'], "probe"))
            .ok_or_else(|| Error::Answered(format!("the scratch stream {scratch} takes no subject")))?;
        let body = format!("probe of {}", Timestamp::now());
        let request = Request::new().headers(HeaderMap::new()).payload(body.clone().into());
        let bytes = self.request(&subject, request, "to store a message").await?;
        let stowed: Stowed =
            answered(&bytes)?.ok_or_else(|| Error::Answered(format!("the scratch stream {scratch} is gone")))?;
        let kept = self.message(scratch, stowed.seq, None).await?;
        let is_there = kept.is_some_and(|kept| STANDARD.decode(kept.data).is_ok_and(|data| data == body.as_bytes()));
        if !is_there {
            return Err(Error::Answered(format!(
                "a message was confirmed as number {} of {scratch}, and is not there when read back",
                stowed.seq
            )));
        }
        let gone = json!({ "seq": stowed.seq, "no_erase": true });
        let _done: Option<IgnoredAny> =
            self.ask(&format!("STREAM.MSG.DELETE.{scratch}"), &gone, "to remove a message").await?;
        Ok(())
    }

    /// On disk, so that a full one shows.
    async fn create(&self, scratch: &str) -> Result<StreamInfo, Error> {
        let config = json!({
            "name": scratch,
            "subjects": [format!("truegreen.scratch.{scratch}")],
            "retention": "limits",
            "storage": "file",
            "discard": "old",
            "max_msgs": MAX_SCRATCH,
            "num_replicas": 1,
        });
        let question = format!("STREAM.CREATE.{scratch}");
        let none = || Error::Answered(format!("the scratch stream {scratch} cannot be made"));
        self.ask(&question, &config, "to make the scratch stream").await?.ok_or_else(none)
    }
}
