//! What `serve` can be told, by a YAML file and by flags. Every field has a default; every mistake is found before
//! any is reported.

mod compare;
mod systems;
mod tree;

use std::cell::RefCell;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_saphyr::Spanned;
use truegreen_connect::SystemConfig;

use crate::quantity;
use crate::systems::comparing::Comparison;
pub use tree::Mistake;
use tree::{Node, Section};

/// Everything that `serve` can be told.
#[derive(Clone, PartialEq, Debug)]
pub struct Config {
    /// Where to listen.
    pub listen: Listen,
    /// Bounds on what is taken in and held.
    pub limits: Limits,
    /// How long ended journeys are remembered, and how old an event's own time may be before the time of receipt
    /// replaces it. `retention`, default 6 h.
    pub retention: Retention,
    /// Whether traces are put together and watched for what no contract names. `watch_traces`, default true.
    pub watch_traces: bool,
    /// After healthy traffic of this length contracts are learned of it and put in force. `learn`, default never.
    pub learn: Option<Duration>,
    /// Where accepted requests are kept, so that a restart forgets nothing. `None`: nowhere.
    pub data: Option<Data>,
    /// Where findings are sent.
    pub alerts: Vec<AlertTarget>,
    /// Systems that are asked themselves. `systems`, default none.
    pub systems: Vec<SystemConfig>,
    /// What caches say, held against their sources. `systems.NAME.compare`, default none.
    pub comparisons: Vec<Comparison>,
    /// How people reach the pages, for links in alerts. `external_url`, default: the web address.
    pub external_url: Option<String>,
    /// Names of fields and headers whose values are never shown of a dead letter, besides passwords, tokens, cards and the
    /// like. `redact`, default none.
    pub redact: Vec<String>,
}

/// Where to listen. Port 0 picks a free one.
#[derive(Clone, PartialEq, Debug)]
pub struct Listen {
    /// OTLP, conventionally for gRPC. `listen.grpc`, default 127.0.0.1:4317. Both intake ports take gRPC and HTTP.
    pub grpc: SocketAddr,
    /// OTLP, conventionally for HTTP, and CloudEvents. `listen.http`, default 127.0.0.1:4318.
    pub http: SocketAddr,
    /// Pages, API and metrics. `listen.web`, default 127.0.0.1:4320.
    pub web: SocketAddr,
    /// Must be true before an address that other machines can reach is listened on: nothing here asks who calls.
    /// `listen.allow_remote`, default false.
    pub allow_remote: bool,
}

/// Bounds on what is taken in and held.
#[derive(Clone, PartialEq, Debug)]
pub struct Limits {
    /// Largest request body, as received and decompressed. `limits.body`, default 16 MiB.
    pub body_bytes: usize,
    /// Bytes of all bodies being received, decompressed or waiting for the engine. `limits.in_flight`, default 256 MiB.
    pub in_flight_bytes: usize,
    /// Requests waiting for the engine. `limits.queued_requests`, default 4096.
    pub queued_requests: usize,
    /// Open connections, over all ports. `limits.connections`, default 1024.
    pub connections: usize,
    /// How long a body may take to arrive. `limits.body_timeout`, default 30 s.
    pub body_timeout: Duration,
    /// Journeys held in memory; at the bound senders are told to retry. `limits.journeys`, default 1000000.
    pub journeys: usize,
    /// Traces held for binding. `limits.traces`, default 500000.
    pub traces: usize,
    /// Spans held while traces are put together. `limits.spans`, default 4000000.
    pub spans: usize,
}

/// Where accepted requests are kept.
#[derive(Clone, PartialEq, Debug)]
pub struct Data {
    /// The folder of the log; made where it is missing. `data.dir`, default `truegreen-data` in the current folder.
    pub dir: PathBuf,
    /// Requests received longer ago are dropped. `data.max_age`, default 1 d.
    pub max_age: Duration,
    /// The oldest requests are dropped beyond so many bytes on disk. `data.max_bytes`, default 10 GiB.
    pub max_bytes: u64,
    /// Nothing is taken that would leave fewer bytes free on the disk. `data.min_free`, default 1 GiB.
    pub min_free_bytes: u64,
}

impl Data {
    /// As the log is told of it.
    pub fn log_options(&self) -> truegreen_store::Options {
        truegreen_store::Options {
            max_age: self.max_age,
            max_bytes: self.max_bytes,
            min_free_bytes: self.min_free_bytes,
            ..truegreen_store::Options::default()
        }
    }
}

