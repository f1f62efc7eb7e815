//! JSON into protobuf and back.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use proptest::prelude::*;
use prost::Message;

use super::dice::Dice;
use super::{message, request, scramble};
use crate::json::{Error, salvage, signal_of, to_protobuf, write};
use crate::{Limits, Refusal, Signal, check, senders};

/// The request as a generated decoder writes it again, so that equal content is equal bytes.
fn canonical(signal: Signal, body: &[u8]) -> Result<Vec<u8>, prost::DecodeError> {
    Ok(match signal {
        Signal::Traces => ExportTraceServiceRequest::decode(body)?.encode_to_vec(),
        Signal::Logs => ExportLogsServiceRequest::decode(body)?.encode_to_vec(),
        Signal::Metrics => ExportMetricsServiceRequest::decode(body)?.encode_to_vec(),
    })
}

fn there_and_back(signal: Signal, body: &[u8]) {
    let mut line = Vec::new();
    write(signal, body, &mut line).unwrap();
    assert!(!line.contains(&b'\n'));
    let back = to_protobuf(signal, &line).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&line)));
    let same = canonical(signal, &back) == canonical(signal, body);
    assert!(same, "{}", String::from_utf8_lossy(&line));
    if line != b"{}" {
        assert_eq!(signal_of(&line), Some(signal));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// Guarantee: a recorded request is the request, whatever its shape.
    #[test]
    fn what_is_written_reads_back(seed: u64) {
        for signal in Signal::ALL {
            there_and_back(signal, &request(signal, &mut Dice::new(seed)));
        }
    }

    /// Guarantee: so is one in an encoding that no encoder makes.
    #[test]
    fn what_is_scrambled_reads_back(seed: u64) {
        for signal in Signal::ALL {
            let mut dice = Dice::new(seed);
            let plain = request(signal, &mut dice);
            let body = scramble::message(message(signal), &plain, &mut dice);
            // Indices into a profile's string table mean nothing here, and are not written.
            if canonical(signal, &body).is_ok() {
                there_and_back(signal, &body);
            }
        }
    }

    /// Guarantee: JSON cut or damaged anywhere never panics, and what can be salvaged of it is well-formed.
    #[test]
    fn damaged_json_is_salvaged(seed: u64, cut: prop::sample::Index, hit: prop::sample::Index, byte: u8) {
        for signal in Signal::ALL {
            let mut line = Vec::new();
            write(signal, &request(signal, &mut Dice::new(seed)), &mut line).unwrap();
            let at = hit.index(line.len());
            line[at] = byte;
            line.truncate(cut.index(line.len() + 1));
            let rest = salvage(signal, &line);
            check(signal, &rest, &Limits::default()).unwrap();
            senders(signal, &rest);
            assert!(to_protobuf(signal, &line).is_err() || to_protobuf(signal, &line) == Ok(rest));
        }
    }
}

fn span(fields: &str) -> String {
    format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{{fields}}}]}}]}}]}}"#)
}

fn read_span(fields: &str) -> Result<opentelemetry_proto::tonic::trace::v1::Span, Error> {
    let body = to_protobuf(Signal::Traces, span(fields).as_bytes())?;
    let mut request = ExportTraceServiceRequest::decode(&body[..]).unwrap();
    Ok(request.resource_spans.remove(0).scope_spans.remove(0).spans.remove(0))
}

