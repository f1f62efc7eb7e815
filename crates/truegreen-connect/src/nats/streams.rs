//! What is said of streams: room, leader, copies.

use std::time::Duration;

use truegreen_model::probe::{Check, Standing};

use super::told::StreamInfo;
use crate::SystemConfig;
use crate::config::Limit;

/// From which share of its limit on a stream that refuses what is too much warns, and fails.
const FULL: Limit = Limit::new(0.8, 1.0);

/// A stream that did not answer within a list.
pub(super) fn unanswered(name: &str) -> Check {
    let reason = format!(
        "stream {name} does not answer: it has no leader, so nothing can be written to it or read\nhint: see whether a \
         majority of its servers runs"
    );
    Check::new("leader", Standing::Fail, reason).of(format!("stream {name}"))
}

/// What is said of one stream.
pub(super) fn checks(config: &SystemConfig, stream: &StreamInfo) -> Vec<Check> {
    let name = &stream.config.name;
    let mut checks = vec![
        room(config, stream, "messages", stream.state.messages, stream.config.max_msgs, "messages"),
        room(config, stream, "bytes", stream.state.bytes, stream.config.max_bytes, "By"),
    ];
    checks.extend(copies(stream));
    checks.into_iter().map(|check| check.of(format!("stream {name}"))).collect()
}

/// How much there is, held against what a stream may hold where more is refused. Where the oldest makes room it is full by
/// design: who lost by that are consumers, and it is said of them.
fn room(config: &SystemConfig, stream: &StreamInfo, name: &str, value: u64, most: i64, unit: &str) -> Check {
    let words = match most {
        1.. => format!("{value} of at most {most}"),
        _ => String::new(),
    };
    let usual = match (most, stream.config.discard.as_str()) {
        (1.., "new") => {
            let of = |share: Option<f64>| share.map(|share| share * most as f64);
            Limit { warn: of(FULL.warn), fail: of(FULL.fail) }
        }
        _ => Limit::default(),
    };
    let words = if usual.fail.is_some() { format!("{words}, and more is refused") } else { words };
    config.judge(name, usual, value as f64, unit, &words)
}

/// Whether it has a leader, and its copies are whole.
fn copies(stream: &StreamInfo) -> Option<Check> {
    let cluster = stream.cluster.as_ref()?;
    let copies = stream.config.num_replicas.max(1);
    if cluster.leader.is_empty() {
        return Some(unanswered(&stream.config.name));
    }
    if copies < 2 {
        return None;
    }
    let peers = cluster.replicas.as_deref().unwrap_or_default();
    let behind: Vec<String> = peers
        .iter()
        .filter(|peer| peer.offline || !peer.current)
        .map(|peer| match (peer.offline, peer.lag) {
            (true, _) => format!("{} is offline", peer.name),
            (false, 0) => format!("{} was not heard for {} s", peer.name, heard(peer.active).as_secs()),
            (false, lag) => format!("{} is {lag} operations behind", peer.name),
        })
        .collect();
    let whole = 1 + peers.len() - behind.len();
    let check = if behind.is_empty() && whole >= copies {
        Check::pass("replicas")
    } else {
        let last = if whole * 2 <= copies + 1 { ": one more lost, and it stops" } else { "" };
        let reason = format!("{whole} of {copies} copies are whole ({}){last}", behind.join(", "));
        Check::new("replicas", Standing::Warn, reason)
    };
    Some(check.observed(whole as f64, "copies"))
}

fn heard(nanos: i64) -> Duration {
    Duration::from_nanos(nanos.max(0).unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::{Address, Surroundings};

    fn said(text: &str) -> Vec<(String, Standing, String)> {
        let config = SystemConfig::new("n", Address::parse("nats://n", &Surroundings).unwrap());
        let stream: StreamInfo = serde_json::from_str(text).unwrap();
        checks(&config, &stream).into_iter().map(|check| (check.measurement, check.standing, check.reason)).collect()
    }

    #[test]
    fn a_stream_that_refuses_more_fails_when_it_is_full() {
        let full = r#"{"config":{"name":"A","discard":"new","max_msgs":10},"state":{"messages":10}}"#;
        assert_eq!(said(full)[0].2, "10 of at most 10, and more is refused; fails from 10 messages on");
        let turns = r#"{"config":{"name":"A","discard":"old","max_msgs":10},"state":{"messages":10}}"#;
        assert_eq!(said(turns)[0].1, Standing::Pass);
    }

    #[test]
    fn lost_copies_and_lost_leaders_are_told_apart() {
        let text = |cluster: &str| format!(r#"{{"config":{{"name":"A","num_replicas":3}},"cluster":{cluster}}}"#);
        let none = said(&text(r#"{"leader":"","replicas":null}"#));
        assert_eq!((none[2].0.as_str(), none[2].1), ("leader", Standing::Fail));
        let one = r#"{"leader":"a","replicas":[{"name":"b","current":true},{"name":"c","offline":true}]}"#;
        let one = said(&text(one));
        assert_eq!(
            (one[2].1, one[2].2.as_str()),
            (Standing::Warn, "2 of 3 copies are whole (c is offline): one more lost, and it stops")
        );
        let all = r#"{"leader":"a","replicas":[{"name":"b","current":true},{"name":"c","current":true}]}"#;
        assert_eq!(said(&text(all))[2].1, Standing::Pass);
    }
}
