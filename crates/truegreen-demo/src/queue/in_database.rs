//! A small durable queue in a table: messages are ready, leased to one consumer for a while, or acknowledged. A lease that
//! expires makes its message claimable again.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};

use super::{Delivery, LEASE, Named, Publication, Queue, Sent, Topic};
use crate::Error;
use crate::database::{self, UnitOfWork};

/// A client of the queue's table, on a connection of its own.
pub(crate) struct TableQueue(Connection);

impl TableQueue {
    pub(crate) fn open(run_dir: &Path) -> Result<TableQueue, Error> {
        Ok(TableQueue(database::open(&database::path_in(run_dir))?))
    }
}

impl Queue for TableQueue {
    fn named(&self) -> Named {
        Named { system: "sqlite", run: None }
    }

    fn publish(&mut self, within: Option<&dyn UnitOfWork>, message: &Publication<'_>) -> Result<Sent, Error> {
        // Whoever writes the file already would be waited for in vain.
        let connection = within.and_then(UnitOfWork::file).unwrap_or(&self.0);
        publish(connection, message).map(|id| Sent { id: id.to_string() })
    }

    fn claim(&mut self, topic: Topic, partition: u8, now_ms: i64) -> Result<Option<Delivery>, Error> {
        claim(&self.0, topic, partition, now_ms, LEASE)
    }

    fn acknowledge(&mut self, _: Topic, delivery: &Delivery) -> Result<bool, Error> {
        acknowledge(&self.0, delivery)
    }

    fn put_back(&mut self, _: Topic, delivery: &Delivery) -> Result<bool, Error> {
        put_back(&self.0, delivery)
    }

    fn put_aside(&mut self, _: Topic, delivery: &Delivery, reason: &str) -> Result<bool, Error> {
        let transaction = database::begin(&mut self.0)?;
        transaction
            .execute(
                "INSERT OR REPLACE INTO dead_letters (message_id, order_id, reason, body) VALUES (?1, ?2, ?3, ?4)",
                params![delivery.receipt, delivery.key, reason, delivery.body],
            )
            .map_err(Error::database("write a dead letter"))?;
        let acknowledged = acknowledge(&transaction, delivery)?;
        transaction.commit().map_err(Error::database("commit a dead letter"))?;
        Ok(acknowledged)
    }

    fn depth(&mut self, topic: Topic) -> Result<u64, Error> {
        depth(&self.0, topic)
    }
}

/// Adds a message; it is there when the surrounding transaction commits. Returns its id.
pub(crate) fn publish(connection: &Connection, message: &Publication<'_>) -> Result<i64, Error> {
    let headers = serde_json::to_string(message.headers)
        .map_err(|source| Error::Encode { what: "the headers of a message", source })?;
    connection
        .query_row(
            "INSERT INTO queue (topic, partition, key, headers, body) VALUES (?1, ?2, ?3, ?4, ?5) RETURNING id",
            params![message.topic.name, message.partition, message.key, headers, message.body],
            |row| row.get(0),
        )
        .map_err(Error::database("publish a message"))
}

/// Leases the oldest message of a partition that is ready, or whose lease has expired, until `now_ms + lease`.
pub(crate) fn claim(
    connection: &Connection,
    topic: Topic,
    partition: u8,
    now_ms: i64,
    lease: Duration,
) -> Result<Option<Delivery>, Error> {
    // Looked for before it is taken: a statement that writes needs the database's only write lock, also in vain.
    let found = connection
        .query_row(
            "SELECT id FROM queue WHERE topic = ?1 AND partition = ?2 AND state <> 'acked'
             AND (state = 'ready' OR lease_until_ms <= ?3) ORDER BY id LIMIT 1",
            params![topic.name, partition, now_ms],
            |row| row.get::<_, i64>(0),
        )
        .optional()
        .map_err(Error::database("look for a message"))?;
    let Some(id) = found else { return Ok(None) };
    let until_ms = now_ms.saturating_add(i64::try_from(lease.as_millis()).unwrap_or(i64::MAX));
    connection
        .query_row(
            "UPDATE queue SET state = 'leased', deliveries = deliveries + 1, lease_until_ms = ?3
             WHERE id = ?1 AND (state = 'ready' OR (state = 'leased' AND lease_until_ms <= ?2))
             RETURNING id, key, headers, body, deliveries",
            params![id, now_ms, until_ms],
            |row| {
                let headers: String = row.get(2)?;
                Ok(Delivery {
                    id: row.get::<_, i64>(0)?.to_string(),
                    receipt: row.get(0)?,
                    partition,
                    key: row.get(1)?,
                    // Headers that do not read carry no trace context; the message itself is still good.
                    headers: serde_json::from_str(&headers).unwrap_or_default(),
                    body: row.get(3)?,
                    deliveries: row.get(4)?,
                })
            },
        )
        .optional()
        .map_err(Error::database("claim a message"))
}

/// Puts a delivery back: it is ready again, in its old place. False if its lease had expired.
fn put_back(connection: &Connection, delivery: &Delivery) -> Result<bool, Error> {
    let changed = connection
        .execute(
            "UPDATE queue SET state = 'ready', lease_until_ms = NULL
             WHERE id = ?1 AND deliveries = ?2 AND state = 'leased'",
            params![delivery.receipt, delivery.deliveries],
        )
        .map_err(Error::database("put a message back"))?;
    Ok(changed == 1)
}

