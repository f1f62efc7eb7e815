//! The management API: JSON over HTTP. Its client waits, so it is asked on threads for that.

use std::time::Duration;

use base64::Engine as _;
use lapin::uri::{AMQPScheme, AMQPUri};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use truegreen_model::probe::{Check, Standing};

use crate::{Error, SystemConfig};

/// Bytes of one answer.
const MAX_ANSWER_BYTES: u64 = 32 << 20;
/// Queues that are asked for at once; the API gives no more.
pub(super) const MAX_QUEUES: usize = 500;
const COLUMNS: &str = "name,type,messages,messages_unacknowledged,consumers,head_message_timestamp,message_stats,arguments,\
                       effective_policy_definition,exclusive,auto_delete,state,delivery_limit";

/// The management API of one virtual host.
#[derive(Clone)]
pub(super) struct Management {
    agent: ureq::Agent,
    base: String,
    authorization: String,
    vhost: String,
    limit: Duration,
}

/// A queue, as the API tells of it. What is not told (yet) is none.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Queue {
    pub(super) name: String,
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) messages: Option<u64>,
    pub(super) messages_unacknowledged: Option<u64>,
    pub(super) consumers: Option<u64>,
    /// Seconds since 1970, or whatever stands for none.
    head_message_timestamp: Value,
    message_stats: Value,
    /// An object, or an empty list.
    arguments: Value,
    effective_policy_definition: Value,
    delivery_limit: Value,
    pub(super) exclusive: bool,
    pub(super) auto_delete: bool,
    pub(super) state: String,
}

impl Queue {
    /// What its arguments say, else its policy.
    fn setting(&self, name: &str) -> Option<&Value> {
        self.arguments.get(format!("x-{name}")).or_else(|| self.effective_policy_definition.get(name))
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.setting(name)?.as_str()
    }

    pub(super) fn number(&self, name: &str) -> Option<i64> {
        self.setting(name)?.as_i64()
    }

    /// The time of its first message, in seconds since 1970.
    pub(super) fn head_time(&self) -> Option<f64> {
        self.head_message_timestamp.as_f64().filter(|seconds| *seconds > 0.0)
    }

    /// Messages acknowledged a second.
    pub(super) fn ack_rate(&self) -> Option<f64> {
        self.message_stats.pointer("/ack_details/rate")?.as_f64()
    }

    pub(super) fn is_quorum(&self) -> bool {
        self.kind == "quorum"
    }

    pub(super) fn is_stream(&self) -> bool {
        self.kind == "stream"
    }

    /// How often a message may be delivered before it is dropped or dies; none for as often as one likes. Since version 4
    /// quorum queues have such a limit where nothing is said.
    pub(super) fn delivery_limit(&self, version: u32) -> Option<u64> {
        if !self.is_quorum() {
            return None;
        }
        let told = self.delivery_limit.as_i64().or_else(|| self.number("delivery-limit"));
        let limit = told.or((version >= 4).then_some(20))?;
        u64::try_from(limit).ok()
    }
}

/// Where the messages of an exchange go.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Binding {
    pub(super) source: String,
    pub(super) destination: String,
}

/// A node of the cluster.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Node {
    pub(super) name: String,
    pub(super) running: bool,
    pub(super) mem_alarm: bool,
    pub(super) disk_free_alarm: bool,
    pub(super) mem_used: Option<f64>,
    pub(super) mem_limit: Option<f64>,
    pub(super) partitions: Vec<String>,
}

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    items: Vec<Queue>,
    #[serde(default)]
    total_count: usize,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

#[derive(Deserialize)]
struct Overview {
    rabbitmq_version: String,
}

impl Management {
    /// Where the configuration says, else on the broker's host at the usual port.
    pub(super) fn new(config: &SystemConfig, uri: &AMQPUri) -> Management {
        let own = config.management.as_ref().map(crate::Address::secret_url);
        let base = match own {
            Some(url) => {
                let mut url = url.clone();
                // Only a URL without a host has no place for a user, and there is none here.
                let _cleared = (url.set_username(""), url.set_password(None));
                url.as_str().trim_end_matches('/').to_owned()
            }
            None => {
                let (scheme, port) = match uri.scheme {
                    AMQPScheme::AMQP => ("http", 15672),
                    AMQPScheme::AMQPS => ("https", 15671),
                };
                format!("{scheme}://{}:{port}", config.address.host())
            }
        };
        let decoded = |part: &str| percent_encoding::percent_decode_str(part).decode_utf8_lossy().into_owned();
        let (user, password) = match own.filter(|url| !url.username().is_empty()) {
            Some(url) => (decoded(url.username()), decoded(url.password().unwrap_or_default())),
            None => (uri.authority.userinfo.username.clone(), uri.authority.userinfo.password.clone()),
        };
        let authorization = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
        let agent = ureq::Agent::config_builder()
            .timeout_global(Some(config.timeout))
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .build()
            .into();
        Management {
            agent,
            base,
            authorization: format!("Basic {authorization}"),
            vhost: encoded(&uri.vhost),
            limit: config.timeout,
        }
    }

