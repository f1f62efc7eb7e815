//! What one queue says: how much waits, for how long, who takes it, and where its dead go.

use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use truegreen_model::probe::{Check, Standing};

use super::dial::{Line, name};
use super::management::Queue;
use super::topology::{Path, Topology};
use crate::config::Limit;
use crate::probe::failed;
use crate::{Error, SystemConfig};

const MESSAGES: Limit = Limit::new(10_000.0, 100_000.0);
const UNACKNOWLEDGED: Limit = Limit { warn: Some(1_000.0), fail: None };
/// In seconds.
const OLDEST: Limit = Limit::new(60.0, 600.0);
const DRAIN: Limit = Limit::new(300.0, 3_600.0);
const DEAD: Limit = Limit { warn: Some(1.0), fail: None };

/// All checks of one queue that the management API tells of. `now` in seconds since 1970.
pub(super) fn of_queue(config: &SystemConfig, topology: &Topology, queue: &Queue, now: f64) -> Vec<Check> {
    let component = format!("queue {}", queue.name);
    let mut checks = Vec::new();
    if !matches!(queue.state.as_str(), "" | "running" | "idle") {
        checks.push(Check::new("state", Standing::Fail, format!("the queue is {}", queue.state)));
    }
    match queue.messages {
        Some(messages) if topology.dead().contains(&queue.name) => checks.push(dead(config, messages)),
        Some(messages) => {
            checks.push(waiting(config, messages, queue.messages_unacknowledged));
            if let Some(unacknowledged) = queue.messages_unacknowledged {
                let what = format!("{unacknowledged} messages were given out and not acknowledged");
                checks.push(config.judge("unacknowledged", UNACKNOWLEDGED, unacknowledged as f64, "messages", &what));
            }
            checks.push(consumers(config, &queue.name, queue.consumers, messages));
            checks.extend(oldest(config, queue, messages, now));
        }
        None => checks.push(Check::new("messages", Standing::Unknown, "the management API has no figures of it yet")),
    }
    checks.extend(dead_letter_path(topology, queue));
    checks.into_iter().map(|check| check.of(component.clone())).collect()
}

/// What AMQP alone tells of one queue.
pub(super) async fn of_watched(config: &SystemConfig, line: &Line, queue: &str) -> Vec<Check> {
    let component = format!("queue {queue}");
    let checks = match counted(line, queue).await {
        Err(error) => vec![failed("messages", &error)],
        // Nobody has to read what lies dead.
        Ok((messages, _)) if config.dead_letters.iter().any(|dead| dead == queue) => vec![dead(config, messages)],
        Ok((messages, told)) => {
            let hint = "only the management API tells\nhint: enable rabbitmq_management";
            vec![
                waiting(config, messages, None),
                consumers(config, queue, Some(told), messages),
                Check::new("unacknowledged", Standing::Unknown, hint),
                Check::new("oldest_message", Standing::Unknown, hint),
                Check::new("dead_letter_path", Standing::Unknown, hint),
            ]
        }
    };
    checks.into_iter().map(|check| check.of(component.clone())).collect()
}

/// Messages that wait and consumers, by a declaration that declares nothing.
pub(super) async fn counted(line: &Line, queue: &str) -> Result<(u64, u64), Error> {
    let channel = line.channel().await?;
    let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    let declared = channel.queue_declare(name(queue)?, passive, FieldTable::default());
    let declared = line.wait("a look at a queue", declared).await?;
    Ok((declared.message_count().into(), declared.consumer_count().into()))
}

fn dead(config: &SystemConfig, messages: u64) -> Check {
    config.judge("dead_letters", DEAD, messages as f64, "messages", &format!("{messages} dead letters lie there"))
}

fn waiting(config: &SystemConfig, messages: u64, unacknowledged: Option<u64>) -> Check {
    let what = match unacknowledged {
        Some(unacknowledged) => format!("{messages} messages, {unacknowledged} of them given out and not acknowledged"),
        None => format!("{messages} messages wait"),
    };
    config.judge("messages", MESSAGES, messages as f64, "messages", &what)
}

fn consumers(config: &SystemConfig, queue: &str, told: Option<u64>, messages: u64) -> Check {
    let Some(consumers) = told else {
        return Check::new("consumers", Standing::Unknown, "the management API has no figures of it yet");
    };
    let check = match (consumers, messages) {
        (0, 1..) => Check::new("consumers", Standing::Fail, format!("{messages} messages and no consumer")),
        (0, 0) if config.watch.iter().any(|watched| watched == queue) => {
            Check::new("consumers", Standing::Warn, "no consumer: what arrives will wait")
        }
        _ => {
            let what = format!("{consumers} consumers");
            return config.judge("consumers", Limit::default(), consumers as f64, "consumers", &what);
        }
    };
    check.observed(consumers as f64, "consumers")
}

