//! The few connections that questions and redrives share. A pool would retry a refused connection until its time is up, and
//! then say only that: here each failure is told as what it is.

use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, PoisonError};

use sqlx::Connection;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use super::peer::Peer;
use crate::Error;

/// Connections for questions and redrives. A probe has one more, its own.
const MAX_LINES: usize = 2;

/// Connections to one server, opened when they are needed.
pub(crate) struct Lines<C: Connection> {
    pub(crate) peer: Peer,
    options: C::Options,
    idle: Mutex<Vec<C>>,
    free: Semaphore,
}

impl<C: Connection> Lines<C> {
    pub(crate) fn new(peer: Peer, options: C::Options) -> Lines<C> {
        Lines { peer, options, idle: Mutex::new(Vec::new()), free: Semaphore::new(MAX_LINES) }
    }

    /// A new connection, that nobody else uses.
    pub(crate) async fn open(&self) -> Result<C, Error> {
        self.peer.open(&self.options).await
    }

    /// One that is idle and still answers, else a new one.
    pub(crate) async fn take(&self) -> Result<Line<'_, C>, Error> {
        let limit = self.peer.limit;
        let permit = match timeout(limit, self.free.acquire()).await {
            Ok(Ok(permit)) => permit,
            _ => return Err(Error::TimedOut { what: "what was asked before this", limit }),
        };
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = match idle {
            Some(mut connection) => match timeout(limit, connection.ping()).await {
                Ok(Ok(())) => connection,
                _ => self.open().await?,
            },
            None => self.open().await?,
        };
        Ok(Line { connection, lines: self, _permit: permit })
    }
}

/// One connection, closed when it is dropped: whatever was left half done on it ends with it.
pub(crate) struct Line<'a, C: Connection> {
    connection: C,
    lines: &'a Lines<C>,
    _permit: SemaphorePermit<'a>,
}

impl<C: Connection> Line<'_, C> {
    /// Keeps it for the next: only where nothing is left of this one on it.
    pub(crate) fn give_back(self) {
        self.lines.idle.lock().unwrap_or_else(PoisonError::into_inner).push(self.connection);
    }
}

impl<C: Connection> Deref for Line<'_, C> {
    type Target = C;

    fn deref(&self) -> &C {
        &self.connection
    }
}

impl<C: Connection> DerefMut for Line<'_, C> {
    fn deref_mut(&mut self) -> &mut C {
        &mut self.connection
    }
}
