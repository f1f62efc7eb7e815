//! What is said of consumers: whether they move, what they were given and did not settle, and what they give up.

use std::collections::HashSet;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;
use truegreen_model::probe::{Check, Standing};

use super::link::is_name;
use super::told::{ConsumerInfo, ConsumerPage, StreamInfo, covers};
use super::{MAX_CONSUMERS, Nats, letters};
use crate::config::Limit;
use crate::lag::{STILL, Sample, judgement_checks};
use crate::probe::failed;
use crate::{Error, SystemConfig};

/// Consumers of which the oldest waiting message is looked up in one probe; of the others its age is interpolated.
const MAX_AGES: usize = 50;
/// Messages given out again and not settled yet, from which on that warns, and fails.
const REDELIVERED: Limit = Limit::new(10.0, 1_000.0);

impl Nats {
    /// Checks of all consumers of these streams, within the bound. `all` are the streams in which advisories may be captured.
    pub(super) async fn consumers(&self, streams: &[StreamInfo], all: &[StreamInfo]) -> Vec<Check> {
        let mut checks = Vec::new();
        let mut seen = HashSet::new();
        let mut ages = MAX_AGES;
        for stream in streams {
            let name = &stream.config.name;
            let of = format!("stream {name}");
            if seen.len() >= MAX_CONSUMERS {
                let reason = format!("more than {MAX_CONSUMERS} consumers: those of this stream are not looked at");
                checks.push(Check::new("consumers", Standing::Unknown, reason).of(of));
                continue;
            }
            let consumers = match self.consumers_of(name, MAX_CONSUMERS - seen.len(), &mut checks).await {
                Ok(consumers) => consumers,
                Err(error) => {
                    let gone = matches!(error, Error::TimedOut { .. } | Error::Unreachable(_));
                    checks.push(failed("consumers", &error).of(of));
                    if gone {
                        // Each further question would take as long.
                        break;
                    }
                    continue;
                }
            };
            // Asked once more, after the consumers: their floors must not be ahead of what the stream is said to hold.
            let stream = match self.link.stream(name).await {
                Ok(Some(stream)) => stream,
                _ => stream.clone(),
            };
            for consumer in &consumers {
                checks.extend(self.consumer(&stream, consumer, &mut ages).await);
                seen.insert((name.clone(), consumer.name.clone()));
            }
            checks.extend(given_up(&stream, &consumers, all, !self.config.dead_letters.is_empty()));
        }
        // A consumer that is gone is forgotten.
        self.windows.lock().await.retain(|key, _| seen.contains(key));
        checks
    }

    /// The consumers of one stream, or those of them that are named under `watch`.
    async fn consumers_of(
        &self,
        stream: &str,
        most: usize,
        checks: &mut Vec<Check>,
    ) -> Result<Vec<ConsumerInfo>, Error> {
        if !is_name(stream) {
            return Err(Error::Nonsense("a stream's name that none can have".to_owned()));
        }
        let named: Vec<&str> = self
            .config
            .watch
            .iter()
            .filter_map(|watched| watched.split_once('/'))
            .filter(|(of, consumer)| *of == stream && is_name(consumer))
            .map(|(_, consumer)| consumer)
            .collect();
        let mut found: Vec<ConsumerInfo> = Vec::new();
        for name in &named {
            let question = format!("CONSUMER.INFO.{stream}.{name}");
            match self.link.ask(&question, &json!({}), "about a consumer").await? {
                Some(consumer) => found.push(consumer),
                None => {
                    let reason = format!("stream {stream} has no consumer {name}: what it should consume, nobody does");
                    checks.push(Check::new("consumer", Standing::Fail, reason).of(format!("consumer {stream}/{name}")));
                }
            }
        }
        if !named.is_empty() {
            return Ok(found);
        }
        loop {
            let question = format!("CONSUMER.LIST.{stream}");
            let page: ConsumerPage = self
                .link
                .ask(&question, &json!({ "offset": found.len() }), "for its consumers")
                .await?
                .unwrap_or_default();
            for name in page.missing.unwrap_or_default() {
                let reason = format!("consumer {name} of {stream} does not answer: it has no leader, and gets nothing");
                checks.push(Check::new("leader", Standing::Fail, reason).of(format!("consumer {stream}/{name}")));
            }
            let consumers = page.consumers.unwrap_or_default();
            let is_last = consumers.is_empty();
            found.extend(consumers);
            if is_last || found.len() >= page.total || found.len() >= most {
                found.truncate(most);
                return Ok(found);
            }
        }
    }

