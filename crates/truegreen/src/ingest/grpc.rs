//! OTLP/gRPC on plain HTTP/2: a unary call is one message behind five bytes of framing, its status in the trailers.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Version, header};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use http_body_util::{BodyExt, Full};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::body::Refused;
use super::{Encoding, Form, Intake, Refusal, Reservation, Signal, Taken, http, status};

/// A flag that says compressed or not, and the message's length as a big-endian number.
const FRAMING: usize = 5;
/// What `grpc-message` must escape besides control characters and what is not ASCII.
const ESCAPED: &AsciiSet = &CONTROLS.add(b'%');

pub(super) fn path(signal: Signal) -> &'static str {
    match signal {
        Signal::Traces => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
        Signal::Logs => "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
        Signal::Metrics => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
    }
}

pub(super) fn is_grpc(headers: &HeaderMap) -> bool {
    let media_type = http::media_type(headers);
    media_type == "application/grpc" || media_type.starts_with("application/grpc+")
}

/// Answers one call of `Export`.
pub(super) async fn export(State(intake): State<Arc<Intake>>, signal: Signal, request: Request) -> Response {
    let spoken = is_grpc(request.headers()) && request.version() == Version::HTTP_2;
    match try_export(&intake, signal, request).await {
        Ok(taken) => accepted(&taken),
        Err(refused) => {
            let refusal = intake.note(refused);
            if spoken { refuse(&refusal) } else { http::refuse(&refusal, false) }
        }
    }
}

/// Reads a call and answers it without looking into it.
pub(super) async fn answer_unread(State(intake): State<Arc<Intake>>, request: Request) -> Response {
    match read(&intake, Signal::Traces, request).await {
        Ok(_) => accepted(&Taken { rejected: 0, message: String::new() }),
        Err(refused) => refuse(&intake.note(refused)),
    }
}

async fn try_export(intake: &Intake, signal: Signal, request: Request) -> Result<Taken, Refused> {
    let (encoding, bytes, reservation) = read(intake, signal, request).await?;
    intake.take(signal, Form::Protobuf, encoding, bytes, reservation).await
}

/// The one message of a call, still compressed.
async fn read(intake: &Intake, signal: Signal, request: Request) -> Result<(Encoding, Vec<u8>, Reservation), Refused> {
    let (head, body) = request.into_parts();
    let named = match readable(&head) {
        Ok(encoding) => encoding,
        Err(refusal) => {
            intake.discard(body).await;
            return Err(refusal.into());
        }
    };
    let (mut bytes, reservation) = match intake.receive(body, FRAMING).await {
        Ok(received) => received,
        Err(mut refused) => {
            let framing = refused.prefix.len().min(FRAMING);
            let compressed = refused.prefix.first() == Some(&1);
            refused.prefix.drain(..framing);
            let encoding = if compressed { named } else { Encoding::Identity };
            return Err(refused.with_senders_of_prefix(signal, &Form::Protobuf, encoding));
        }
    };
    let compressed = unframe(&mut bytes)?;
    if compressed && named == Encoding::Identity {
        return Err(Refusal::Malformed("a compressed message without grpc-encoding".to_owned()).into());
    }
    let encoding = if compressed { named } else { Encoding::Identity };
    Ok((encoding, bytes, reservation))
}

/// The encoding of compressed messages, if this is a call at all.
fn readable(head: &Parts) -> Result<Encoding, Refusal> {
    http::post_only(&head.method)?;
    let media_type = http::media_type(&head.headers);
    if !matches!(media_type.as_str(), "application/grpc" | "application/grpc+proto") || head.version != Version::HTTP_2
    {
        return Err(Refusal::ContentType("application/grpc over HTTP/2".to_owned()));
    }
    match head.headers.get("grpc-encoding") {
        Some(value) => Encoding::named(&String::from_utf8_lossy(value.as_bytes())),
        None => Ok(Encoding::Identity),
    }
}

/// Takes the framing off a body that is exactly one message; says whether it is compressed.
fn unframe(bytes: &mut Vec<u8>) -> Result<bool, Refusal> {
    let wrong = |what: &str| Err(Refusal::Malformed(what.to_owned()));
    let [flag, a, b, c, d, message @ ..] = bytes.as_slice() else {
        return wrong("shorter than gRPC's framing of five bytes");
    };
    let (flag, length) = (*flag, u32::from_be_bytes([*a, *b, *c, *d]) as usize);
    if message.len() != length {
        return wrong("the length in gRPC's framing is not that of the message");
    }
    match flag {
        0 | 1 => {
            bytes.drain(..FRAMING);
            Ok(flag == 1)
        }
        _ => wrong("unknown flag in gRPC's framing"),
    }
}

fn accepted(taken: &Taken) -> Response {
    let message = status::accepted_protobuf(taken.rejected, &taken.message);
    let mut framed = Vec::with_capacity(FRAMING + message.len());
    framed.push(0);
    framed.extend_from_slice(&u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes());
    framed.extend_from_slice(&message);
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let body = Full::new(Bytes::from(framed)).with_trailers(async { Some(Ok(trailers)) });
    let mut response = Response::new(Body::new(body));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}

/// A refusal as a response of trailers only.
pub(super) fn refuse(refusal: &Refusal) -> Response {
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert("grpc-status", HeaderValue::from(u16::from(refusal.grpc_code())));
    let message = utf8_percent_encode(&refusal.message(), ESCAPED).to_string();
    if let Ok(message) = HeaderValue::from_str(&message) {
        headers.insert("grpc-message", message);
    }
    if let Ok(details) = HeaderValue::from_str(&STANDARD_NO_PAD.encode(status::protobuf(refusal))) {
        headers.insert("grpc-status-details-bin", details);
    }
    if matches!(refusal, Refusal::ContentEncoding(_)) {
        headers.insert("grpc-accept-encoding", HeaderValue::from_static("identity,gzip,zstd"));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::unframe;

    #[test]
    fn a_frame_is_exactly_one_message() {
        let mut whole = vec![1, 0, 0, 0, 2, 7, 7];
        assert_eq!(unframe(&mut whole), Ok(true));
        assert_eq!(whole, [7, 7]);
        for wrong in
            [&[][..], &[0, 0, 0, 0], &[0, 0, 0, 0, 1], &[0, 0, 0, 0, 0, 9], &[2, 0, 0, 0, 0], &[0, 255, 255, 255, 255]]
        {
            assert_eq!(unframe(&mut wrong.to_vec()).unwrap_err().reason(), "malformed");
        }
    }
}