/// See [`Config::retention`].
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Retention(pub Duration);

/// One receiver of findings.
#[derive(Clone, PartialEq, Debug)]
pub struct AlertTarget {
    /// How it wants to be told. `alerts[].kind`: `alertmanager` or `webhook`.
    pub kind: AlertKind,
    /// Base URL of the Alertmanager, or the webhook's whole URL. `alerts[].url`.
    pub url: String,
}

/// How a receiver wants to be told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AlertKind {
    /// Prometheus Alertmanager, API v2.
    Alertmanager,
    /// One JSON document for each finding that opens or closes.
    Webhook,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            listen: Listen::default(),
            limits: Limits::default(),
            retention: Retention::default(),
            watch_traces: true,
            learn: None,
            data: None,
            alerts: Vec::new(),
            systems: Vec::new(),
            comparisons: Vec::new(),
            external_url: None,
            redact: Vec::new(),
        }
    }
}

impl Default for Listen {
    fn default() -> Self {
        Listen {
            grpc: SocketAddr::from(([127, 0, 0, 1], 4317)),
            http: SocketAddr::from(([127, 0, 0, 1], 4318)),
            web: SocketAddr::from(([127, 0, 0, 1], 4320)),
            allow_remote: false,
        }
    }
}

impl Default for Data {
    fn default() -> Self {
        Data {
            dir: PathBuf::from("truegreen-data"),
            max_age: Duration::from_secs(24 * 3600),
            max_bytes: 10 << 30,
            min_free_bytes: 1 << 30,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            body_bytes: 16 << 20,
            in_flight_bytes: 256 << 20,
            queued_requests: 4096,
            connections: 1024,
            body_timeout: Duration::from_secs(30),
            journeys: 1_000_000,
            traces: 500_000,
            spans: 4_000_000,
        }
    }
}

impl Default for Retention {
    fn default() -> Self {
        Retention(Duration::from_secs(6 * 3600))
    }
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read the configuration {path}: {cause}")]
    Unreadable {
        /// The file.
        path: String,
        /// What the system said.
        cause: std::io::Error,
    },
    /// Everything that is wrong with it.
    #[error("{}", show(path, mistakes))]
    Mistakes {
        /// The file.
        path: String,
        /// In the order of lines.
        mistakes: Vec<Mistake>,
    },
    /// An address that other machines can reach, without a word that this is meant.
    #[error(
        "{what} would listen on {address}, which other machines can reach\n\
         hint: nothing here asks who calls; if the network is yours, say so with --allow-remote or \
         `listen: {{allow_remote: true}}`"
    )]
    Remote {
        /// Which listener.
        what: &'static str,
        /// Its address.
        address: SocketAddr,
    },
}

fn show(path: &str, mistakes: &[Mistake]) -> String {
    let one = |m: &Mistake| match m.line {
        0 => format!("{path}: {}", m.message),
        line => format!("{path}:{line}: {}", m.message),
    };
    mistakes.iter().map(one).collect::<Vec<_>>().join("\n")
}

impl Config {
    /// Reads a file.
    pub fn load(path: &Path) -> Result<Config, Error> {
        let name = path.display().to_string();
        match std::fs::read_to_string(path) {
            Ok(text) => Config::parse(&text).map_err(|mistakes| Error::Mistakes { path: name, mistakes }),
            Err(cause) => Err(Error::Unreadable { path: name, cause }),
        }
    }

    /// Reads YAML text.
    pub fn parse(text: &str) -> Result<Config, Vec<Mistake>> {
        if text.trim().is_empty() {
            return Ok(Config::default());
        }
        let whole = |message: String| vec![Mistake { line: 0, message }];
        let tree: Spanned<Node> = serde_saphyr::from_str(text).map_err(|error| whole(error.to_string()))?;
        let mistakes = RefCell::new(Vec::new());
        let config = read(Section::new("", &tree, &mistakes));
        let mut mistakes = mistakes.into_inner();
        mistakes.sort_by_key(|mistake| mistake.line);
        if mistakes.is_empty() { Ok(config) } else { Err(mistakes) }
    }

    /// Refuses addresses that other machines can reach, unless that is said to be meant.
    pub fn check_reach(&self) -> Result<(), Error> {
        for (what, address) in self.listen.all() {
            if !address.ip().is_loopback() && !self.listen.allow_remote {
                return Err(Error::Remote { what, address });
            }
        }
        Ok(())
    }
}

