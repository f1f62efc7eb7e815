//! OTLP/HTTP: `/v1/traces`, `/v1/logs`, `/v1/metrics`, as protobuf or JSON. The answer has the request's format.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::Response;

use super::body::Refused;
use super::{Encoding, Form, Intake, Refusal, Signal, Taken, grpc, status};

const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";

pub(super) fn path(signal: Signal) -> &'static str {
    match signal {
        Signal::Traces => "/v1/traces",
        Signal::Logs => "/v1/logs",
        Signal::Metrics => "/v1/metrics",
    }
}

/// Answers one export request.
pub(super) async fn export(State(intake): State<Arc<Intake>>, signal: Signal, request: Request) -> Response {
    let form = form_of(request.headers());
    match try_export(&intake, signal, form.clone(), request).await {
        Ok(taken) => accepted(signal, form.unwrap_or(Form::Protobuf), &taken),
        Err(refused) => refuse(&intake.note(refused), form.is_ok_and(|form| form == Form::Protobuf)),
    }
}

async fn try_export(
    intake: &Intake,
    signal: Signal,
    form: Result<Form, Refusal>,
    request: Request,
) -> Result<Taken, Refused> {
    let (head, body) = request.into_parts();
    let readable = post_only(&head.method).and_then(|()| Ok((form?, content_encoding(&head.headers)?)));
    let (form, encoding) = match readable {
        Ok(readable) => readable,
        Err(refusal) => {
            intake.discard(body).await;
            return Err(refusal.into());
        }
    };
    match intake.receive(body, 0).await {
        Ok((bytes, reservation)) => intake.take(signal, form, encoding, bytes, reservation).await,
        Err(refused) => Err(refused.with_senders_of_prefix(signal, &form, encoding)),
    }
}

/// Answers whatever is asked for at no known path.
pub(super) async fn unknown_path(State(intake): State<Arc<Intake>>, request: Request) -> Response {
    let path = request.uri().path().chars().take(200).collect();
    let over_grpc = grpc::is_grpc(request.headers());
    intake.discard(request.into_body()).await;
    let refusal = intake.note(Refusal::UnknownPath(path).into());
    if over_grpc { grpc::refuse(&refusal) } else { refuse(&refusal, false) }
}

pub(super) fn post_only(method: &Method) -> Result<(), Refusal> {
    if method == Method::POST { Ok(()) } else { Err(Refusal::Method) }
}

pub(super) fn content_encoding(headers: &HeaderMap) -> Result<Encoding, Refusal> {
    match headers.get(header::CONTENT_ENCODING) {
        Some(value) => Encoding::named(&String::from_utf8_lossy(value.as_bytes())),
        None => Ok(Encoding::Identity),
    }
}

/// The content type without its parameters, in lower case.
pub(super) fn media_type(headers: &HeaderMap) -> String {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

fn form_of(headers: &HeaderMap) -> Result<Form, Refusal> {
    match media_type(headers).as_str() {
        PROTOBUF => Ok(Form::Protobuf),
        JSON => Ok(Form::Json),
        _ => Err(Refusal::ContentType(format!("{PROTOBUF} or {JSON}"))),
    }
}

fn accepted(signal: Signal, form: Form, taken: &Taken) -> Response {
    let (media_type, bytes) = match form {
        Form::Protobuf => (PROTOBUF, status::accepted_protobuf(taken.rejected, &taken.message)),
        _ => (JSON, status::accepted_json(signal, taken.rejected, &taken.message)),
    };
    answer(StatusCode::OK, media_type, bytes)
}

/// An answer to events of which some were refused.
pub(super) fn partly(taken: &Taken) -> Response {
    answer(StatusCode::OK, JSON, status::accepted_json(Signal::Logs, taken.rejected, &taken.message))
}

/// A refusal as `google.rpc.Status`.
pub(super) fn refuse(refusal: &Refusal, protobuf: bool) -> Response {
    let (media_type, bytes) =
        if protobuf { (PROTOBUF, status::protobuf(refusal)) } else { (JSON, status::json(refusal)) };
    let mut response = answer(refusal.http_status(), media_type, bytes);
    let headers = response.headers_mut();
    if let Some(delay) = refusal.retry_after() {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(delay.as_secs()));
    }
    match refusal {
        Refusal::Method => drop(headers.insert(header::ALLOW, HeaderValue::from_static("POST"))),
        Refusal::ContentEncoding(_) => {
            drop(headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip, zstd")));
        }
        _ => {}
    }
    response
}

pub(super) fn answer(status: StatusCode, media_type: &'static str, bytes: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(bytes));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}