/// Acknowledges a delivery. False if its lease had expired and the message was delivered again since.
fn acknowledge(connection: &Connection, delivery: &Delivery) -> Result<bool, Error> {
    let changed = connection
        .execute(
            "UPDATE queue SET state = 'acked', lease_until_ms = NULL
             WHERE id = ?1 AND deliveries = ?2 AND state = 'leased'",
            params![delivery.receipt, delivery.deliveries],
        )
        .map_err(Error::database("acknowledge a message"))?;
    Ok(changed == 1)
}

/// Messages that are not acknowledged yet.
pub(crate) fn depth(connection: &Connection, topic: Topic) -> Result<u64, Error> {
    let open: i64 = connection
        .query_row("SELECT count(*) FROM queue WHERE topic = ?1 AND state <> 'acked'", [topic.name], |row| row.get(0))
        .map_err(Error::database("count the open messages"))?;
    Ok(open.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::time::Duration;

    use rusqlite::Connection;

    use super::{acknowledge, claim, depth, publish, put_back};
    use crate::database;
    use crate::queue::{Publication, STOCK_EVENTS};

    const LEASE: Duration = Duration::from_millis(100);

    fn queue_of(keys: &[&str]) -> (tempfile::TempDir, Connection) {
        let dir = tempfile::tempdir().unwrap();
        let connection = database::create(&database::path_in(dir.path())).unwrap();
        for key in keys {
            let headers = HashMap::from([("traceparent".to_owned(), format!("of {key}"))]);
            let message = Publication { topic: STOCK_EVENTS, partition: 0, key, headers: &headers, body: "{}" };
            publish(&connection, &message).unwrap();
        }
        (dir, connection)
    }

    #[test]
    fn messages_are_claimed_once_and_in_order() {
        let (_dir, queue) = queue_of(&["a", "b"]);
        let first = claim(&queue, STOCK_EVENTS, 0, 1_000, LEASE).unwrap().unwrap();
        let second = claim(&queue, STOCK_EVENTS, 0, 1_000, LEASE).unwrap().unwrap();
        assert_eq!((first.key.as_str(), second.key.as_str()), ("a", "b"));
        assert_eq!(first.headers["traceparent"], "of a");
        assert!(claim(&queue, STOCK_EVENTS, 0, 1_099, LEASE).unwrap().is_none());
        assert_eq!(depth(&queue, STOCK_EVENTS).unwrap(), 2, "leased messages are still open");
    }

    #[test]
    fn an_acknowledged_message_never_comes_back() {
        let (_dir, queue) = queue_of(&["a"]);
        let delivery = claim(&queue, STOCK_EVENTS, 0, 1_000, LEASE).unwrap().unwrap();
        assert!(acknowledge(&queue, &delivery).unwrap());
        assert!(!acknowledge(&queue, &delivery).unwrap());
        assert!(claim(&queue, STOCK_EVENTS, 0, i64::MAX, LEASE).unwrap().is_none());
        assert_eq!(depth(&queue, STOCK_EVENTS).unwrap(), 0);
    }

    #[test]
    fn an_expired_lease_delivers_again_and_its_old_holder_cannot_acknowledge() {
        let (_dir, queue) = queue_of(&["a"]);
        let lost = claim(&queue, STOCK_EVENTS, 0, 1_000, LEASE).unwrap().unwrap();
        let again = claim(&queue, STOCK_EVENTS, 0, 1_100, LEASE).unwrap().unwrap();
        assert_eq!((&again.id, again.deliveries), (&lost.id, 2));
        assert!(!acknowledge(&queue, &lost).unwrap(), "the lease is no longer its own");
        assert!(acknowledge(&queue, &again).unwrap());
    }

    #[test]
    fn two_connections_never_hold_the_same_message() {
        let (dir, first) = queue_of(&["a", "b", "c"]);
        let second = database::open(&database::path_in(dir.path())).unwrap();
        let mut keys = Vec::new();
        for queue in [&first, &second, &first] {
            keys.push(claim(queue, STOCK_EVENTS, 0, 1_000, LEASE).unwrap().unwrap().key);
        }
        assert_eq!(keys, ["a", "b", "c"]);
    }

    #[test]
    fn a_rolled_back_transaction_publishes_nothing() {
        let (_dir, mut queue) = queue_of(&[]);
        let transaction = database::begin(&mut queue).unwrap();
        let headers = HashMap::new();
        publish(
            &transaction,
            &Publication { topic: STOCK_EVENTS, partition: 0, key: "a", headers: &headers, body: "{}" },
        )
        .unwrap();
        drop(transaction);
        assert!(claim(&queue, STOCK_EVENTS, 0, 1_000, LEASE).unwrap().is_none());
    }

    #[test]
    fn what_is_put_back_keeps_its_place_and_holds_up_its_partition_only() {
        let (_dir, queue) = queue_of(&["a", "b"]);
        let headers = HashMap::new();
        let elsewhere = Publication { topic: STOCK_EVENTS, partition: 1, key: "c", headers: &headers, body: "{}" };
        publish(&queue, &elsewhere).unwrap();
        for _ in 0..2 {
            let delivery = claim(&queue, STOCK_EVENTS, 0, 1_000, LEASE).unwrap().unwrap();
            assert_eq!(delivery.key, "a");
            assert!(put_back(&queue, &delivery).unwrap());
            assert!(!put_back(&queue, &delivery).unwrap());
        }
        assert_eq!(claim(&queue, STOCK_EVENTS, 1, 1_000, LEASE).unwrap().unwrap().key, "c");
    }
}
