#![no_main]

use libfuzzer_sys::fuzz_target;
use truegreen_otlp::{Limits, Signal, check, json, senders};

fuzz_target!(|body: &[u8]| {
    for signal in Signal::ALL {
        let salvaged = json::salvage(signal, body);
        check(signal, &salvaged, &Limits::default()).expect("what is salvaged is well-formed");
        senders(signal, &salvaged);
        let Ok(taken) = json::to_protobuf(signal, body) else { continue };
        assert_eq!(taken, salvaged);
        // Read, written and read again, it is the same request.
        let (mut once, mut twice) = (Vec::new(), Vec::new());
        json::write(signal, &taken, &mut once).expect("what was read can be written");
        let again = json::to_protobuf(signal, &once).expect("what was written can be read");
        json::write(signal, &again, &mut twice).expect("what was read can be written");
        assert_eq!(once, twice);
    }
    let _ = json::signal_of(body);
});