impl Listen {
    /// Every listener with its name.
    pub fn all(&self) -> [(&'static str, SocketAddr); 3] {
        [("grpc", self.grpc), ("http", self.http), ("web", self.web)]
    }
}

fn read(mut file: Section<'_>) -> Config {
    let mut config = Config::default();
    if let Some(mut section) = file.section("listen") {
        let listen = &mut config.listen;
        set(&mut listen.grpc, section.scalar("grpc", address));
        set(&mut listen.http, section.scalar("http", address));
        set(&mut listen.web, section.scalar("web", address));
        set(&mut listen.allow_remote, section.scalar("allow_remote", yes_or_no));
        section.finish();
    }
    if let Some(section) = file.section("limits") {
        read_limits(section, &mut config.limits);
    }
    set(&mut config.retention, file.scalar("retention", retention));
    set(&mut config.watch_traces, file.scalar("watch_traces", yes_or_no));
    config.learn = file.scalar("learn", learning_time);
    if let Some(mut section) = file.section("data") {
        let data = config.data.get_or_insert_default();
        set(&mut data.dir, section.scalar("dir", folder));
        set(&mut data.max_age, section.scalar("max_age", positive_duration));
        set(&mut data.max_bytes, section.scalar("max_bytes", disk_size));
        set(&mut data.min_free_bytes, section.scalar("min_free", disk_size));
        section.finish();
    }
    for mut section in file.sections("alerts") {
        let kind = section.required("kind", alert_kind);
        let url = section.required("url", http_url);
        section.finish();
        config.alerts.extend(kind.zip(url).map(|(kind, url)| AlertTarget { kind, url }));
    }
    (config.systems, config.comparisons) = systems::read(&mut file);
    config.external_url = file.scalar("external_url", http_url);
    config.redact = file.list("redact", |name| Ok(name.to_owned()));
    file.finish();
    config
}

fn read_limits(mut section: Section<'_>, limits: &mut Limits) {
    set(&mut limits.body_bytes, section.scalar("body", size));
    set(&mut limits.in_flight_bytes, section.scalar("in_flight", size));
    set(&mut limits.queued_requests, section.scalar("queued_requests", count));
    set(&mut limits.connections, section.scalar("connections", count));
    set(&mut limits.body_timeout, section.scalar("body_timeout", positive_duration));
    set(&mut limits.journeys, section.scalar("journeys", count));
    set(&mut limits.traces, section.scalar("traces", count));
    set(&mut limits.spans, section.scalar("spans", count));
    // A compressed body of JSON is held three times for a moment: as received, plain, and as protobuf.
    if limits.in_flight_bytes < limits.body_bytes.saturating_mul(3) {
        section.wrong(format!(
            "`limits.in_flight` is {}, too small for one body of {} while it is read\n\
             hint: give it at least three times `limits.body`",
            quantity::show_bytes(limits.in_flight_bytes),
            quantity::show_bytes(limits.body_bytes)
        ));
    }
    section.finish();
}

fn set<T>(field: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *field = value;
    }
}

/// Reads `127.0.0.1:4317` or `[::1]:4317`.
pub fn address(text: &str) -> Result<SocketAddr, String> {
    let wrong = || format!("`{text}` is not an address with a port\nhint: write it like 127.0.0.1:4317 or [::1]:4317");
    text.replace("localhost", "127.0.0.1").parse().map_err(|_| wrong())
}

fn folder(text: &str) -> Result<PathBuf, String> {
    if text.is_empty() { Err("a folder is named\nhint: `dir: truegreen-data`".to_owned()) } else { Ok(text.into()) }
}

fn yes_or_no(text: &str) -> Result<bool, String> {
    text.parse().map_err(|_| format!("`{text}` is neither true nor false"))
}

fn positive_duration(text: &str) -> Result<Duration, String> {
    match quantity::duration(text)? {
        Duration::ZERO => Err("must be longer than nothing".to_owned()),
        duration => Ok(duration),
    }
}

/// How long traffic must have been healthy before it is learned from.
pub fn learning_time(text: &str) -> Result<Duration, String> {
    match positive_duration(text)? {
        duration if duration < Duration::from_secs(1) || duration > Duration::from_secs(7 * 86_400) => {
            Err(format!("`{text}` is not between 1s and 7d\nhint: 10m is usual"))
        }
        duration => Ok(duration),
    }
}