    /// Queues, at most [`MAX_QUEUES`], and how many there are in all.
    pub(super) async fn queues(&self) -> Result<(Vec<Queue>, usize), Error> {
        let path = format!("/api/queues/{}?page=1&page_size={MAX_QUEUES}&columns={COLUMNS}", self.vhost);
        let page: Page = self.get(path).await?;
        Ok((page.items, page.total_count))
    }

    pub(super) async fn queue(&self, name: &str) -> Result<Queue, Error> {
        self.get(format!("/api/queues/{}/{}", self.vhost, encoded(name))).await
    }

    pub(super) async fn exchanges(&self) -> Result<Vec<String>, Error> {
        let named: Vec<Named> = self.get(format!("/api/exchanges/{}?columns=name", self.vhost)).await?;
        Ok(named.into_iter().map(|exchange| exchange.name).collect())
    }

    pub(super) async fn bindings(&self) -> Result<Vec<Binding>, Error> {
        self.get(format!("/api/bindings/{}?columns=source,destination", self.vhost)).await
    }

    pub(super) async fn nodes(&self) -> Result<Vec<Node>, Error> {
        self.get("/api/nodes?columns=name,running,mem_alarm,disk_free_alarm,mem_used,mem_limit,partitions".to_owned())
            .await
    }

    /// The first number of its version.
    pub(super) async fn version(&self) -> Result<u32, Error> {
        let overview: Overview = self.get("/api/overview?columns=rabbitmq_version".to_owned()).await?;
        let first = overview.rabbitmq_version.split('.').next().and_then(|number| number.parse().ok());
        first.ok_or_else(|| Error::Nonsense("a version without a number".to_owned()))
    }

    async fn get<T: DeserializeOwned + Send + 'static>(&self, path: String) -> Result<T, Error> {
        let own = self.clone();
        let asked = tokio::task::spawn_blocking(move || own.get_here(&path)).await;
        asked.unwrap_or_else(|error| Err(Error::Nonsense(format!("the management API: {error}"))))
    }

    fn get_here<T: DeserializeOwned>(&self, path: &str) -> Result<T, Error> {
        let request = self.agent.get(format!("{}{path}", self.base)).header("authorization", &self.authorization);
        let mut response = request.call().map_err(|error| self.told(error))?;
        match response.status().as_u16() {
            200 => {}
            401 => {
                return Err(Error::Denied(
                    "the management API knows no such user and password, or the user has no tag that \
                                             lets it in: `management`, `monitoring`"
                        .to_owned(),
                ));
            }
            403 => {
                return Err(Error::Denied(
                    "the management API does not tell this user: it needs the tag `monitoring`".to_owned(),
                ));
            }
            404 => return Err(Error::Answered("the management API knows no such thing".to_owned())),
            status => return Err(Error::Answered(format!("the management API answers {status}"))),
        }
        let body = response.body_mut().with_config().limit(MAX_ANSWER_BYTES);
        body.read_json().map_err(|error| self.told(error))
    }

    fn told(&self, error: ureq::Error) -> Error {
        match error {
            ureq::Error::Timeout(_) => Error::TimedOut { what: "the management API", limit: self.limit },
            ureq::Error::Json(error) => Error::Nonsense(format!("the management API: {error}")),
            ureq::Error::BodyExceedsLimit(bytes) => {
                Error::Answered(format!("the management API with more than {bytes} bytes"))
            }
            error => Error::Unreachable(format!("the management API: {error}")),
        }
    }
}

/// As one part of a path.
fn encoded(name: &str) -> String {
    utf8_percent_encode(name, NON_ALPHANUMERIC).to_string()
}

/// What only the management API tells is unknown without it.
pub(super) fn unknown(measurement: &str, error: &Error) -> Check {
    let hint =
        "hint: enable rabbitmq_management, name its address under `management`, and give the user the tag `monitoring`";
    let reason = error.to_string();
    let first = reason.lines().next().unwrap_or_default();
    Check::new(measurement, Standing::Unknown, format!("{first}\n{hint}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_versions_write_differently_is_read_alike() {
        let queue = |text: &str| serde_json::from_str::<Queue>(text).unwrap();
        let old = queue(
            r#"{"name":"q","type":"quorum","head_message_timestamp":"","arguments":{},"effective_policy_definition":[]}"#,
        );
        assert_eq!((old.head_time(), old.delivery_limit(3), old.delivery_limit(4)), (None, None, Some(20)));
        let by_policy = queue(r#"{"type":"quorum","effective_policy_definition":{"delivery-limit":5}}"#);
        assert_eq!(by_policy.delivery_limit(3), Some(5));
        let unlimited = queue(r#"{"type":"quorum","arguments":{"x-delivery-limit":-1}}"#);
        assert_eq!(unlimited.delivery_limit(4), None);
        let classic = queue(
            r#"{"type":"classic","head_message_timestamp":1700000000,"arguments":{"x-dead-letter-exchange":""}}"#,
        );
        assert_eq!((classic.text("dead-letter-exchange"), classic.head_time()), (Some(""), Some(1.7e9)));
    }
}
