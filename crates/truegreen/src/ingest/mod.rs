//! Telemetry in: OTLP over gRPC and HTTP, and CloudEvents. One path for all of them: [`receive`](Intake) the body
//! within bounds, bring it to plain protobuf, check it, hand it to [`durable`], answer. What cannot be taken is
//! refused, counted, and opens a coverage gap for its sender; nothing is dropped silently (INV-DROP-1).

mod body;
mod decompress;
mod events;
mod grpc;
mod http;
mod status;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::any;
use http_body_util::BodyExt;
use hyper::body::Body as _;

use crate::config::Limits;
use crate::durable;
use crate::metrics::Metrics;
use crate::request::ByteBudget;
pub use crate::request::{Refusal, Reservation, Sender};
pub use body::{Form, Refused};
pub use decompress::Encoding;
pub use events::Mode;
pub use truegreen_otlp::Signal;

/// What was taken of a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Taken {
    /// Records refused one by one.
    rejected: u64,
    /// Why; empty if there are none.
    message: String,
}

/// Larger bodies are decompressed and checked on a thread that may block, so that connections are not held up.
const INLINE_BYTES: usize = 256 << 10;
/// Compressed bodies may grow a lot.
const INLINE_COMPRESSED_BYTES: usize = 32 << 10;
/// What is kept of an oversized body, to read its sender from.
const PREFIX_BYTES: usize = 64 << 10;
/// Room that is made for a body by its announced length.
const BELIEVED_BYTES: usize = 1 << 20;
/// What bodies that are arriving when we stop get for it: less than their connections, so that all are answered.
const LAST_BODIES: Duration = Duration::from_secs(3);
/// A refused body is read to its end, up to this many times the bound, so that its sender reads our answer rather than
/// a broken connection, which it would take for a reason to retry.
const DISCARD_FACTOR: usize = 8;

/// All that the intake's handlers share.
pub struct Intake {
    limits: Limits,
    budget: ByteBudget,
    metrics: Arc<Metrics>,
    log: durable::Handle,
}

impl Intake {
    /// An intake that feeds this log.
    pub fn new(limits: Limits, metrics: Arc<Metrics>, log: durable::Handle) -> Intake {
        let budget = ByteBudget::new(limits.in_flight_bytes);
        Intake { limits, budget, metrics, log }
    }

    /// Bytes of bodies in flight.
    pub fn bytes_in_flight(&self) -> usize {
        self.limits.in_flight_bytes.saturating_sub(self.budget.free())
    }

    /// Everything that is taken, on whichever port.
    pub fn router(self: Arc<Intake>) -> Router {
        let mut router = Router::new();
        for signal in Signal::ALL {
            let over_http = move |intake, request| http::export(intake, signal, request);
            let over_grpc = move |intake, request| grpc::export(intake, signal, request);
            router = router.route(http::path(signal), any(over_http)).route(grpc::path(signal), any(over_grpc));
        }
        router.route("/v1/events", any(events::take)).fallback(http::unknown_path).with_state(self)
    }

    /// Reads calls as [`router`](Intake::router) does and answers them at once, with nothing behind: what receiving
    /// alone can reach. For benchmarks.
    #[doc(hidden)]
    pub fn router_to_nowhere(self: Arc<Intake>) -> Router {
        let unread = any(grpc::answer_unread);
        Router::new().route(grpc::path(Signal::Traces), unread).fallback(http::unknown_path).with_state(self)
    }

    /// Reads a body of at most `limits.body` and `framing` bytes.
    async fn receive(&self, body: Body, framing: usize) -> Result<(Vec<u8>, Reservation), Refused> {
        let limit = self.limits.body_bytes.saturating_add(framing);
        let mut received =
            Receiving { body, bytes: Vec::new(), reservation: self.budget.reserve(), limit, refused: None };
        if self.log.is_stopping() {
            received.refused = Some(Refusal::ShuttingDown);
        }
        let last_call = async {
            self.log.stopping().await;
            tokio::time::sleep(LAST_BODIES).await;
        };
        let done = tokio::select! {
            done = tokio::time::timeout(self.limits.body_timeout, received.all()) => done,
            () = last_call => Ok(Err(Refusal::ShuttingDown)),
        };
        match (received.refused, done) {
            // Also if it is slow: what is oversized, and asked for again, would be asked for for ever.
            (Some(Refusal::Oversized { .. }), _) => {
                let refusal = Refusal::Oversized { limit: self.limits.body_bytes };
                Err(Refused { refusal, senders: Vec::new(), prefix: received.bytes })
            }
            (Some(refusal), _) => Err(Refused { refusal, senders: Vec::new(), prefix: received.bytes }),
            (None, Ok(Ok(()))) => Ok((received.bytes, received.reservation)),
            (None, Ok(Err(refusal))) => Err(refusal.into()),
            (None, Err(_)) => Err(Refusal::Slow.into()),
        }
    }

