//! The connection, and a question to JetStream.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Mutex as StdMutex, PoisonError};

use async_nats::client::RequestErrorKind;
use async_nats::connection::State;
use async_nats::{Client, ConnectErrorKind, ConnectOptions, Event, Request, ServerAddr};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::MAX_STREAMS;
use super::told::{Got, Refusal, Stored, StreamInfo, StreamPage};
use crate::probe::within;
use crate::{Error, SystemConfig, socket};

/// Bytes of one answer that are read; a server sends at most its own largest payload.
const MAX_ANSWER_BYTES: usize = 64 << 20;
const PORT: u16 = 4222;
/// What the server complained of lately.
const MAX_COMPLAINTS: usize = 16;

type Complaints = Arc<StdMutex<VecDeque<String>>>;

/// One connection, made anew where it was lost.
pub(super) struct Link {
    pub(super) config: Arc<SystemConfig>,
    servers: Vec<ServerAddr>,
    client: Mutex<Option<Client>>,
    complaints: Complaints,
}

/// All streams, within the bound.
#[derive(Default)]
pub(super) struct Listed {
    pub(super) streams: Vec<StreamInfo>,
    /// Those that did not answer.
    pub(super) without_answer: Vec<String>,
    /// How many were left out.
    pub(super) left: usize,
}

impl Link {
    pub(super) fn new(config: Arc<SystemConfig>) -> Result<Link, Error> {
        let servers = config
            .address
            .hosts(PORT)
            .iter()
            .map(|host| host.parse::<ServerAddr>())
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| Error::NotAsked(format!("its address names no host of NATS: {error}")))?;
        Ok(Link { config, servers, client: Mutex::default(), complaints: Complaints::default() })
    }

    /// The connection, made now where there is none.
    pub(super) async fn client(&self) -> Result<Client, Error> {
        let mut kept = self.client.lock().await;
        if let Some(client) = kept.as_ref().filter(|client| client.connection_state() == State::Connected) {
            return Ok(client.clone());
        }
        // One that lost its connection tries again behind our back and tells nobody why that fails.
        *kept = None;
        let limit = self.config.timeout;
        let options = self.options().await?;
        let connected = async {
            options.connect(self.servers.clone()).await.map_err(|error| self.refused(error.kind(), &chain(&error)))
        };
        let client = match within(limit, "a connection", connected).await {
            Err(Error::TimedOut { limit, .. }) if self.takes_connections().await => {
                Err(Error::TimedOut { what: "its greeting", limit })
            }
            connected => connected,
        }?;
        *kept = Some(client.clone());
        Ok(client)
    }

    async fn takes_connections(&self) -> bool {
        let hosts = self.config.address.hosts(PORT);
        tokio::task::spawn_blocking(move || socket::takes_connections(&hosts)).await.unwrap_or(false)
    }

    async fn options(&self) -> Result<ConnectOptions, Error> {
        let complaints = Arc::clone(&self.complaints);
        let mut options = ConnectOptions::new()
            .name("truegreen")
            .connection_timeout(self.config.timeout)
            .request_timeout(Some(self.config.timeout))
            .event_callback(move |event| {
                if let Event::ServerError(error) = event {
                    let mut told = complaints.lock().unwrap_or_else(PoisonError::into_inner);
                    if told.len() == MAX_COMPLAINTS {
                        told.pop_front();
                    }
                    told.push_back(error.to_string());
                }
                std::future::ready(())
            });
        let url = self.config.address.secret_url();
        let decoded = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
        options = match (url.username(), url.password()) {
            ("", _) => options,
            (token, None) => options.token(decoded(token)),
            (user, Some(password)) => options.user_and_password(decoded(user), decoded(password)),
        };
        for (name, value) in url.query_pairs() {
            options = match name.as_ref() {
                "nkey" => options.nkey(value.into_owned()),
                "creds" => options
                    .credentials_file(PathBuf::from(value.as_ref()))
                    .await
                    .map_err(|error| Error::NotAsked(format!("cannot read the credentials file {value}: {error}")))?,
                "tls" => options.require_tls(value == "true"),
                "ca" => options.add_root_certificates(PathBuf::from(value.as_ref())),
                other => {
                    return Err(Error::NotAsked(format!(
                        "its address has an unknown `{other}`\nhint: nkey, creds, tls and ca are known"
                    )));
                }
            };
        }
        Ok(options)
    }

    fn refused(&self, kind: ConnectErrorKind, text: &str) -> Error {
        let text = self.config.address.without_secrets(text);
        match kind {
            ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication => Error::Denied(text),
            ConnectErrorKind::TimedOut => Error::TimedOut { what: "a connection", limit: self.config.timeout },
            // What speaks another protocol does not begin with what a server of NATS begins with.
            ConnectErrorKind::Io if speaks_otherwise(&text) => {
                Error::Nonsense(format!("{text}\nhint: is this the port of NATS?"))
            }
            _ => Error::Unreachable(text),
        }
    }

    /// What was complained of that mentions this subject.
    fn complaint(&self, subject: &str) -> Option<String> {
        let told = self.complaints.lock().unwrap_or_else(PoisonError::into_inner);
        told.iter().rev().find(|told| told.contains(subject)).cloned()
    }

    /// Sends a request with headers, and waits for the bytes of its answer.
    pub(super) async fn request(&self, subject: &str, request: Request, what: &'static str) -> Result<Vec<u8>, Error> {
        let limit = self.config.timeout;
        let client = self.client().await?;
        let answer = client.send_request(subject.to_owned(), request.timeout(Some(limit))).await;
        let message = answer.map_err(|error| match error.kind() {
            RequestErrorKind::NoResponders => Error::Answered(format!("nobody answers to {subject}")),
            RequestErrorKind::TimedOut => match self.complaint(subject) {
                Some(complaint) => Error::Denied(complaint),
                None => Error::TimedOut { what, limit },
            },
            RequestErrorKind::InvalidSubject => Error::NotAsked(format!("`{subject}` is no subject")),
            RequestErrorKind::MaxPayloadExceeded => Error::Answered(chain(&error)),
            RequestErrorKind::Other => Error::Unreachable(chain(&error)),
        })?;
        if message.payload.len() > MAX_ANSWER_BYTES {
            return Err(Error::Nonsense(format!("{} bytes in one answer", message.payload.len())));
        }
        Ok(message.payload.to_vec())
    }

    /// Asks JetStream; none where it answers that there is no such thing.
    pub(super) async fn ask<T: DeserializeOwned>(
        &self,
        question: &str,
        body: &Value,
        what: &'static str,
    ) -> Result<Option<T>, Error> {
        let request = Request::new().payload(body.to_string().into());
        let answer = match self.request(&format!("$JS.API.{question}"), request, what).await {
            Err(Error::Answered(text)) if question == "INFO" => {
                return Err(Error::Answered(format!(
                    "{text}: JetStream is not enabled\nhint: start nats-server with -js, and enable it for this account"
                )));
            }
            answer => answer?,
        };
        answered(&answer)
    }

    /// One stream.
    pub(super) async fn stream(&self, name: &str) -> Result<Option<StreamInfo>, Error> {
        if !is_name(name) {
            return Err(Error::NotAsked(format!("`{name}` is no name of a stream")));
        }
        self.ask(&format!("STREAM.INFO.{name}"), &json!({}), "about a stream").await
    }

    /// All streams, within the bound.
    pub(super) async fn streams(&self) -> Result<Listed, Error> {
        let mut listed = Listed::default();
        loop {
            let offset = listed.streams.len() + listed.without_answer.len();
            let page: StreamPage =
                self.ask("STREAM.LIST", &json!({ "offset": offset }), "for its streams").await?.unwrap_or_default();
            let (streams, missing) = (page.streams.unwrap_or_default(), page.missing.unwrap_or_default());
            let is_last = streams.is_empty();
            listed.streams.extend(streams);
            listed.without_answer.extend(missing);
            // One that is without a leader is told of on every page.
            listed.without_answer.sort();
            listed.without_answer.dedup();
            let seen = listed.streams.len() + listed.without_answer.len();
            if is_last || seen >= page.total || seen >= MAX_STREAMS {
                listed.left = page.total.saturating_sub(seen.min(MAX_STREAMS));
                listed.streams.truncate(MAX_STREAMS);
                listed.without_answer.truncate(MAX_STREAMS);
                return Ok(listed);
            }
        }
    }

    /// The message at this sequence, or the next behind it that matches the subject; none where there is none.
    pub(super) async fn message(&self, stream: &str, seq: u64, next: Option<&str>) -> Result<Option<Stored>, Error> {
        let body = match next {
            Some(subject) => json!({ "seq": seq, "next_by_subj": subject }),
            None => json!({ "seq": seq }),
        };
        let got: Option<Got> = self.ask(&format!("STREAM.MSG.GET.{stream}"), &body, "for a message").await?;
        Ok(got.map(|got| got.message))
    }
}

