#![no_main]

mod protobuf;

use libfuzzer_sys::fuzz_target;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use truegreen_otlp::{Limits, LogRecord, LogSink, Resource, Signal, scan_logs};

struct Reader;

impl LogSink<'_> for Reader {
    fn resource(&mut self, _: &Resource<'_, '_>) {}

    fn log(&mut self, record: &LogRecord<'_, '_>) {
        protobuf::read(record.body);
        record.attributes.iter().for_each(|attribute| protobuf::read(attribute.value));
    }
}

fuzz_target!(|body: &[u8]| {
    protobuf::scan::<ExportLogsServiceRequest>(Signal::Logs, body);
    let _ = scan_logs(body, &Limits::default(), &mut Reader);
});
