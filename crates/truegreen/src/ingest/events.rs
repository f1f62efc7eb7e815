//! CloudEvents over HTTP at `/v1/events`, in all three modes: structured, batched, binary. They become OTLP log
//! records, so that everything behind the intake reads one encoding.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use truegreen_otlp::cloud_events;

use super::body::Refused;
use super::{Form, Intake, Refusal, Signal, Taken, http};

/// How an event is written into a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Mode {
    /// The body is one event.
    Structured,
    /// The body is a list of events.
    Batched,
    /// The body is the event's data; the rest stands in these headers (`content-type` and those that begin with `ce-`).
    Binary(Vec<(String, String)>),
}

impl Mode {
    pub(super) fn to_protobuf(&self, body: &[u8]) -> Result<Vec<u8>, Refusal> {
        let events = match self {
            Mode::Structured => cloud_events::structured(body),
            Mode::Batched => cloud_events::batched(body),
            Mode::Binary(headers) => {
                cloud_events::binary(headers.iter().map(|(name, value)| (name.as_str(), value.as_str())), body)
            }
        };
        events.map_err(|error| Refusal::Malformed(error.to_string()))
    }
}

/// Answers one request with events.
pub(super) async fn take(State(intake): State<Arc<Intake>>, request: Request) -> Response {
    match try_take(&intake, request).await {
        Ok(taken) if taken.rejected == 0 => http::answer(StatusCode::NO_CONTENT, "application/json", Vec::new()),
        Ok(taken) => http::partly(&taken),
        Err(refused) => http::refuse(&intake.note(refused), false),
    }
}

async fn try_take(intake: &Intake, request: Request) -> Result<Taken, Refused> {
    let (head, body) = request.into_parts();
    let readable = http::post_only(&head.method)
        .and_then(|()| Ok((mode_of(&head.headers)?, http::content_encoding(&head.headers)?)));
    let (mode, encoding) = match readable {
        Ok(readable) => readable,
        Err(refusal) => {
            intake.discard(body).await;
            return Err(refusal.into());
        }
    };
    let (bytes, reservation) = intake.receive(body, 0).await?;
    intake.take(Signal::Logs, Form::Events(mode), encoding, bytes, reservation).await
}

fn mode_of(headers: &HeaderMap) -> Result<Mode, Refusal> {
    let media_type = http::media_type(headers);
    match media_type.as_str() {
        "application/cloudevents+json" => return Ok(Mode::Structured),
        "application/cloudevents-batch+json" => return Ok(Mode::Batched),
        _ => {}
    }
    if !headers.contains_key("ce-specversion") {
        let wanted = "application/cloudevents+json, application/cloudevents-batch+json, or ce- headers";
        return Err(Refusal::ContentType(wanted.to_owned()));
    }
    let mut event = Vec::new();
    for (name, value) in headers {
        let name = name.as_str();
        if name == "content-type" || name.starts_with("ce-") {
            let text = std::str::from_utf8(value.as_bytes());
            let text = text.map_err(|_| Refusal::Malformed(format!("header {name} is not UTF-8")))?;
            event.push((name.to_owned(), text.to_owned()));
        }
    }
    Ok(Mode::Binary(event))
}
