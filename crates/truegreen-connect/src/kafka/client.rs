//! Clients of Kafka, and why they fail, in words.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::producer::FutureProducer;

use crate::{Error, SystemConfig};

/// Errors that a client remembers.
const MAX_HEARD: usize = 32;
/// Times that nothing comes before there is nothing.
const QUIET: u32 = 8;
/// What is taken at once of what its threads tell.
const MAX_TOLD: usize = 1_000;
/// Bytes of one answer of a broker: beyond that it is dropped, and the connection with it.
const MAX_ANSWER_BYTES: u32 = 64 << 20;

/// What a client's threads told of its connections.
pub(super) struct Told {
    heard: Mutex<VecDeque<(Code, String)>>,
}

impl ClientContext for Told {
    fn log(&self, _level: RDKafkaLogLevel, part: &str, text: &str) {
        tracing::debug!(part, text, "kafka client");
        // That a peer hung up, or did not answer in time, is logged and no error of its own.
        if part == "FAIL" {
            self.hear(Code::BrokerTransportFailure, text);
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let code = error.rdkafka_error_code().unwrap_or(Code::Unknown);
        // Said after each of the others, and says nothing that they do not.
        if code == Code::AllBrokersDown {
            return;
        }
        self.hear(code, reason);
    }
}

impl Told {
    fn hear(&self, code: Code, text: &str) {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        if heard.len() == MAX_HEARD {
            heard.pop_front();
        }
        heard.push_back((code, text.to_owned()));
    }
}

impl ConsumerContext for Told {}

/// A client that reads.
pub(super) type Client = BaseConsumer<Told>;

/// Makes clients of one cluster.
pub(super) struct Maker {
    pub(super) config: Arc<SystemConfig>,
    base: ClientConfig,
}

impl Maker {
    pub(super) fn new(config: Arc<SystemConfig>) -> Result<Maker, Error> {
        let address = &config.address;
        // The client takes no less for its own limits.
        let limit = config.timeout.max(Duration::from_secs(1)).as_millis().min(300_000).to_string();
        let mut base = ClientConfig::new();
        base.set("bootstrap.servers", address.hosts(super::PORT).join(","))
            .set("client.id", "truegreen")
            .set("socket.connection.setup.timeout.ms", &limit)
            .set("socket.timeout.ms", &limit)
            .set("api.version.request.timeout.ms", &limit)
            .set("reconnect.backoff.ms", "50")
            .set("reconnect.backoff.max.ms", "1000")
            .set("receive.message.max.bytes", MAX_ANSWER_BYTES.to_string())
            .set_log_level(RDKafkaLogLevel::Info);
        let url = address.secret_url();
        let decoded = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
        if let Some(password) = url.password() {
            base.set("security.protocol", "SASL_PLAINTEXT")
                .set("sasl.mechanism", "PLAIN")
                .set("sasl.username", decoded(url.username()))
                .set("sasl.password", decoded(password));
        }
        for (name, value) in url.query_pairs() {
            match (name.as_ref(), value.as_ref()) {
                ("tls", "true") | ("mechanism", _) if value != "PLAIN" => {
                    return Err(Error::NotAsked(
                        "TLS and SCRAM are not in this build's client of Kafka\nhint: a listener without TLS, with SASL \
                         PLAIN or without SASL, in a network that is trusted"
                            .to_owned(),
                    ));
                }
                ("tls", "false") | ("mechanism", _) => {}
                (other, _) => {
                    return Err(Error::NotAsked(format!(
                        "its address has an unknown `{other}`\nhint: mechanism=PLAIN is known"
                    )));
                }
            }
        }
        Ok(Maker { config, base })
    }

    /// A client that reads, of this group where one is given. It joins no group and creates no topic.
    pub(super) fn consumer(&self, group: Option<&str>) -> Result<Client, Error> {
        let mut config = self.base.clone();
        config
            .set("group.id", group.unwrap_or("truegreen"))
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "earliest")
            .set("allow.auto.create.topics", "false")
            .set("enable.partition.eof", "true")
            .set("fetch.max.bytes", "8388608")
            .set("fetch.message.max.bytes", "1048576")
            .set("queued.max.messages.kbytes", "16384")
            .set("fetch.wait.max.ms", "100");
        let told = Told { heard: Mutex::default() };
        config.create_with_context(told).map_err(|error| Error::NotAsked(self.shown(&error.to_string())))
    }

    /// A client that writes: each message once, confirmed by all copies that are in step.
    pub(super) fn producer(&self) -> Result<FutureProducer, Error> {
        let mut config = self.base.clone();
        config
            .set("acks", "all")
            .set("enable.idempotence", "true")
            .set("message.timeout.ms", self.config.timeout.as_millis().max(1_000).to_string())
            .set("linger.ms", "0")
            .set("queue.buffering.max.kbytes", "65536")
            // As Java's clients choose: a key goes where its elder messages are.
            .set("partitioner", "murmur2_random");
        config.create().map_err(|error| Error::NotAsked(self.shown(&error.to_string())))
    }

    fn shown(&self, text: &str) -> String {
        self.config.address.without_secrets(text)
    }

    /// Why a question failed, by what the client's threads heard of its connections.
    pub(super) fn explain(&self, client: &Client, error: &KafkaError, what: &'static str) -> Error {
        drain(client);
        let heard = client.context().heard.lock().unwrap_or_else(PoisonError::into_inner);
        let texts: Vec<(Code, &str)> = heard.iter().rev().map(|(code, text)| (*code, text.as_str())).collect();
        self.cause(error, &texts, what)
    }

