#![no_main]

mod protobuf;

use libfuzzer_sys::fuzz_target;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use truegreen_otlp::{DataPoint, Limits, MetricSink, Resource, Signal, scan_metrics};

struct Reader;

impl MetricSink<'_> for Reader {
    fn resource(&mut self, _: &Resource<'_, '_>) {}

    fn point(&mut self, point: &DataPoint<'_, '_>) {
        point.attributes.iter().for_each(|attribute| protobuf::read(attribute.value));
    }
}

fuzz_target!(|body: &[u8]| {
    protobuf::scan::<ExportMetricsServiceRequest>(Signal::Metrics, body);
    let _ = scan_metrics(body, &Limits::default(), &mut Reader);
});