/// Reads an answer of JetStream, whose refusals are answers too.
pub(super) fn answered<T: DeserializeOwned>(bytes: &[u8]) -> Result<Option<T>, Error> {
    #[derive(Deserialize)]
    struct Said {
        error: Option<Refusal>,
    }
    let nonsense = |error: serde_json::Error| Error::Nonsense(error.to_string());
    let said: Said = serde_json::from_slice(bytes).map_err(nonsense)?;
    match said.error {
        Some(refusal) if refusal.code == 404 => Ok(None),
        Some(refusal) if refusal.code == 403 => Err(Error::Denied(refusal.description)),
        Some(refusal) => Err(Error::Answered(format!("{} (error {})", refusal.description, refusal.err_code))),
        None => serde_json::from_slice(bytes).map(Some).map_err(nonsense),
    }
}

/// Whether it can stand in a subject as one token: anything else would ask something else.
pub(super) fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(['.', '*', '>', ' ', '\t', '\r', '\n', '/', '\\'])
}

fn speaks_otherwise(text: &str) -> bool {
    ["protocol", "invalid", "expected INFO", "unexpected", "parse"].iter().any(|word| text.contains(word))
}

/// An error with what caused it.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::told::Account;
    use super::*;

    #[test]
    fn refusals_are_told_from_answers_and_nonsense_from_both() {
        let account: Option<Account> = answered(br#"{"type":"x","memory":5}"#).unwrap();
        assert_eq!(account.unwrap().memory, 5);
        let none: Option<Account> = answered(br#"{"error":{"code":404,"description":"no message found"}}"#).unwrap();
        assert!(none.is_none());
        let refused = answered::<Account>(br#"{"error":{"code":503,"err_code":10076,"description":"not enabled"}}"#);
        assert_eq!(refused.unwrap_err(), Error::Answered("not enabled (error 10076)".into()));
        assert!(matches!(answered::<Account>(b"HTTP/1.1 200"), Err(Error::Nonsense(_))));
    }

    #[test]
    fn a_name_that_would_ask_something_else_is_none() {
        for (name, is) in [("ORDERS", true), ("a-b_c", true), ("", false), ("A.B", false), (">", false), ("a b", false)]
        {
            assert_eq!(is_name(name), is, "{name}");
        }
    }
}
