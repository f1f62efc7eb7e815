//! Calls to other services, each within a client span.

use std::time::{Duration, Instant};

use opentelemetry::trace::{SpanKind, TraceContextExt};
use opentelemetry::{Context, KeyValue};
use serde::Serialize;
use serde::de::DeserializeOwned;
use ureq::Agent;
use ureq::http::{Request, Uri};

use crate::Error;
use crate::telemetry::{Telemetry, fail, inject};

/// Longest answer that is read.
const MAX_ANSWER_BYTES: u64 = 1 << 20;

/// A client for services on this machine: no proxy from the environment, and a status of 400 or more is an answer.
pub(crate) fn agent(timeout: Option<Duration>) -> Agent {
    Agent::config_builder().proxy(None).http_status_as_error(false).timeout_global(timeout).build().new_agent()
}

/// Calls one other service; each call blocks.
pub(crate) struct Client {
    agent: Agent,
    telemetry: Telemetry,
}

/// What came back.
#[derive(Debug)]
pub(crate) enum Answer {
    Status {
        code: u16,
        body: Vec<u8>,
    },
    /// Not within the client's time.
    TimedOut,
    /// Not at all, in words fit for `error.type`.
    None(&'static str),
}

impl Answer {
    /// The body, if it came with success and reads.
    pub(crate) fn success<T: DeserializeOwned>(&self) -> Option<T> {
        match self {
            Answer::Status { code: 200..=299, body } => serde_json::from_slice(body).ok(),
            _ => None,
        }
    }

    /// As an error that names the service.
    pub(crate) fn refusal(&self, service: &'static str) -> Error {
        let answer = match self {
            Answer::Status { code, .. } => code.to_string(),
            Answer::TimedOut => "nothing in time".to_owned(),
            Answer::None(what) => format!("nothing: {what}"),
        };
        Error::Refused { service, answer }
    }
}

impl Client {
    /// `timeout`: for a call as a whole; without one, a call can last for ever.
    pub(crate) fn new(telemetry: &Telemetry, timeout: Option<Duration>) -> Client {
        Client { agent: agent(timeout), telemetry: telemetry.clone() }
    }

    pub(crate) fn get(&self, url: &str, parent: &Context) -> Answer {
        self.call("GET", url, None, Vec::new(), parent)
    }

    /// Posts `body` as JSON.
    pub(crate) fn post(
        &self,
        url: &str,
        authorization: Option<String>,
        body: &impl Serialize,
        parent: &Context,
    ) -> Answer {
        match serde_json::to_vec(body) {
            Ok(body) => self.call("POST", url, authorization, body, parent),
            Err(_) => Answer::None("unwritable"),
        }
    }

    fn call(
        &self,
        method: &'static str,
        url: &str,
        authorization: Option<String>,
        body: Vec<u8>,
        parent: &Context,
    ) -> Answer {
        let started = Instant::now();
        let mut labels = vec![KeyValue::new("http.request.method", method)];
        if let Ok(uri) = url.parse::<Uri>() {
            labels.push(KeyValue::new("server.address", uri.host().unwrap_or_default().to_owned()));
            labels.push(KeyValue::new("server.port", i64::from(uri.port_u16().unwrap_or(80))));
        }
        let mut attributes = labels.clone();
        attributes.push(KeyValue::new("url.full", url.to_owned()));
        let context = self.telemetry.span(method, SpanKind::Client, attributes, parent);
        let answer = self.send(method, url, authorization, body, &context);
        let error_type = match &answer {
            Answer::Status { code, .. } => {
                let status = KeyValue::new("http.response.status_code", i64::from(*code));
                context.span().set_attribute(status.clone());
                labels.push(status);
                (*code >= 400).then(|| code.to_string())
            }
            Answer::TimedOut => Some("timeout".to_owned()),
            Answer::None(what) => Some((*what).to_owned()),
        };
        if let Some(error_type) = error_type {
            labels.push(KeyValue::new("error.type", error_type.clone()));
            fail(&context, error_type, String::new());
        }
        self.telemetry.end(&context);
        self.telemetry.instruments.http_client_duration.record(started.elapsed().as_secs_f64(), &labels);
        answer
    }

    fn send(&self, method: &str, url: &str, authorization: Option<String>, body: Vec<u8>, context: &Context) -> Answer {
        let mut request = Request::builder().method(method).uri(url);
        for (name, value) in inject(context) {
            request = request.header(name, value);
        }
        if let Some(authorization) = authorization {
            request = request.header("authorization", authorization);
        }
        let sent = match body.is_empty() {
            true => request.body(()).map_err(ureq::Error::from).and_then(|request| self.agent.run(request)),
            false => request
                .header("content-type", "application/json")
                .body(body)
                .map_err(ureq::Error::from)
                .and_then(|request| self.agent.run(request)),
        };
        // Reading the answer to its end lets the connection be used again.
        let read = sent.and_then(|mut response| {
            let body = response.body_mut().with_config().limit(MAX_ANSWER_BYTES).read_to_vec()?;
            Ok(Answer::Status { code: response.status().as_u16(), body })
        });
        read.unwrap_or_else(|error| match error {
            ureq::Error::Timeout(_) => Answer::TimedOut,
            ureq::Error::Io(_) | ureq::Error::ConnectionFailed | ureq::Error::HostNotFound => Answer::None("connect"),
            _ => Answer::None("protocol"),
        })
    }
}
