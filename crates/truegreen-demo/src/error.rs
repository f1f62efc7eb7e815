//! What can go wrong when the demo is run.

use std::path::PathBuf;
use std::time::Duration;

use truegreen_connect::Address;

/// Why the demo could not go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or directory of the demo.
    #[error("cannot {action} {}: {source}", .path.display())]
    File {
        /// `read`, `write`, `create`, ...
        action: &'static str,
        /// Which one.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A JSON file that the demo wrote does not read back.
    #[error("{}, line {line}: {source}", .path.display())]
    Json {
        /// Which file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// A value could not be written as JSON.
    #[error("cannot write {what} as JSON: {source}")]
    Encode {
        /// What was to be written.
        what: &'static str,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// SQLite.
    #[error("cannot {action} in the demo's database: {source}")]
    Database {
        /// `open it`, `claim a message`, ...
        action: &'static str,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// A broker, a database or a cache that the demo was told to run on.
    #[error("cannot {action} at {part}: {why}")]
    Part {
        /// Its address, without a secret.
        part: String,
        /// `connect`, `claim a message`, ...
        action: &'static str,
        /// What it said, without a secret.
        why: String,
        /// Its own number for that.
        code: Option<String>,
        /// As written in `error.type`.
        kind: &'static str,
    },
    /// The address of a part is not one that the demo can run on.
    #[error("{which}: {why}")]
    Address {
        /// `broker`, `database` or `cache`.
        which: &'static str,
        /// What is wrong with it, and how to mend it.
        why: String,
    },
    /// The HTTP server or the relay of a service.
    #[error("{what} on 127.0.0.1: {source}")]
    Network {
        /// What was being done.
        what: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// The OpenTelemetry SDK.
    #[error("cannot send telemetry to {endpoint}: {source}")]
    Telemetry {
        /// OTLP/gRPC address.
        endpoint: String,
        /// What the SDK said.
        source: opentelemetry_otlp::ExporterBuildError,
    },
    /// `serve_role` was asked for a service that the demo does not have, or that its configuration is not for.
    #[error("there is no service `{0}` in this configuration\nhint: one of storefront, orders, payments, inventory")]
    Role(String),
    /// A service did not come up.
    #[error("the demo's service {service} did not come up (waited for {waited:?} at most)\nits output: {output}")]
    NotUp {
        /// Which one.
        service: &'static str,
        /// How long it was waited for at most; it may have ended sooner.
        waited: Duration,
        /// The end of what it wrote to standard error.
        output: String,
    },
    /// A service ended without being asked to, or had to be killed.
    #[error("the demo's service {service} ended with {status}\nits output: {output}")]
    Ended {
        /// Which one.
        service: &'static str,
        /// Its exit status.
        status: String,
        /// The end of what it wrote to standard error.
        output: String,
    },
    /// A worker of the load generator or of a service panicked.
    #[error("a worker of the demo panicked: {0}")]
    Worker(String),
    /// The rate cannot be kept.
    #[error("a rate of {0} orders per second cannot be kept\nhint: more than 0, at most {max}", max = crate::load::MAX_RATE)]
    Rate(f64),
    /// There is no repaired code for this one.
    #[error("`fixed` has nothing to fix with the fault `{0}`\nhint: use it with {names}", names = crate::Fault::names_with_a_fix())]
    NothingToFix(crate::Fault),
    /// The producer refuses a message for its size.
    #[error("a message of {bytes} bytes is over the limit of {limit}")]
    MessageTooLarge {
        /// Its size.
        bytes: usize,
        /// The producer's limit.
        limit: usize,
    },
    /// The broker did not say whether it took a message.
    #[error("no confirmation from the broker")]
    Unconfirmed,
    /// Another service of the demo answered otherwise than with success.
    #[error("{service} answered {answer}")]
    Refused {
        /// Which one.
        service: &'static str,
        /// A status, or what kept it from answering.
        answer: String,
    },
    /// Not a fault of the demo.
    #[error("there is no fault `{0}`\nhint: one of {names}", names = crate::Fault::names())]
    UnknownFault(String),
}

impl Error {
    /// As written in `error.type`.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Error::Database { source, .. } if source.sqlite_error_code() == Some(rusqlite::ErrorCode::ReadOnly) => {
                "readonly"
            }
            Error::Database { .. } => "database",
            Error::Part { kind, .. } => kind,
            Error::MessageTooLarge { .. } => "message_too_large",
            Error::Unconfirmed => "timeout",
            _ => "_OTHER",
        }
    }

    /// The database's own number for it.
    pub(crate) fn database_code(&self) -> Option<String> {
        match self {
            Error::Database { source, .. } => source.sqlite_error().map(|error| error.extended_code.to_string()),
            Error::Part { code, .. } => code.clone(),
            _ => None,
        }
    }

    pub(crate) fn not_built(which: &'static str, address: &Address) -> Error {
        let why = format!(
            "no client for {address} is built into this program\nhint: `cargo install --features full`, or a released binary"
        );
        Error::Address { which, why }
    }

    pub(crate) fn database(action: &'static str) -> impl FnOnce(rusqlite::Error) -> Error {
        move |source| Error::Database { action, source }
    }

    pub(crate) fn file(action: &'static str, path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Error {
        move |source| Error::File { action, path: path.to_owned(), source }
    }
}
