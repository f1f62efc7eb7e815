//! The last entries of a stream, as they lie there.

use async_trait::async_trait;
use redis::cmd;

use super::Redis;
use super::dial::Connection;
use super::entry::Entry;
use super::letters::is_stream;
use crate::Error;
use crate::live::{Glance, Live, MAX_BYTES, MAX_MESSAGES};

/// Entries asked for at once.
const BATCH: usize = 50;

#[async_trait]
impl Live for Redis {
    async fn glance(&self, place: &str) -> Result<Glance, Error> {
        let mut connection = Connection::open(&self.config).await?;
        let stream = match place.rsplit_once('/') {
            _ if is_stream(&mut connection, place).await? => place,
            Some((stream, _group)) if is_stream(&mut connection, stream).await? => stream,
            _ => return Ok(Glance::Nothing),
        };
        let (mut messages, mut bytes, mut newest) = (Vec::new(), 0, "+".to_owned());
        while messages.len() < MAX_MESSAGES && bytes < MAX_BYTES {
            let mut command = cmd("XREVRANGE");
            command.arg(stream).arg(&newest).arg("-").arg("COUNT").arg(BATCH);
            let entries = Entry::all(connection.ask("XREVRANGE", &command).await?)?;
            let before = entries.last().and_then(|oldest| oldest.id.previous()).filter(|_| entries.len() == BATCH);
            for entry in entries {
                let message = entry.letter(stream);
                bytes += message.body.len();
                messages.push(message);
            }
            match before {
                Some(before) => newest = before.to_string(),
                None => return Ok(Glance::Messages { place: stream.to_owned(), messages, is_cut: false }),
            }
        }
        Ok(Glance::Messages { place: stream.to_owned(), messages, is_cut: true })
    }
}
