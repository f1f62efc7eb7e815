//! Why a request is not taken, and how its sender is told (SEMANTICS, Refusals): retryable only what will pass.

use std::time::Duration;

use axum::http::StatusCode;

/// Why a request is not taken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// The bytes are not what they claim to be.
    Malformed(String),
    /// Larger than `limits.body`. Never retryable: sent again it is as large, and blocks its sender for ever.
    Oversized {
        /// The bound, in bytes.
        limit: usize,
    },
    /// A content type that is not taken here.
    ContentType(String),
    /// A content encoding other than gzip and zstd.
    ContentEncoding(String),
    /// Neither POST nor OPTIONS.
    Method,
    /// No such path, or no such gRPC method.
    UnknownPath(String),
    /// The body did not arrive within `limits.body_timeout`.
    Slow,
    /// The connection broke off inside the body.
    Interrupted,
    /// `limits.queued_requests` wait for the engine.
    QueueFull,
    /// `limits.in_flight` bytes are being received or wait.
    BytesInFlight,
    /// `limits.journeys` or `limits.traces` are held.
    EngineFull,
    /// The disk of the log is full.
    DiskFull,
    /// The log cannot be written.
    LogFailed,
    /// We are about to stop.
    ShuttingDown,
}

/// Status codes of gRPC and `google.rpc.Status`.
mod code {
    pub(super) const INVALID_ARGUMENT: u8 = 3;
    pub(super) const RESOURCE_EXHAUSTED: u8 = 8;
    pub(super) const UNIMPLEMENTED: u8 = 12;
    pub(super) const UNAVAILABLE: u8 = 14;
}

impl Refusal {
    /// Label on /metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Refusal::Malformed(_) => "malformed",
            Refusal::Oversized { .. } => "oversized",
            Refusal::ContentType(_) => "content_type",
            Refusal::ContentEncoding(_) => "content_encoding",
            Refusal::Method => "method",
            Refusal::UnknownPath(_) => "unknown_path",
            Refusal::Slow => "slow_body",
            Refusal::Interrupted => "interrupted",
            Refusal::QueueFull => "queue_full",
            Refusal::BytesInFlight => "bytes_in_flight",
            Refusal::EngineFull => "engine_full",
            Refusal::DiskFull => "disk_full",
            Refusal::LogFailed => "log_failed",
            Refusal::ShuttingDown => "shutting_down",
        }
    }

    /// When to try again; `None` where that cannot help.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Refusal::QueueFull | Refusal::BytesInFlight | Refusal::Slow | Refusal::Interrupted => {
                Some(Duration::from_secs(1))
            }
            Refusal::EngineFull | Refusal::ShuttingDown => Some(Duration::from_secs(5)),
            Refusal::DiskFull | Refusal::LogFailed => Some(Duration::from_secs(30)),
            _ => None,
        }
    }

    /// Status of the HTTP answer.
    pub fn http_status(&self) -> StatusCode {
        match self {
            Refusal::Malformed(_) => StatusCode::BAD_REQUEST,
            Refusal::Oversized { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Refusal::ContentType(_) | Refusal::ContentEncoding(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Refusal::Method => StatusCode::METHOD_NOT_ALLOWED,
            Refusal::UnknownPath(_) => StatusCode::NOT_FOUND,
            Refusal::QueueFull | Refusal::BytesInFlight | Refusal::EngineFull => StatusCode::TOO_MANY_REQUESTS,
            Refusal::Slow | Refusal::Interrupted | Refusal::DiskFull | Refusal::LogFailed | Refusal::ShuttingDown => {
                StatusCode::SERVICE_UNAVAILABLE
            }
        }
    }

    /// Code of the gRPC answer, and of `google.rpc.Status`.
    pub fn grpc_code(&self) -> u8 {
        match self {
            Refusal::Malformed(_) | Refusal::Oversized { .. } => code::INVALID_ARGUMENT,
            Refusal::ContentType(_) => code::INVALID_ARGUMENT,
            Refusal::ContentEncoding(_) | Refusal::Method | Refusal::UnknownPath(_) => code::UNIMPLEMENTED,
            Refusal::QueueFull | Refusal::BytesInFlight | Refusal::EngineFull => code::RESOURCE_EXHAUSTED,
            Refusal::Slow | Refusal::Interrupted | Refusal::DiskFull | Refusal::LogFailed | Refusal::ShuttingDown => {
                code::UNAVAILABLE
            }
        }
    }

    /// What is wrong and how to mend it, in one line.
    pub fn message(&self) -> String {
        match self {
            Refusal::Malformed(what) => format!("malformed body: {what}"),
            Refusal::Oversized { limit } => format!(
                "body larger than {}; hint: send smaller batches, or raise limits.body",
                crate::quantity::show_bytes(*limit)
            ),
            Refusal::ContentType(wanted) => format!("content type not taken here; hint: send {wanted}"),
            Refusal::ContentEncoding(got) => {
                format!("content encoding {got:?} not taken; hint: send gzip, zstd or identity")
            }
            Refusal::Method => "only POST is taken here".to_owned(),
            Refusal::UnknownPath(path) => format!(
                "nothing is taken at {path}; hint: /v1/traces, /v1/logs, /v1/metrics, /v1/events, or OTLP's three \
                 gRPC services"
            ),
            Refusal::Slow => "the body did not arrive in time; hint: limits.body_timeout".to_owned(),
            Refusal::Interrupted => "the connection broke off inside the body".to_owned(),
            Refusal::QueueFull => "too many requests wait; try again".to_owned(),
            Refusal::BytesInFlight => "too many bytes in flight; try again".to_owned(),
            Refusal::EngineFull => "memory for journeys is full; hint: raise limits.journeys".to_owned(),
            Refusal::DiskFull => "the disk of the log is full; try again".to_owned(),
            Refusal::LogFailed => "the log cannot be written; try again".to_owned(),
            Refusal::ShuttingDown => "shutting down; try again".to_owned(),
        }
    }
}