/// The age of the first message by its own time; else how long the queue takes to drain as fast as it is acknowledged.
fn oldest(config: &SystemConfig, queue: &Queue, messages: u64, now: f64) -> Option<Check> {
    if messages == 0 {
        return Some(config.judge("oldest_message", OLDEST, 0.0, "s", "nothing waits"));
    }
    if let Some(time) = queue.head_time() {
        let age = (now - time).max(0.0);
        return Some(config.judge("oldest_message", OLDEST, age, "s", &format!("the first message is {age:.0} s old")));
    }
    if queue.is_stream() {
        return None;
    }
    let rate = match queue.ack_rate() {
        Some(rate) if rate > 0.0 => rate,
        Some(_) if queue.consumers.is_some_and(|consumers| consumers > 0) => {
            let reason = format!("{messages} messages, and its consumers acknowledge none of them");
            return Some(Check::new("drain_time", Standing::Warn, reason));
        }
        _ => {
            let reason =
                "its messages carry no timestamp, and nothing is acknowledged that would tell how fast they go";
            return Some(Check::new("oldest_message", Standing::Unknown, reason));
        }
    };
    let seconds = messages as f64 / rate;
    let what = format!("at {rate:.1} acknowledged a second it takes {seconds:.0} s to drain, if nothing more arrives");
    Some(config.judge("drain_time", DRAIN, seconds, "s", &what))
}

/// A blind spot where what dies leaves no trace.
fn dead_letter_path(topology: &Topology, queue: &Queue) -> Option<Check> {
    let is_passing = queue.exclusive || queue.auto_delete || queue.name.starts_with("amq.");
    if is_passing || queue.is_stream() || topology.dead().contains(&queue.name) {
        return None;
    }
    let warns = |reason: String| Check::new("dead_letter_path", Standing::Warn, format!("blind spot: {reason}"));
    let dropped = "what is rejected or expires here is dropped without a trace";
    Some(match topology.path(queue) {
        Path::None => {
            warns(format!("no dead-letter exchange: {dropped}\nhint: set `dead-letter-exchange` by a policy"))
        }
        Path::Missing(exchange) => warns(format!("its dead-letter exchange `{exchange}` does not exist: {dropped}")),
        Path::Unbound(exchange) => {
            warns(format!("no queue is bound to its dead-letter exchange `{exchange}`: {dropped}"))
        }
        Path::To(way, true) => Check::new("dead_letter_path", Standing::Pass, format!("by {way}, at least once")),
        Path::To(way, false) => {
            let reason = format!("by {way}, at most once: without confirms, a dead letter can be lost on its way");
            Check::new("dead_letter_path", Standing::Pass, reason)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Address;
    use crate::address::Surroundings;

    fn queue(text: &str) -> Queue {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn the_age_is_told_by_the_first_message_else_the_time_to_drain_under_its_own_name() {
        let config = SystemConfig::new("mq", Address::parse("amqp://mq", &Surroundings).unwrap());
        let oldest = |text: &str, messages| oldest(&config, &queue(text), messages, 1_000.0).unwrap();
        let aged = oldest(r#"{"head_message_timestamp":300}"#, 5);
        assert_eq!((aged.measurement.as_str(), aged.standing), ("oldest_message", Standing::Fail));
        let drains = oldest(r#"{"message_stats":{"ack_details":{"rate":2.0}}}"#, 10);
        assert_eq!((drains.measurement.as_str(), drains.observed.unwrap().value), ("drain_time", 5.0));
        let stands = oldest(r#"{"consumers":1,"message_stats":{"ack_details":{"rate":0.0}}}"#, 10);
        assert_eq!((stands.measurement.as_str(), stands.standing), ("drain_time", Standing::Warn));
        assert_eq!(oldest("{}", 10).standing, Standing::Unknown);
        assert_eq!(oldest("{}", 0).standing, Standing::Pass);
    }

    #[test]
    fn messages_without_a_consumer_fail() {
        let mut config = SystemConfig::new("mq", Address::parse("amqp://mq", &Surroundings).unwrap());
        assert_eq!(consumers(&config, "q", Some(0), 3).standing, Standing::Fail);
        assert_eq!(consumers(&config, "q", Some(0), 0).standing, Standing::Pass);
        config.watch.push("q".into());
        assert_eq!(consumers(&config, "q", Some(0), 0).standing, Standing::Warn);
    }
}
