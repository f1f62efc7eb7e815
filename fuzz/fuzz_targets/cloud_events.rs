#![no_main]

use libfuzzer_sys::fuzz_target;
use truegreen_otlp::{Limits, Signal, check, cloud_events};

fuzz_target!(|body: &[u8]| {
    let text = String::from_utf8_lossy(body);
    let headers = [("ce-specversion", "1.0"), ("ce-id", "1"), ("ce-source", "shop"), ("ce-type", "t")];
    let all = [
        cloud_events::structured(body),
        cloud_events::batched(body),
        cloud_events::binary(headers.into_iter().chain([("ce-time", &*text)]), body),
        cloud_events::binary(headers.into_iter().chain([("ce-traceparent", &*text), ("ce-x", &*text)]), body),
    ];
    for taken in all.into_iter().flatten() {
        let tally = check(Signal::Logs, &taken, &Limits::default()).expect("what is made of events is well-formed");
        assert_eq!(tally.refused_total(), 0);
    }
});
