//! The scans against generated decoders, over requests of every shape; the bounds one by one; JSON there and back.

mod bounds;
mod cloud_events;
mod dice;
mod json;
mod plain;
mod reference;
mod scramble;
mod senders;
mod shapes;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use proptest::prelude::*;
use prost::Message;

use crate::{Limits, Signal, schema};
use dice::Dice;
use plain::Scanned;

/// A request of this signal, encoded.
fn request(signal: Signal, dice: &mut Dice) -> Vec<u8> {
    match signal {
        Signal::Traces => shapes::traces(dice).encode_to_vec(),
        Signal::Logs => shapes::logs(dice).encode_to_vec(),
        Signal::Metrics => shapes::metrics(dice).encode_to_vec(),
    }
}

fn message(signal: Signal) -> &'static schema::Message {
    match signal {
        Signal::Traces => &schema::TRACES,
        Signal::Logs => &schema::LOGS,
        Signal::Metrics => &schema::METRICS,
    }
}

/// What a generated decoder makes of these bytes.
fn decoded(signal: Signal, body: &[u8], limits: &Limits) -> Result<Scanned, prost::DecodeError> {
    Ok(match signal {
        Signal::Traces => reference::traces(&ExportTraceServiceRequest::decode(body)?, limits),
        Signal::Logs => reference::logs(&ExportLogsServiceRequest::decode(body)?, limits),
        Signal::Metrics => reference::metrics(&ExportMetricsServiceRequest::decode(body)?, limits),
    })
}

/// Guarantee: whatever the bytes, scan and generated decoder agree on whether they are malformed, and on the content if
/// they are not. Only the scan takes texts that are not UTF-8.
fn agree(signal: Signal, body: &[u8]) {
    let limits = Limits::default();
    let scanned = plain::scan(signal, body, &limits);
    match decoded(signal, body, &limits) {
        Ok(expected) => assert_eq!(scanned.as_ref(), Ok(&expected)),
        Err(error) if error.to_string().contains("UTF-8") => {}
        Err(error) => assert!(scanned.is_err(), "taken, though: {error}"),
    }
    // The receiver's check and a later scan of the same bytes cannot differ.
    assert_eq!(crate::check(signal, body, &limits), scanned.map(|scanned| scanned.tally));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Scenario: requests as SDKs encode them.
    #[test]
    fn plain_requests_agree(seed: u64) {
        for signal in Signal::ALL {
            agree(signal, &request(signal, &mut Dice::new(seed)));
        }
    }

    /// Scenario: legal requests as no SDK encodes them: unknown fields and groups, fields in any order and more than once,
    /// messages split, numbers unpacked, integers longer than need be.
    #[test]
    fn scrambled_requests_agree(seed: u64) {
        for signal in Signal::ALL {
            let mut dice = Dice::new(seed);
            let plain = request(signal, &mut dice);
            let body = scramble::message(message(signal), &plain, &mut dice);
            prop_assert!(decoded(signal, &body, &Limits::default()).is_ok());
            agree(signal, &body);
        }
    }

    /// Scenario: the body lost its end, at any byte.
    #[test]
    fn torsos_agree(seed: u64, cut: prop::sample::Index) {
        for signal in Signal::ALL {
            let mut body = request(signal, &mut Dice::new(seed));
            body.truncate(cut.index(body.len() + 1));
            agree(signal, &body);
        }
    }

    /// Scenario: bytes flipped at random.
    #[test]
    fn damaged_requests_agree(seed: u64, hits: u8) {
        for signal in Signal::ALL {
            let mut dice = Dice::new(seed);
            let mut body = request(signal, &mut dice);
            for _ in 0..hits % 8 {
                let at = dice.below(body.len().max(1) as u64) as usize;
                if let Some(byte) = body.get_mut(at) {
                    *byte ^= 1 << dice.below(8);
                }
            }
            agree(signal, &body);
            let _ = (crate::senders(signal, &body), crate::json::write(signal, &body, &mut Vec::new()));
        }
    }

    /// Scenario: no OTLP at all.
    #[test]
    fn noise_agrees(body: Vec<u8>) {
        for signal in Signal::ALL {
            agree(signal, &body);
        }
    }
}
