//! A received body on its way to the engine: decompressed, turned into OTLP protobuf, checked. Pure but for memory.

use std::collections::BTreeMap;

use truegreen_otlp::{Limits, Signal, check, senders};

use super::decompress::{self, Encoding};
use crate::request::{Refusal, Reservation, Sender};

/// What a body is written in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Form {
    /// OTLP as protobuf.
    Protobuf,
    /// OTLP as JSON.
    Json,
    /// CloudEvents.
    Events(super::events::Mode),
}

/// A refusal, and whom it leaves a gap for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refused {
    /// Why.
    pub refusal: Refusal,
    /// Who sent it, as far as could be read.
    pub senders: Vec<Sender>,
    /// The beginning of a body that was not read to its end.
    pub prefix: Vec<u8>,
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Refused {
        Refused { refusal, senders: Vec::new(), prefix: Vec::new() }
    }
}

/// What a prefix may grow to when it is decompressed to look for its sender.
const PREFIX_PLAIN_BYTES: usize = 1 << 20;

impl Refused {
    /// Looks for the sender in what was read of the body.
    pub(super) fn with_senders_of_prefix(mut self, signal: Signal, form: &Form, encoding: Encoding) -> Refused {
        let prefix = std::mem::take(&mut self.prefix);
        if !self.senders.is_empty() || prefix.is_empty() {
            return self;
        }
        let plain = match encoding {
            Encoding::Identity => prefix,
            packed => decompress::prefix(packed, &prefix, PREFIX_PLAIN_BYTES),
        };
        self.senders = match form {
            Form::Protobuf => senders_of(signal, &plain),
            Form::Json => senders_of(signal, &truegreen_otlp::json::salvage(signal, &plain)),
            Form::Events(_) => Vec::new(),
        };
        self
    }
}

/// A refusal of a body that was read whole.
pub(super) fn refused(refusal: Refusal, signal: Signal, body: &[u8]) -> Refused {
    Refused { refusal, senders: senders_of(signal, body), prefix: Vec::new() }
}

/// Ready for the engine.
pub(super) struct Prepared {
    pub(super) body: Vec<u8>,
    pub(super) reservation: Reservation,
    pub(super) tally: Tally,
}

/// The records of one request, taken and refused.
#[derive(Default)]
pub(super) struct Tally {
    pub(super) accepted: u64,
    pub(super) rejected: u64,
    pub(super) reasons: BTreeMap<&'static str, u64>,
    /// Links whose ids are no ids; their spans were taken.
    pub(super) ignored_links: u64,
    pub(super) message: String,
    /// Whom the rejected records leave a gap for.
    pub(super) senders: Vec<Sender>,
}

/// Brings a body to checked protobuf. May take milliseconds for large ones.
pub(super) fn prepare(
    signal: Signal,
    form: Form,
    encoding: Encoding,
    received: Vec<u8>,
    limit: usize,
    mut reservation: Reservation,
) -> Result<Prepared, Refused> {
    let plain = match encoding {
        Encoding::Identity => received,
        packed => {
            let plain = decompress::decompress(packed, &received, limit, &mut reservation);
            plain.map_err(|(refusal, prefix)| {
                Refused { refusal, senders: Vec::new(), prefix }.with_senders_of_prefix(
                    signal,
                    &form,
                    Encoding::Identity,
                )
            })?
        }
    };
    let body = to_protobuf(signal, &form, plain, &mut reservation)?;
    let malformed = |error: truegreen_otlp::Error| Refused {
        refusal: Refusal::Malformed(error.to_string()),
        senders: senders_of(signal, &body),
        prefix: Vec::new(),
    };
    let counted = check(signal, &body, &Limits::default()).map_err(malformed)?;
    let mut tally = Tally { accepted: counted.accepted, rejected: counted.refused_total(), ..Tally::default() };
    tally.ignored_links = counted.ignored_links;
    if tally.rejected > 0 {
        tally.reasons = counted.refusals().map(|(reason, n)| (reason.name(), n)).collect();
        let reasons = tally.reasons.iter().map(|(reason, n)| format!("{n} {reason}"));
        tally.message = format!("records refused: {}", reasons.collect::<Vec<_>>().join(", "));
        tally.senders = senders_of(signal, &body);
    }
    Ok(Prepared { body, reservation, tally })
}

fn to_protobuf(signal: Signal, form: &Form, plain: Vec<u8>, reservation: &mut Reservation) -> Result<Vec<u8>, Refused> {
    let body = match form {
        Form::Protobuf => return Ok(plain),
        Form::Json => {
            let transcoded = truegreen_otlp::json::to_protobuf(signal, &plain);
            transcoded.map_err(|error| Refused {
                refusal: Refusal::Malformed(error.to_string()),
                senders: senders_of(signal, &truegreen_otlp::json::salvage(signal, &plain)),
                prefix: Vec::new(),
            })?
        }
        Form::Events(mode) => mode.to_protobuf(&plain)?,
    };
    reservation.grow(body.len())?;
    Ok(body)
}

fn senders_of(signal: Signal, body: &[u8]) -> Vec<Sender> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let found = senders(signal, body).into_iter();
    found.map(|sender| Sender { service: text(sender.service), instance: sender.instance.map(text) }).collect()
}