    /// What is said of one consumer.
    async fn consumer(&self, stream: &StreamInfo, consumer: &ConsumerInfo, ages: &mut usize) -> Vec<Check> {
        let (of, name) = (&stream.config.name, &consumer.name);
        let waiting = consumer.num_pending.saturating_add(consumer.num_ack_pending);
        let mut sample = sample(stream, consumer, self.began.elapsed());
        if waiting > 0 && *ages > 0 {
            *ages -= 1;
            sample.oldest = self.oldest(of, consumer).await;
        }
        let judged = {
            let mut windows = self.windows.lock().await;
            let window = windows.entry((of.clone(), name.clone())).or_default();
            window.look(sample);
            window.judge(self.config.limits.get("standing").copied().unwrap_or(STILL))
        };
        let mut checks = settling(&self.config, consumer);
        checks.extend(judgement_checks(&self.config, &judged, &format!("consumer {name}"), of));
        if !consumer.config.deliver_subject.is_empty() && !consumer.push_bound {
            let standing = if waiting > 0 { Standing::Fail } else { Standing::Warn };
            let reason = format!(
                "nobody listens where consumer {name} of {of} delivers to, {waiting} messages wait\nhint: start who \
                 subscribes to {}",
                consumer.config.deliver_subject
            );
            checks.push(Check::new("interest", standing, reason));
        }
        checks.into_iter().map(|check| check.of(format!("consumer {of}/{name}"))).collect()
    }

    /// How old the first message is that the consumer has not settled.
    async fn oldest(&self, stream: &str, consumer: &ConsumerInfo) -> Option<Duration> {
        let filters = consumer.config.filter_subjects.as_deref().unwrap_or_default();
        let subject = match (consumer.config.filter_subject.as_str(), filters) {
            ("", []) => ">",
            (one, []) => one,
            ("", [one]) => one,
            _ => return None,
        };
        let got = self.link.message(stream, consumer.ack_floor.stream_seq + 1, Some(subject)).await.ok()??;
        let written: Timestamp = got.time.parse().ok()?;
        Duration::try_from(Timestamp::now().duration_since(written)).ok()
    }
}

/// What the rules of lag are shown of a consumer.
fn sample(stream: &StreamInfo, consumer: &ConsumerInfo, at: Duration) -> Sample {
    let is_whole = consumer.config.filter_subject.is_empty()
        && consumer.config.filter_subjects.as_deref().unwrap_or_default().is_empty();
    // Where a stream gives up old messages by other rules than its limits, or a consumer wants but some of them, what is
    // gone below the floor tells nothing.
    let may_lose = is_whole && stream.config.retention == "limits" && stream.config.max_msgs_per_subject <= 0;
    let is_push = !consumer.config.deliver_subject.is_empty();
    Sample {
        at,
        committed: Some(consumer.ack_floor.stream_seq + 1),
        high: stream.state.last_seq + 1,
        low: if may_lose { stream.state.first_seq } else { 0 },
        waiting: Some(consumer.num_pending.saturating_add(consumer.num_ack_pending)),
        oldest: None,
        consumers: match (is_push, consumer.num_waiting) {
            (true, _) => Some(u64::from(consumer.push_bound)),
            // Who works on what it fetched asks for nothing meanwhile.
            (false, 0) => None,
            (false, waiting) => Some(waiting),
        },
    }
}

/// What was given out and not settled.
fn settling(config: &SystemConfig, consumer: &ConsumerInfo) -> Vec<Check> {
    let given = consumer.num_ack_pending as f64;
    let pending = consumer.num_pending;
    let mut checks = vec![config.judge(
        "pending",
        Limit::default(),
        pending as f64,
        "messages",
        &format!("{pending} messages were not given to anybody yet"),
    )];
    let most = consumer.config.max_ack_pending;
    let (usual, words) = if most > 0 && consumer.config.ack_policy != "none" {
        let words = format!("{given} of at most {most} messages are given out and not acknowledged");
        (Limit::new(0.8 * most as f64, most as f64), words)
    } else {
        (Limit::default(), format!("{given} messages are given out and not acknowledged"))
    };
    let check = config.judge("ack_pending", usual, given, "messages", &words);
    let is_full = check.standing == Standing::Fail && most > 0 && given >= most as f64;
    checks.push(match is_full {
        true => Check { reason: format!("{}: no more is given out until some are", check.reason), ..check },
        false => check,
    });
    let again = consumer.num_redelivered;
    let words = format!("{again} messages were given out more than once and are not acknowledged yet");
    checks.push(config.judge("redelivered", REDELIVERED, again as f64, "messages", &words));
    checks
}

