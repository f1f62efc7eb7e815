//! What the server may be told of one system.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::Address;

/// One system, as the configuration names it.
#[derive(Clone, PartialEq, Debug)]
pub struct SystemConfig {
    /// Its name, in reports, pages and contracts. `systems.NAME`.
    pub name: String,
    /// Where it is, and who asks there. `url`.
    pub address: Address,
    /// Where its management API is, for RabbitMQ. `management`.
    pub management: Option<Address>,
    /// How long one probe, one question or one step of a redrive may take. `timeout`, default 5 s.
    pub timeout: Duration,
    /// How often it is probed. `every`, default 15 s.
    pub every: Duration,
    /// Whether a probe may write, into a scratch table or key of its own. `scratch`, default none.
    pub scratch: Option<String>,
    /// What is looked at in particular: queues of RabbitMQ, streams of NATS (`stream` or `stream/consumer`), topics and groups
    /// of Kafka (`topic/group`). `watch`, default: all that there are, within a bound.
    pub watch: Vec<String>,
    /// Where dead letters lie: queues, streams, topics, tables. `dead_letters`, default: found by name.
    pub dead_letters: Vec<String>,
    /// From where on a measurement warns, and fails, by its name. `limits`.
    pub limits: BTreeMap<String, Limit>,
    /// What an HTTP answer must be like. `expect`.
    pub expect: Expectations,
    /// How an HTTP system is asked. `method`, default GET.
    pub method: Method,
    /// A file of certificates (PEM) that alone are trusted over TLS. `ca`, default: those of Mozilla.
    pub ca: Option<PathBuf>,
    /// The `service.name`s that use this system: what they say of themselves is held against it. `used_by`, default: those
    /// that the map of traffic shows.
    pub used_by: Vec<String>,
    /// What is asked further where one key is followed end to end. `trace`.
    pub trace: Vec<TraceQuestion>,
}

/// A question for one key, asked where that key is followed end to end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TraceQuestion {
    /// What it asks for, in a word: `stock`. `trace[].name`.
    pub name: String,
    /// The question, with one parameter, the key: as that of a contract's `confirm`. `trace[].ask`.
    pub ask: String,
    /// Only for keys of this flow. `trace[].flow`, default: of all flows.
    pub flow: Option<String>,
    /// The step beside which the answer stands. `trace[].hop`.
    pub hop: Option<String>,
}

/// How an HTTP system is asked. A POST has no body.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Method {
    /// `GET`.
    #[default]
    Get,
    /// `HEAD`.
    Head,
    /// `POST`.
    Post,
}

/// From where on a measurement warns, and fails, in its own unit.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Limit {
    /// `warn`.
    pub warn: Option<f64>,
    /// `fail`.
    pub fail: Option<f64>,
}

impl Limit {
    /// Warns and fails from these values on.
    pub const fn new(warn: f64, fail: f64) -> Limit {
        Limit { warn: Some(warn), fail: Some(fail) }
    }
}

/// What an HTTP answer must be like.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Expectations {
    /// The statuses that are well. `expect.status`, default 200 to 299.
    pub statuses: Vec<u16>,
    /// JSONPath expressions that must each select something, or, with `== VALUE`, exactly that. `expect.body`.
    pub body: Vec<String>,
    /// JSONPath expressions that must select something for the answer to be whole; else it is partial, which warns.
    /// `expect.whole`.
    pub whole: Vec<String>,
    /// Whether what answers is a service's own health check: then its claim is held against the truth. `expect.claims_of`:
    /// the `service.name`.
    pub claims_of: Option<String>,
}

impl SystemConfig {
    /// With everything at its default.
    pub fn new(name: &str, address: Address) -> SystemConfig {
        SystemConfig {
            name: name.to_owned(),
            address,
            management: None,
            timeout: Duration::from_secs(5),
            every: Duration::from_secs(15),
            scratch: None,
            watch: Vec::new(),
            dead_letters: Vec::new(),
            limits: BTreeMap::new(),
            expect: Expectations::default(),
            method: Method::default(),
            ca: None,
            used_by: Vec::new(),
            trace: Vec::new(),
        }
    }
}