#[test]
fn kindly_read() {
    let plain = read_span(
        r#""traceId":"5B8EFFF798038103D269B633813FC60C","spanId":"eee19b7ec3c1b174","kind":2,"flags":1,
        "startTimeUnixNano":"1544712660000000000","droppedAttributesCount":3,"status":{"code":2},
        "attributes":[{"key":"n","value":{"intValue":"-7"}},{"key":"d","value":{"doubleValue":1}}]"#,
    )
    .unwrap();
    let kind = read_span(
        r#""trace_id":"5b8efff798038103d269b633813fc60c","span_id":"EEE19B7EC3C1B174","kind":"SPAN_KIND_SERVER",
        "flags":"1","start_time_unix_nano":1544712660000000000,"dropped_attributes_count":"3","parentSpanId":null,
        "status":{"code":"STATUS_CODE_ERROR"},"unknown":{"deep":[[{}]]},"links":null,
        "attributes":[{"key":"n","value":{"int_value":-7.0}},{"key":"d","value":{"doubleValue":"1e0"}}]"#,
    )
    .unwrap();
    assert_eq!(plain, kind);
    assert_eq!((plain.kind, plain.trace_id.len(), plain.span_id.len()), (2, 16, 8));
}

/// The story: a decoder that took enums by number only gave `data: None` for a metric sent by name, and said nothing.
#[test]
fn enums_of_every_message_by_name() {
    let body = br#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"m","sum":{"isMonotonic":true,
        "aggregationTemporality":"AGGREGATION_TEMPORALITY_CUMULATIVE","dataPoints":[{"asInt":"5"}]}}]}]}]}"#;
    let body = to_protobuf(Signal::Metrics, body).unwrap();
    assert_eq!(check(Signal::Metrics, &body, &Limits::default()).unwrap().accepted, 1);
    let logs = br#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"severityNumber":"SEVERITY_NUMBER_ERROR2"}]}]}]}"#;
    let logs = ExportLogsServiceRequest::decode(&to_protobuf(Signal::Logs, logs).unwrap()[..]).unwrap();
    assert_eq!(logs.resource_logs[0].scope_logs[0].log_records[0].severity_number, 18);
}

