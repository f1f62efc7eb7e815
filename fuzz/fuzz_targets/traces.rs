#![no_main]

mod protobuf;

use libfuzzer_sys::fuzz_target;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use truegreen_otlp::{Limits, Resource, Signal, Span, TraceSink, scan_traces};

struct Reader;

impl TraceSink<'_> for Reader {
    fn resource(&mut self, resource: &Resource<'_, '_>) {
        resource.attributes.iter().for_each(|attribute| protobuf::read(attribute.value));
    }

    fn span(&mut self, span: &Span<'_, '_>) {
        let events = span.events().flat_map(|event| event.attributes());
        for attribute in span.attributes.iter().copied().chain(events) {
            protobuf::read(attribute.value);
        }
    }
}

fuzz_target!(|body: &[u8]| {
    protobuf::scan::<ExportTraceServiceRequest>(Signal::Traces, body);
    let _ = scan_traces(body, &Limits::default(), &mut Reader);
});
