//! `google.rpc.Status` and OTLP's export responses as bytes. So small that no decoder is needed for them: each is a
//! few length-prefixed fields.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{Refusal, Signal};

const RETRY_INFO: &str = "type.googleapis.com/google.rpc.RetryInfo";

/// `google.rpc.Status` as protobuf, with `RetryInfo` where a retry can help.
pub(super) fn protobuf(refusal: &Refusal) -> Vec<u8> {
    let mut status = Vec::new();
    put_varint_field(&mut status, 1, u64::from(refusal.grpc_code()));
    put_bytes_field(&mut status, 2, refusal.message().as_bytes());
    if let Some(delay) = refusal.retry_after() {
        let mut any = Vec::new();
        put_bytes_field(&mut any, 1, RETRY_INFO.as_bytes());
        put_bytes_field(&mut any, 2, &retry_info(delay));
        put_bytes_field(&mut status, 3, &any);
    }
    status
}

/// `google.rpc.Status` as JSON.
pub(super) fn json(refusal: &Refusal) -> Vec<u8> {
    let mut status = json!({"code": refusal.grpc_code(), "message": refusal.message()});
    if let Some(delay) = refusal.retry_after() {
        let delay = format!("{}s", delay.as_secs());
        status["details"] = json!([{"@type": RETRY_INFO, "retryDelay": delay}]);
    }
    status.to_string().into_bytes()
}

/// An export response: empty if all records were taken.
pub(super) fn accepted_protobuf(rejected: u64, message: &str) -> Vec<u8> {
    let mut response = Vec::new();
    if rejected > 0 {
        let mut partial = Vec::new();
        put_varint_field(&mut partial, 1, rejected);
        put_bytes_field(&mut partial, 2, message.as_bytes());
        put_bytes_field(&mut response, 1, &partial);
    }
    response
}

/// An export response as JSON; 64-bit numbers are strings there.
pub(super) fn accepted_json(signal: Signal, rejected: u64, message: &str) -> Vec<u8> {
    if rejected == 0 {
        return b"{}".to_vec();
    }
    let counter = match signal {
        Signal::Traces => "rejectedSpans",
        Signal::Logs => "rejectedLogRecords",
        Signal::Metrics => "rejectedDataPoints",
    };
    let mut partial = Map::new();
    partial.insert(counter.to_owned(), Value::from(rejected.to_string()));
    partial.insert("errorMessage".to_owned(), Value::from(message));
    json!({ "partialSuccess": partial }).to_string().into_bytes()
}

fn retry_info(delay: Duration) -> Vec<u8> {
    let mut duration = Vec::new();
    put_varint_field(&mut duration, 1, delay.as_secs());
    put_varint_field(&mut duration, 2, u64::from(delay.subsec_nanos()));
    let mut info = Vec::new();
    put_bytes_field(&mut info, 1, &duration);
    info
}

fn put_varint_field(out: &mut Vec<u8>, field: u8, value: u64) {
    if value > 0 {
        out.push(field << 3);
        put_varint(out, value);
    }
}

fn put_bytes_field(out: &mut Vec<u8>, field: u8, bytes: &[u8]) {
    out.push(field << 3 | 2);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
    use prost::Message;

    use super::*;

    #[test]
    fn a_partial_success_reads_back_with_the_reference_decoder() {
        let bytes = accepted_protobuf(300, "too many attributes");
        let partial = ExportTraceServiceResponse::decode(&bytes[..]).unwrap().partial_success.unwrap();
        assert_eq!((partial.rejected_spans, &*partial.error_message), (300, "too many attributes"));
        assert!(accepted_protobuf(0, "").is_empty());
    }

    #[test]
    fn retry_info_is_there_exactly_where_a_retry_can_help() {
        assert!(String::from_utf8_lossy(&protobuf(&Refusal::QueueFull)).contains(RETRY_INFO));
        assert!(!String::from_utf8_lossy(&protobuf(&Refusal::Oversized { limit: 1 })).contains(RETRY_INFO));
        let status: Value = serde_json::from_slice(&json(&Refusal::EngineFull)).unwrap();
        assert_eq!(status["details"][0]["retryDelay"], "5s");
    }
}