    /// Reads a body that is refused whatever it holds, within bounds. A sender whose connection breaks while it still
    /// writes never reads why it was refused.
    async fn discard(&self, body: Body) {
        let limit = self.limits.body_bytes;
        let mut received =
            Receiving { body, bytes: Vec::new(), reservation: self.budget.reserve(), limit, refused: None };
        // Whether it ended or took too long, the answer is the same.
        drop(tokio::time::timeout(self.limits.body_timeout, received.discard(0)).await);
    }

    /// Brings a received body to plain protobuf, checks it and hands it to the log.
    async fn take(
        &self,
        signal: Signal,
        form: Form,
        encoding: Encoding,
        bytes: Vec<u8>,
        reservation: Reservation,
    ) -> Result<Taken, Refused> {
        let inline = if encoding == Encoding::Identity { INLINE_BYTES } else { INLINE_COMPRESSED_BYTES };
        let limit = self.limits.body_bytes;
        let small = bytes.len() <= inline;
        let prepare = move || body::prepare(signal, form, encoding, bytes, limit, reservation);
        let prepared = if small {
            prepare()
        } else {
            let stopped = |_| Refused::from(Refusal::ShuttingDown);
            tokio::task::spawn_blocking(prepare).await.map_err(stopped)?
        }?;
        let body::Prepared { body, reservation, tally } = prepared;
        let offered = self.log.offer(signal, body, reservation).await;
        offered.map_err(|not_taken| body::refused(not_taken.refusal, signal, &not_taken.body))?;
        self.metrics.accepted_requests.of(signal).add(1);
        self.metrics.accepted_records.of(signal).add(tally.accepted);
        if tally.ignored_links > 0 {
            self.metrics.refused_records.add("link_without_ids", tally.ignored_links);
        }
        if tally.rejected > 0 {
            for (reason, n) in &tally.reasons {
                self.metrics.refused_records.add(reason, *n);
            }
            self.log.refused(tally.senders);
        }
        Ok(Taken { rejected: tally.rejected, message: tally.message })
    }

    /// Counts a refusal and opens the gaps it leaves.
    fn note(&self, refused: Refused) -> Refusal {
        let Refused { refusal, senders, prefix: _ } = refused;
        self.metrics.refused_requests.add(refusal.reason(), 1);
        if senders.is_empty() {
            self.metrics.refused_without_sender.add(1);
        } else {
            self.log.refused(senders);
        }
        tracing::debug!(reason = refusal.reason(), "refused: {}", refusal.message());
        refusal
    }
}

/// A body that is arriving.
struct Receiving {
    body: Body,
    bytes: Vec<u8>,
    reservation: Reservation,
    limit: usize,
    /// Why it is not wanted any more, though it is read on.
    refused: Option<Refusal>,
}

impl Receiving {
    async fn all(&mut self) -> Result<(), Refusal> {
        if self.body.size_hint().lower() > self.limit as u64 {
            self.refused = Some(Refusal::Oversized { limit: self.limit });
        }
        // What a sender announces costs it nothing: only so much is believed before it is there.
        let announced = usize::try_from(self.body.size_hint().lower()).unwrap_or(usize::MAX);
        self.bytes.reserve_exact(announced.min(BELIEVED_BYTES));
        while self.refused.is_none() {
            let Some(frame) = self.body.frame().await else {
                // The reservation counts bytes, not what a growing buffer takes ahead.
                self.bytes.shrink_to_fit();
                return Ok(());
            };
            let Ok(data) = frame.map_err(|_| Refusal::Interrupted)?.into_data() else { continue };
            if self.bytes.len() + data.len() > self.limit {
                self.refused = Some(Refusal::Oversized { limit: self.limit });
            } else if let Err(refusal) = self.reservation.grow(data.len()) {
                self.refused = Some(refusal);
            } else {
                self.bytes.extend_from_slice(&data);
            }
        }
        self.discard(self.bytes.len()).await;
        Ok(())
    }

    /// Reads on without keeping more than the beginning.
    async fn discard(&mut self, mut seen: usize) {
        self.bytes.truncate(PREFIX_BYTES);
        self.bytes.shrink_to_fit();
        self.reservation.shrink_to(self.bytes.len());
        while let Some(Ok(frame)) = self.body.frame().await {
            let Ok(data) = frame.into_data() else { continue };
            seen = seen.saturating_add(data.len());
            let wanted = data.len().min(PREFIX_BYTES.saturating_sub(self.bytes.len()));
            if wanted > 0 && self.reservation.grow(wanted).is_ok() {
                self.bytes.extend_from_slice(&data[..wanted]);
            }
            if seen > self.limit.saturating_mul(DISCARD_FACTOR) {
                break;
            }
        }
    }
}
