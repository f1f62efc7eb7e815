//! What holds for the three protobuf scans alike.

use prost::{DecodeError, Message};
use truegreen_otlp::{Limits, Signal, Value, check, json, senders};

/// Scan and generated decoder agree on whether a body is malformed; what is well-formed survives JSON.
pub fn scan<M: Message + Default>(signal: Signal, body: &[u8]) {
    let tally = check(signal, body, &Limits::default());
    match M::decode(body) {
        Ok(_) => assert!(tally.is_ok(), "refused: {tally:?}"),
        Err(error) if not_utf8(&error) => {}
        Err(error) => assert!(tally.is_err(), "taken, though: {error}"),
    }
    assert!(senders(signal, body).len() <= 64);

    let mut line = Vec::new();
    let written = json::write(signal, body, &mut line);
    if let Ok(tally) = tally {
        written.expect("what was taken can be written");
        let back = json::to_protobuf(signal, &line).expect("what was written can be read");
        // A value too deep that another value overruled is refused by the scan, and not written.
        assert!(check(signal, &back, &Limits::default()).is_ok_and(|back| back.accepted >= tally.accepted));
    }
}

/// The scan takes texts that are not UTF-8, as documented.
fn not_utf8(error: &DecodeError) -> bool {
    error.to_string().contains("UTF-8")
}

/// Touches everything in a value.
#[allow(dead_code, reason = "each target is a crate of its own")]
pub fn read(value: Value<'_>) {
    std::hint::black_box(value.text_lossy());
}