fn retention(text: &str) -> Result<Retention, String> {
    let longest = Duration::from_secs(90 * 86_400);
    match positive_duration(text)? {
        duration if duration > longest => Err("longer than 90 days\nhint: journeys are held in memory".to_owned()),
        duration => Ok(Retention(duration)),
    }
}

fn size(text: &str) -> Result<usize, String> {
    // Offsets into a body have 32 bits.
    match quantity::bytes(text)? {
        n if (1024..=u32::MAX as usize).contains(&n) => Ok(n),
        _ => Err(format!("`{text}` is not between 1KiB and 4GiB")),
    }
}

fn disk_size(text: &str) -> Result<u64, String> {
    Ok(quantity::bytes(text)? as u64)
}

fn count(text: &str) -> Result<usize, String> {
    match text.replace('_', "").parse::<usize>() {
        Ok(n) if (1..=u32::MAX as usize).contains(&n) => Ok(n),
        _ => Err(format!("`{text}` is not a whole number from 1 on")),
    }
}

fn alert_kind(text: &str) -> Result<AlertKind, String> {
    match text {
        "alertmanager" => Ok(AlertKind::Alertmanager),
        "webhook" => Ok(AlertKind::Webhook),
        _ => Err(format!("`{text}` is no kind of alert receiver\nhint: write alertmanager or webhook")),
    }
}

fn http_url(text: &str) -> Result<String, String> {
    let url = text.trim_end_matches('/');
    let parsed = url.parse::<axum::http::Uri>().ok();
    let fits = parsed.is_some_and(|u| matches!(u.scheme_str(), Some("http" | "https")) && u.host().is_some());
    // The text is not repeated: it may carry a password.
    if fits { Ok(url.to_owned()) } else { Err("not an http:// or https:// URL".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_can_be_set() {
        let text = "
listen: {grpc: '127.0.0.1:0', http: 'localhost:1', web: '[::1]:2', allow_remote: true}
limits: {body: 1MiB, in_flight: 4MiB, queued_requests: 7, connections: 8, body_timeout: 5s, journeys: 1_000, traces: 9}
retention: 2h
learn: 5m
alerts:
  - {kind: alertmanager, url: 'http://alerts:9093/'}
  - {kind: webhook, url: 'https://hooks.example/x'}
data: {dir: elsewhere, max_age: 2d, max_bytes: 5GiB, min_free: 1MiB}
external_url: https://truegreen.example
";
        let config = Config::parse(text).unwrap();
        assert_eq!(config.listen.http.port(), 1);
        assert_eq!(config.limits.body_bytes, 1 << 20);
        assert_eq!(config.limits.journeys, 1000);
        assert_eq!(config.retention, Retention(Duration::from_secs(7200)));
        assert_eq!(config.learn, Some(Duration::from_secs(300)));
        assert_eq!(config.alerts.len(), 2);
        assert_eq!(config.alerts[0].url, "http://alerts:9093");
        assert_eq!(config.external_url.as_deref(), Some("https://truegreen.example"));
        let data = config.data.unwrap();
        assert_eq!((data.dir.to_str(), data.max_age), (Some("elsewhere"), Duration::from_secs(48 * 3600)));
        assert_eq!((data.max_bytes, data.min_free_bytes), (5 << 30, 1 << 20));
    }

    /// Scenario: a file with five mistakes. Guarantee: all five are told at once, each with its line.
    #[test]
    fn all_mistakes_are_reported_before_failing() {
        let text = "listen:\n  grcp: 127.0.0.1:1\n  http: nowhere\nlimits:\n  body: huge\nalerts:\n  - kind: pager\n    url: http://x\nretention: [1]\n";
        let mistakes = Config::parse(text).unwrap_err();
        insta::assert_snapshot!(show("truegreen.yaml", &mistakes));
    }

    #[test]
    fn an_empty_file_is_the_default() {
        assert_eq!(Config::parse("\n").unwrap(), Config::default());
        assert_eq!(Config::parse("# nothing\nlisten:\n").unwrap(), Config::default());
    }

    #[test]
    fn what_other_machines_can_reach_must_be_asked_for() {
        let mut config = Config::parse("listen: {web: '0.0.0.0:4320'}").unwrap();
        assert!(config.check_reach().unwrap_err().to_string().contains("hint:"));
        config.listen.allow_remote = true;
        config.check_reach().unwrap();
    }
}