#[test]
fn mistakes_say_where_and_how_to_mend_them() {
    let cases = [
        (r#""traceId":"W47/95gDgQPSabYzgT/GDA==""#, "hex, not in base64"),
        (r#""kind":"SERVER""#, "SPAN_KIND_SERVER"),
        (r#""kind":4294967296"#, "beyond -2147483648 to 2147483647"),
        (r#""startTimeUnixNano":"soon""#, "an integer, as a number or in a string"),
        (r#""startTimeUnixNano":-1"#, "beyond 0 to"),
        (r#""startTimeUnixNano":1.5"#, "an integer"),
        (r#""name":7"#, "expected a string"),
        (r#""name":["a"]"#, "a string in \"name\""),
        (r#""status":"ok""#, "an object"),
        (r#""attributes":{"a":"b"}"#, "an array in \"attributes\""),
        (r#""attributes":[{"key":"k","value":{"boolValue":"true"}}]"#, "true or false"),
        (r#""attributes":[{"key":"k","value":{"bytesValue":"?"}}]"#, "base64"),
        (r#""attributes":[{"key":"k","value":{"doubleValue":"inf"}}]"#, "\"Infinity\""),
    ];
    for (fields, hint) in cases {
        let error = read_span(fields).unwrap_err();
        assert!(error.message.contains(hint) && error.line == 1 && error.column > 40, "{error}");
    }
    let error = to_protobuf(Signal::Traces, b"{\n\"resourceSpans\":[}").unwrap_err();
    assert_eq!((error.line, error.column), (2, 18), "{error}");
    let error = to_protobuf(Signal::Traces, b"{\"resourceSpans\":[").unwrap_err();
    assert!(error.message.contains("lost its end"), "{error}");
    assert!(to_protobuf(Signal::Traces, b"{}{}").is_err());
    assert!(to_protobuf(Signal::Traces, b"[]").is_err());
}

/// The story: unknown fields are ignored, so logs sent to the path of traces would be acknowledged and lost.
#[test]
fn a_request_of_another_signal_is_refused() {
    let error = to_protobuf(Signal::Traces, br#"{"resourceLogs":[]}"#).unwrap_err();
    assert!(error.message.contains("/v1/logs"), "{error}");
}

fn nested(depth: usize) -> String {
    let open = r#"{"arrayValue":{"values":["#.repeat(depth);
    span(&format!(
        r#""traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174",
        "attributes":[{{"key":"k","value":{open}{{}}{}}}]"#,
        "]}}".repeat(depth)
    ))
}

#[test]
fn depth_is_bounded_both_ways() {
    let limits = Limits::default();
    let deep = to_protobuf(Signal::Traces, nested(20).as_bytes()).unwrap();
    assert_eq!(check(Signal::Traces, &deep, &limits).unwrap().refused[Refusal::TooDeep as usize], 1);
    assert!(to_protobuf(Signal::Traces, nested(100).as_bytes()).unwrap_err().message.contains("recursion limit"));
    assert!(to_protobuf(Signal::Traces, nested(1_000_000).as_bytes()).is_err());

    // As deep as protobuf may be: written in a form that reads back, and is refused again for its depth.
    let deepest = (20..50).rev().find_map(|depth| {
        let mut value = vec![];
        for _ in 0..depth {
            let (mut array, mut outer) = (vec![], vec![]);
            crate::wire::out::put_bytes(1, &value, &mut array);
            crate::wire::out::put_bytes(5, &array, &mut outer);
            value = outer;
        }
        let mut body = to_protobuf(Signal::Traces, nested(0).as_bytes()).unwrap();
        let (mut pair, mut span, mut scope, mut group) = (vec![], vec![], vec![], vec![]);
        crate::wire::out::put_bytes(2, &value, &mut pair);
        crate::wire::out::put_bytes(9, &pair, &mut span);
        crate::wire::out::put_bytes(2, &span, &mut scope);
        crate::wire::out::put_bytes(2, &scope, &mut group);
        crate::wire::out::put_bytes(1, &group, &mut body);
        check(Signal::Traces, &body, &limits).is_ok().then_some(body)
    });
    let deepest = deepest.unwrap();
    let mut line = Vec::new();
    write(Signal::Traces, &deepest, &mut line).unwrap();
    let back = to_protobuf(Signal::Traces, &line).unwrap();
    assert_eq!(check(Signal::Traces, &back, &limits), check(Signal::Traces, &deepest, &limits));
}

#[test]
fn the_signal_of_a_line() {
    assert_eq!(
        signal_of(br#"{"other":[1,{"resourceSpans":1}],"resource_metrics":[]} trailing"#),
        Some(Signal::Metrics)
    );
    assert_eq!(signal_of(br#"{"resourceSpans":[{"#), Some(Signal::Traces));
    for none in [&b"{}"[..], b"", b"[]", b"{\"resourceProfiles\":[]}"] {
        assert_eq!(signal_of(none), None);
    }
}

#[test]
fn the_line_is_as_the_collector_writes_it() {
    let body = to_protobuf(
        Signal::Traces,
        br#"{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"cart"}}]},
        "scopeSpans":[{"scope":{},"spans":[{"traceId":"5B8EFFF798038103D269B633813FC60C","spanId":"EEE19B7EC3C1B174",
        "kind":"SPAN_KIND_SERVER","endTimeUnixNano":1544712661000000000,"name":"GET /\u0007",
        "attributes":[{"key":"n","value":{"intValue":7}},{"key":"list","value":{"arrayValue":{}}}]}]}]}]}"#,
    )
    .unwrap();
    let mut line = Vec::new();
    write(Signal::Traces, &body, &mut line).unwrap();
    assert_eq!(
        String::from_utf8(line).unwrap(),
        concat!(
            r#"{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"cart"}}]},"#,
            r#""scopeSpans":[{"scope":{},"spans":[{"traceId":"5b8efff798038103d269b633813fc60c","#,
            r#""spanId":"eee19b7ec3c1b174","name":"GET /\u0007","kind":2,"endTimeUnixNano":"1544712661000000000","#,
            r#""attributes":[{"key":"n","value":{"intValue":"7"}},{"key":"list","value":{"arrayValue":{}}}]}]}]}]}"#,
        )
    );
}
