//! How letters come out of a queue for a look. A classic queue is asked for one after the other. For a quorum queue each such
//! question is a consumer of its own, and a broker that gives back what many of them held does not give it back in the same
//! order when it replays its log after a crash: removals then hit other letters than those that were removed. So letters of a
//! quorum queue come to a few consumers, that hold many each.

use futures_util::StreamExt;
use futures_util::stream::SelectAll;
use lapin::message::Delivery;
use lapin::options::{BasicConsumeOptions, BasicGetOptions, BasicQosOptions};
use lapin::types::{FieldTable, ShortString};
use lapin::{Channel, Consumer};

use super::dial::{Line, told};
use crate::Error;
use crate::probe::within;

/// Letters that the first consumer holds; each further one holds as many as all before it, up to a bound.
const FIRST: usize = 250;
const MOST: usize = 8_192;

/// The letters of one queue, of those that were there with the first.
pub(super) struct Flow {
    channel: Channel,
    queue: ShortString,
    is_quorum: bool,
    /// How many are still to come; none before the first. What comes later is not part of it, else what dies again at once
    /// would never let it end. Only the answer to a get counts: a declaration of a quorum queue can say 0 for a while after a
    /// restart.
    left: Option<u32>,
    consumers: SelectAll<Consumer>,
    /// Letters that the consumers can hold together.
    room: usize,
}

impl Flow {
    pub(super) fn new(channel: Channel, queue: ShortString, is_quorum: bool) -> Flow {
        Flow { channel, queue, is_quorum, left: None, consumers: SelectAll::new(), room: 0 }
    }

    /// The next; none at the end. `held` are not acknowledged yet.
    pub(super) async fn next(&mut self, line: &Line, held: usize) -> Result<Option<Delivery>, Error> {
        let delivery = match self.left {
            Some(0) => return Ok(None),
            Some(left) if self.is_quorum => self.delivered(line, held).await?.map(|delivery| (delivery, left - 1)),
            left => self.got(line).await?.map(|(delivery, more)| (delivery, left.map_or(more, |left| left - 1))),
        };
        // Somebody else may take from this queue, too.
        self.left = Some(delivery.as_ref().map_or(0, |(_, left)| *left));
        Ok(delivery.map(|(delivery, _)| delivery))
    }

    /// One that is asked for, and how many more there are.
    async fn got(&self, line: &Line) -> Result<Option<(Delivery, u32)>, Error> {
        let got = self.channel.basic_get(self.queue.clone(), BasicGetOptions::default());
        Ok(line.wait("a letter", got).await?.map(|got| (got.delivery, got.message_count)))
    }

    /// One that comes by itself; none where none comes in time.
    async fn delivered(&mut self, line: &Line, held: usize) -> Result<Option<Delivery>, Error> {
        if held >= self.room {
            self.widen(line).await?;
        }
        let next = async { Ok(self.consumers.next().await) };
        match within(line.limit(), "a letter", next).await {
            Ok(Some(delivery)) => delivery.map(Some).map_err(|error| told(&error)),
            Ok(None) => Err(Error::Unreachable("the connection was lost".to_owned())),
            Err(Error::TimedOut { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn widen(&mut self, line: &Line) -> Result<(), Error> {
        let more = self.room.clamp(FIRST, MOST);
        let prefetch = u16::try_from(more).unwrap_or(u16::MAX);
        line.wait("a prefetch", self.channel.basic_qos(prefetch, BasicQosOptions::default())).await?;
        let (options, arguments) = (BasicConsumeOptions::default(), FieldTable::default());
        let consumer = self.channel.basic_consume(self.queue.clone(), "".into(), options, arguments);
        self.consumers.push(line.wait("a consumer", consumer).await?);
        self.room += more;
        Ok(())
    }
}