/// Consumers that give a message up where nothing keeps what they gave up.
fn given_up(stream: &StreamInfo, consumers: &[ConsumerInfo], all: &[StreamInfo], is_kept: bool) -> Option<Check> {
    let name = &stream.config.name;
    if is_kept || letters::is_named_dead(name) || all.iter().any(|other| letters::is_named_dead(&other.config.name)) {
        return None;
    }
    let is_captured = |consumer: &ConsumerInfo| {
        let subject = format!("{}.{name}.{}", letters::MAX_DELIVERIES, consumer.name);
        all.iter().any(|other| other.config.subjects().iter().any(|pattern| covers(pattern, &subject)))
    };
    let silent: Vec<&ConsumerInfo> =
        consumers.iter().filter(|consumer| consumer.config.max_deliver > 0 && !is_captured(consumer)).collect();
    let first = silent.first()?;
    let others = match silent.len() - 1 {
        0 => String::new(),
        more => format!(" (and {more} more of this stream)"),
    };
    let reason = format!(
        "blind spot: consumer {}{others} gives a message up after {} deliveries, and nothing keeps a record of it: it is \
         skipped in silence\nhint: a stream on {}.> keeps it",
        first.name,
        first.config.max_deliver,
        letters::MAX_DELIVERIES
    );
    Some(Check::new("dead_letters", Standing::Warn, reason).of(format!("stream {name}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(text: &str) -> StreamInfo {
        serde_json::from_str(text).unwrap()
    }

    fn consumer(text: &str) -> ConsumerInfo {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn who_gives_up_in_silence_is_a_blind_spot_until_something_keeps_it() {
        let orders = stream(r#"{"config":{"name":"ORDERS"}}"#);
        let five = [consumer(r#"{"name":"stock","config":{"max_deliver":5}}"#)];
        let said = given_up(&orders, &five, std::slice::from_ref(&orders), false).unwrap();
        assert!(said.reason.contains("consumer stock gives a message up after 5 deliveries"), "{}", said.reason);
        let kept = stream(r#"{"config":{"name":"ADVISORIES","subjects":["$JS.EVENT.ADVISORY.CONSUMER.*.>"]}}"#);
        assert_eq!(given_up(&orders, &five, &[orders.clone(), kept], false), None);
        let dead = stream(r#"{"config":{"name":"ORDERS_DLQ"}}"#);
        assert_eq!(given_up(&orders, &five, &[orders.clone(), dead], false), None);
        let never = [consumer(r#"{"name":"stock","config":{"max_deliver":-1}}"#)];
        assert_eq!(given_up(&orders, &never, std::slice::from_ref(&orders), false), None);
    }

    #[test]
    fn only_what_retention_took_from_a_whole_consumer_is_lost() {
        let limits = stream(r#"{"config":{"name":"A","retention":"limits"},"state":{"first_seq":50,"last_seq":90}}"#);
        let whole = consumer(r#"{"ack_floor":{"stream_seq":10},"num_pending":41}"#);
        let seen = sample(&limits, &whole, Duration::ZERO);
        assert_eq!((seen.committed, seen.low, seen.high, seen.lag()), (Some(11), 50, 91, 41));
        let filtered = consumer(r#"{"ack_floor":{"stream_seq":10},"config":{"filter_subject":"a.b"}}"#);
        assert_eq!(sample(&limits, &filtered, Duration::ZERO).low, 0);
        let queue = stream(r#"{"config":{"name":"A","retention":"workqueue"},"state":{"first_seq":50,"last_seq":90}}"#);
        assert_eq!(sample(&queue, &whole, Duration::ZERO).low, 0);
    }
}