    fn cause(&self, error: &KafkaError, heard: &[(Code, &str)], what: &'static str) -> Error {
        let limit = self.config.timeout;
        let code = error.rdkafka_error_code();
        if let Some(code) = code {
            if is_denied(code) {
                return Error::Denied(self.shown(&error.to_string()));
            }
            if !is_about_connections(code) {
                return Error::Answered(self.shown(&error.to_string()));
            }
        }
        let find =
            |is: &dyn Fn(Code, &str) -> bool| heard.iter().find(|(code, text)| is(*code, text)).map(|(_, text)| *text);
        if let Some(text) = find(&|code, _| is_denied(code)) {
            return Error::Denied(self.shown(text));
        }
        if let Some(text) = find(&|_, text| speaks_otherwise(text)) {
            return Error::Nonsense(format!(
                "{}\nhint: is this a port of Kafka, and one without TLS?",
                self.shown(text)
            ));
        }
        if let Some(text) = find(&|code, text| code == Code::Resolve || is_unreachable(text)) {
            return Error::Unreachable(self.shown(text));
        }
        // Whatever else was heard says more than that time went by.
        if let Some(text) = find(&|code, text| code == Code::BrokerTransportFailure && !text.contains("imed out")) {
            return Error::Unreachable(self.shown(text));
        }
        Error::TimedOut { what, limit }
    }
}

/// Takes what a client's threads have to tell, which they hand over, log lines between errors, when it is polled.
fn drain(client: &Client) {
    let mut quiet = 0;
    for _ in 0..MAX_TOLD {
        quiet = if client.poll(Duration::from_millis(1)).is_none() { quiet + 1 } else { 0 };
        if quiet > QUIET {
            break;
        }
    }
}

/// Forgets what was heard by a client that does its work.
pub(super) fn settle(client: &Client) {
    drain(client);
    client.context().heard.lock().unwrap_or_else(PoisonError::into_inner).clear();
}

fn is_denied(code: Code) -> bool {
    matches!(
        code,
        Code::Authentication
            | Code::SaslAuthenticationFailed
            | Code::TopicAuthorizationFailed
            | Code::GroupAuthorizationFailed
            | Code::ClusterAuthorizationFailed
    )
}

/// Whether an error says no more than that nothing came back.
fn is_about_connections(code: Code) -> bool {
    matches!(
        code,
        Code::BrokerTransportFailure
            | Code::AllBrokersDown
            | Code::OperationTimedOut
            | Code::TimedOutQueue
            | Code::MessageTimedOut
            | Code::RequestTimedOut
            | Code::WaitingForCoordinator
            | Code::Resolve
    )
}

fn is_unreachable(text: &str) -> bool {
    ["Connection refused", "No route to host", "Network is unreachable", "Failed to resolve", "Connection reset"]
        .iter()
        .any(|known| text.contains(known))
}

/// What a client says of a peer that is no Kafka, or wants TLS.
fn speaks_otherwise(text: &str) -> bool {
    [
        "security.protocol",
        "Invalid response size",
        "Invalid message size",
        "correlation",
        "while requesting ApiVersion",
        "Protocol parse",
    ]
    .iter()
    .any(|known| text.contains(known))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::{Address, Surroundings};

    fn maker(url: &str) -> Result<Maker, Error> {
        Maker::new(Arc::new(SystemConfig::new("k", Address::parse(url, &Surroundings).unwrap())))
    }

    #[test]
    fn what_this_build_cannot_speak_is_said_before_anything_is_asked() {
        assert!(matches!(maker("kafka://u:p@k/?mechanism=SCRAM-SHA-512"), Err(Error::NotAsked(_))));
        assert!(matches!(maker("kafka://k/?tls=true"), Err(Error::NotAsked(_))));
        assert!(matches!(maker("kafka://k/?nonsense=1"), Err(Error::NotAsked(_))));
        assert!(maker("kafka://u:p@a,b:9093/?mechanism=PLAIN").is_ok());
    }

    #[test]
    fn the_cause_that_was_heard_goes_before_a_mere_time_out() {
        let maker = maker("kafka://user:s3cret@k").unwrap();
        let timed_out = KafkaError::MetadataFetch(Code::OperationTimedOut);
        let because = |heard: &[(Code, &str)]| maker.cause(&timed_out, heard, "x");
        assert!(matches!(because(&[]), Error::TimedOut { .. }));
        let refused =
            (Code::BrokerTransportFailure, "k:9092: Connect to ipv4#127.0.0.1:9092 failed: Connection refused");
        assert!(matches!(because(&[refused]), Error::Unreachable(_)));
        let denied = (Code::Authentication, "SASL authentication failed for s3cret");
        assert_eq!(because(&[refused, denied]), Error::Denied("SASL authentication failed for ***".into()));
        let other = (Code::BrokerTransportFailure, "Disconnected while requesting ApiVersion");
        assert!(matches!(because(&[other, refused]), Error::Nonsense(_)));
        let no = KafkaError::MetadataFetch(Code::TopicAuthorizationFailed);
        assert!(matches!(maker.cause(&no, &[], "x"), Error::Denied(_)));
    }
}
