//! What JetStream answers, as far as it is read. Fields that an older or newer server does not send are at their defaults.

use serde::Deserialize;

/// The end of an answer that says no.
#[derive(Clone, Deserialize, Debug, Default)]
#[serde(default)]
pub(super) struct Refusal {
    pub(super) code: u32,
    pub(super) err_code: u32,
    pub(super) description: String,
}

/// What an account uses, and may.
#[derive(Clone, Deserialize, Debug, Default)]
#[serde(default)]
pub(super) struct Account {
    pub(super) memory: u64,
    pub(super) storage: u64,
    pub(super) limits: AccountLimits,
}

#[derive(Clone, Deserialize, Debug, Default)]
#[serde(default)]
pub(super) struct AccountLimits {
    pub(super) max_memory: i64,
    pub(super) max_storage: i64,
}

/// A page of streams.
#[derive(Deserialize, Debug, Default)]
#[serde(default)]
pub(super) struct StreamPage {
    pub(super) total: usize,
    pub(super) streams: Option<Vec<StreamInfo>>,
    /// Those that did not answer, for want of a leader.
    pub(super) missing: Option<Vec<String>>,
}

#[derive(Clone, Deserialize, Debug, Default)]
#[serde(default)]
pub(super) struct StreamInfo {
    pub(super) config: StreamConfig,
    pub(super) state: StreamState,
    pub(super) cluster: Option<Cluster>,
}

#[derive(Clone, Deserialize, Debug, Default)]
#[serde(default)]
pub(super) struct StreamConfig {
    pub(super) name: String,
    pub(super) subjects: Option<Vec<String>>,
    pub(super) retention: String,
    pub(super) discard: String,
    pub(super) max_msgs: i64,
    pub(super) max_bytes: i64,
    pub(super) max_msgs_per_subject: i64,
    pub(super) num_replicas: usize,
    /// Nanoseconds.
    pub(super) duplicate_window: u64,
    pub(super) deny_delete: bool,
    pub(super) sealed: bool,
}

impl StreamConfig {
    pub(super) fn subjects(&self) -> &[String] {
        self.subjects.as_deref().unwrap_or_default()
    }
}

#[derive(Clone, Deserialize, Debug, Default)]
#[serde(default)]
pub(super) struct StreamState {
    pub(super) messages: u64,
    pub(super) bytes: u64,
    pub(super) first_seq: u64,
    pub(super) last_seq: u64,
}

#[derive(Clone, Deserialize, Debug, Default)]
#[serde(default)]
pub(super) struct Cluster {
    pub(super) leader: String,
    pub(super) replicas: Option<Vec<Peer>>,
}

#[derive(Clone, Deserialize, Debug, Default)]
#[serde(default)]
pub(super) struct Peer {
    pub(super) name: String,
    pub(super) current: bool,
    pub(super) offline: bool,
    /// Nanoseconds since it was heard.
    pub(super) active: i64,
    pub(super) lag: u64,
}

/// A page of consumers.
#[derive(Deserialize, Debug, Default)]
#[serde(default)]
pub(super) struct ConsumerPage {
    pub(super) total: usize,
    pub(super) consumers: Option<Vec<ConsumerInfo>>,
    pub(super) missing: Option<Vec<String>>,
}

#[derive(Clone, Deserialize, Debug, Default)]
#[serde(default)]
pub(super) struct ConsumerInfo {
    pub(super) stream_name: String,
    pub(super) name: String,
    pub(super) config: ConsumerConfig,
    pub(super) ack_floor: Position,
    pub(super) num_ack_pending: u64,
    pub(super) num_redelivered: u64,
    pub(super) num_waiting: u64,
    pub(super) num_pending: u64,
    pub(super) push_bound: bool,
}

#[derive(Clone, Deserialize, Debug, Default)]
#[serde(default)]
pub(super) struct ConsumerConfig {
    pub(super) deliver_subject: String,
    pub(super) ack_policy: String,
    pub(super) max_deliver: i64,
    pub(super) max_ack_pending: i64,
    pub(super) filter_subject: String,
    pub(super) filter_subjects: Option<Vec<String>>,
}

#[derive(Clone, Deserialize, Debug, Default)]
#[serde(default)]
pub(super) struct Position {
    pub(super) stream_seq: u64,
}

/// A stored message, its parts in base64.
#[derive(Deserialize, Debug, Default)]
#[serde(default)]
pub(super) struct Got {
    pub(super) message: Stored,
}

#[derive(Deserialize, Debug, Default)]
#[serde(default)]
pub(super) struct Stored {
    pub(super) subject: String,
    pub(super) seq: u64,
    pub(super) hdrs: String,
    pub(super) data: String,
    pub(super) time: String,
}

/// What a server confirms of a message that it stored.
#[derive(Deserialize, Debug, Default)]
#[serde(default)]
pub(super) struct Stowed {
    pub(super) stream: String,
    pub(super) seq: u64,
    pub(super) duplicate: bool,
}

/// What JetStream tells when a consumer gives a message up.
#[derive(Deserialize, Debug, Default)]
#[serde(default)]
pub(super) struct Advisory {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) timestamp: String,
    pub(super) stream: String,
    pub(super) consumer: String,
    pub(super) stream_seq: u64,
    pub(super) deliveries: u64,
    pub(super) reason: String,
}

/// Whether a pattern of subjects takes all that another takes, or a subject.
pub(super) fn covers(pattern: &str, subject: &str) -> bool {
    let mut subject = subject.split('.');
    for token in pattern.split('.') {
        match (token, subject.next()) {
            (">", Some(_)) => return true,
            ("*", Some(part)) if part != ">" => {}
            (token, Some(part)) if token == part => {}
            _ => return false,
        }
    }
    subject.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_cover_what_the_server_says_they_do() {
        for (pattern, subject, is_covered) in [
            ("a.b", "a.b", true),
            ("a.*", "a.b", true),
            ("a.>", "a.b.c", true),
            ("a.>", "a", false),
            ("a.*", "a.b.c", false),
            ("a.*", "a.>", false),
            (">", "$JS.EVENT.x", true),
            ("a.b.c", "a.b", false),
        ] {
            assert_eq!(covers(pattern, subject), is_covered, "{pattern} {subject}");
        }
    }

    #[test]
    fn fields_that_a_server_does_not_send_are_not_missed() {
        let page: StreamPage = serde_json::from_str(r#"{"total":0,"streams":null}"#).unwrap();
        assert!(page.streams.is_none());
        let info: ConsumerInfo =
            serde_json::from_str(r#"{"name":"c","config":{"max_deliver":5},"new_field":[1]}"#).unwrap();
        assert_eq!((info.name.as_str(), info.config.max_deliver), ("c", 5));
    }
}
