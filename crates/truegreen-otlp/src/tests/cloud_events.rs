//! CloudEvents as log records.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use proptest::prelude::*;
use prost::Message;

use super::plain::{Plain, PlainLog, Told, scan};
use crate::cloud_events::{
    Error, MAX_ATTRIBUTES, MAX_BODY, MAX_DEPTH, MAX_TEXT, MAX_VALUES, TRUNCATED, batched, binary, structured,
};
use crate::{Limits, Signal, Tally};

fn event(members: &str) -> String {
    format!(r#"{{"specversion":"1.0","id":"A-1","source":"shop","type":"order.placed"{members}}}"#)
}

/// The records, by a scan and a generated decoder alike.
fn records(body: Result<Vec<u8>, Error>) -> Vec<PlainLog> {
    let body = body.unwrap();
    ExportLogsServiceRequest::decode(&body[..]).unwrap();
    let scanned = scan(Signal::Logs, &body, &Limits::default()).unwrap();
    assert_eq!(scanned.tally, Tally { accepted: scanned.tally.accepted, ..Tally::default() });
    let log = |told| if let Told::Log(log) = told { Some(*log) } else { None };
    scanned.told.into_iter().filter_map(log).collect()
}

fn record(members: &str) -> PlainLog {
    let mut records = records(structured(event(members).as_bytes()));
    assert_eq!(records.len(), 1);
    records.remove(0)
}

fn text(text: &str) -> Plain {
    Plain::Text(text.as_bytes().to_vec())
}

fn get<'r>(record: &'r PlainLog, key: &str) -> Option<&'r Plain> {
    record.attributes.iter().find(|(name, _)| name == key.as_bytes()).map(|(_, value)| value)
}

#[test]
fn an_event_becomes_a_record() {
    let record = record(
        r#","subject":"orders/7","time":"1970-01-01T01:00:01.5+01:00","tenant":"acme","priority":3,"dry":true,"gone":null,
        "traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "data":{"order":{"id":7,"total":9.5,"paid":false,"note":null},"tags":["a","b"],
        "lines":[{"sku":"x","qty":1},{"sku":"y","qty":2}],"none":[]}"#,
    );
    assert_eq!(record.texts[1], b"order.placed");
    assert_eq!(record.times, (1_500_000_000, 0));
    assert_eq!(record.ids, (0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736, 0x00f0_67aa_0ba9_02b7));
    for (key, value) in [
        ("cloudevents.event_id", text("A-1")),
        ("cloudevents.event_source", text("shop")),
        ("cloudevents.event_type", text("order.placed")),
        ("cloudevents.event_spec_version", text("1.0")),
        ("cloudevents.event_subject", text("orders/7")),
        ("tenant", text("acme")),
        ("priority", Plain::Int(3)),
        ("dry", Plain::Bool(true)),
        ("order.id", Plain::Int(7)),
        ("order.total", Plain::Double(9.5_f64.to_bits())),
        ("order.paid", Plain::Bool(false)),
        ("tags", Plain::Array(vec![text("a"), text("b")])),
        ("lines.sku", Plain::Array(vec![text("x"), text("y")])),
        ("lines.qty", Plain::Array(vec![Plain::Int(1), Plain::Int(2)])),
        ("none", Plain::Array(vec![])),
    ] {
        assert_eq!(get(&record, key), Some(&value), "{key}");
    }
    assert_eq!(record.attributes.len(), 15);
    assert!(matches!(&record.body, Plain::Text(body) if body.starts_with(b"{\"order\"")));
}

#[test]
fn data_of_other_kinds() {
    assert_eq!(record("").body, Plain::Empty);
    assert_eq!(record(r#","data":"plain \"text\"""#).body, text("plain \"text\""));
    assert_eq!(record(r#","data":[1]"#).body, text("[1]"));
    assert_eq!(record(r#","data_base64":"/wA=""#).body, Plain::Bytes(vec![255, 0]));
    let json = record(r#","data_base64":"eyJhIjoxfQ==","datacontenttype":"application/vnd.x+json; charset=utf-8""#);
    assert_eq!((get(&json, "a"), json.body.clone()), (Some(&Plain::Int(1)), text(r#"{"a":1}"#)));
    // Beyond a signed integer the digits are kept, since a key is compared by its text.
    assert_eq!(get(&record(r#","data":{"n":18446744073709551615}"#), "n"), Some(&text("18446744073709551615")));
}

#[test]
fn one_resource_for_neighbours_of_one_source() {
    let other = event("").replace("\"shop\"", "\"till\"");
    let body = batched(format!("[{},{},{other}]", event(""), event("")).as_bytes()).unwrap();
    let request = ExportLogsServiceRequest::decode(&body[..]).unwrap();
    let counts: Vec<_> = request.resource_logs.iter().map(|group| group.scope_logs[0].log_records.len()).collect();
    assert_eq!(counts, [2, 1]);
    let senders: Vec<_> = crate::senders(Signal::Logs, &body).iter().map(|sender| sender.service.to_vec()).collect();
    assert_eq!(senders, [b"shop", b"till"]);
    assert_eq!(batched(b"[]"), Ok(vec![]));
}

#[test]
fn an_event_in_headers() {
    let headers = [
        ("CE-SpecVersion", "1.0"),
        ("ce-id", "A-1"),
        ("ce-source", "shop"),
        ("ce-type", "caf%C3%A9%20%zz"),
        ("ce-tenant", "acme"),
        ("host", "example.org"),
    ];
    let with = |content_type: Option<&'static str>, body: &[u8]| {
        let headers = headers.into_iter().chain(content_type.map(|value| ("Content-Type", value)));
        binary(headers, body)
    };
    let json = records(with(Some("application/json"), br#"{"order":{"id":7}}"#)).remove(0);
    assert_eq!((get(&json, "order.id"), get(&json, "tenant")), (Some(&Plain::Int(7)), Some(&text("acme"))));
    assert_eq!((&json.texts[1][..], get(&json, "host")), ("caf\u{e9} %zz".as_bytes(), None));
    assert!(with(Some("application/json"), b"{").unwrap_err().to_string().starts_with("event 0: malformed JSON"));
    // Nobody said that it was JSON: taken as such if it can be, else as text.
    assert!(get(&records(with(None, b"{\"a\":1}"))[0], "a").is_some());
    assert_eq!(records(with(None, b"{"))[0].body, text("{"));
    assert!(get(&records(with(Some("text/plain"), b"{\"a\":1}"))[0], "a").is_none());
    assert_eq!(records(with(None, &[0xff]))[0].body, Plain::Bytes(vec![0xff]));
    assert_eq!(records(with(None, b""))[0].body, Plain::Empty);
}

#[test]
fn mistakes_say_which_event_and_how_to_mend_it() {
    let cases = [
        (event("").replace("\"id\":\"A-1\"", "\"id\":\"\""), "\"id\" is missing or empty"),
        (event("").replace("\"type\"", "\"kind\""), "\"type\" is missing or empty"),
        (event("").replace("\"source\"", "\"src\""), "\"source\" is missing or empty"),
        (event("").replace("\"specversion\"", "\"spec\""), "\"specversion\" is missing or empty"),
        (event("").replace("1.0", "0.3"), "\"0.3\" is not supported"),
        (event(r#","time":"yesterday""#), "RFC 3339"),
        (event(r#","time":"2026-01-31T12:00:00""#), "offset included"),
        (event(r#","time":"1969-01-01T00:00:00Z""#), "RFC 3339"),
        (event(r#","tenant":{"id":1}"#), "structures belong into data"),
        (event(r#","data_base64":"?""#), "no base64"),
        (event(r#","data":1,"data_base64":"AA==""#), "exclude each other"),
        ("7".to_owned(), "malformed JSON"),
    ];
    for (bad, hint) in cases {
        let error = batched(format!("[{},{bad}]", event("")).as_bytes()).unwrap_err();
        assert!(error.index == 1 && error.to_string().contains(hint), "{error}");
    }
    assert!(batched(b"{}").is_err() && structured(b"").is_err() && structured(b"[]").is_err());
}

#[test]
fn a_traceparent_that_is_none_stays_visible() {
    for bad in [
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
        "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "grün",
    ] {
        let record = record(&format!(r#","traceparent":"{bad}""#));
        assert_eq!((record.ids, get(&record, "traceparent")), ((0, 0), Some(&text(bad))));
    }
}

#[test]
fn what_is_beyond_a_bound_is_left_out_and_counted() {
    let many: Vec<_> = (0..200).map(|at| format!("\"k{at}\":1")).collect();
    let attributes = record(&format!(r#","data":{{{}}}"#, many.join(",")));
    assert_eq!((attributes.attributes.len(), attributes.dropped), (MAX_ATTRIBUTES, 200 - 124));

    let extensions = record(&format!(",{}", many.join(",")));
    assert_eq!((extensions.attributes.len(), extensions.dropped), (MAX_ATTRIBUTES, 200 - 124));

    let values = record(&format!(r#","data":{{"list":[{}]}}"#, vec!["1"; MAX_VALUES + 5].join(",")));
    assert!(matches!(get(&values, "list"), Some(Plain::Array(list)) if list.len() == MAX_VALUES));
    assert_eq!(values.dropped, 5);

    let nest = |depth| format!(r#","data":{}1{}"#, r#"{"a":"#.repeat(depth), "}".repeat(depth));
    assert_eq!(record(&nest(MAX_DEPTH)).attributes.len(), 5);
    let deep = record(&nest(MAX_DEPTH + 1));
    assert_eq!((deep.attributes.len(), deep.dropped), (4, 1));

    let long = record(&format!(r#","long":"{0}","data":{{"long":"{0}"}}"#, "x".repeat(MAX_TEXT + 1)));
    assert_eq!((long.attributes.len(), long.dropped), (4, 2));

    let body = record(&format!(r#","data":"{}""#, "é".repeat(MAX_BODY)));
    assert_eq!(get(&body, TRUNCATED), Some(&Plain::Bool(true)));
    assert!(matches!(&body.body, Plain::Text(text) if text.len() == MAX_BODY));
    let bytes = records(binary(
        [("ce-specversion", "1.0"), ("ce-id", "1"), ("ce-source", "s"), ("ce-type", "t")].into_iter(),
        &vec![0xff; MAX_BODY + 1],
    ));
    assert_eq!(get(&bytes[0], TRUNCATED), Some(&Plain::Bool(true)));
}

/// Scenario: nesting that would overflow a stack that recursed without a bound. Guarantee: it is passed over.
#[test]
fn depth_of_json_is_bounded() {
    let deep = record(&format!(r#","data":{}{}"#, "[".repeat(1_000_000), "]".repeat(1_000_000)));
    assert_eq!((deep.attributes.len(), deep.dropped), (5, 1));
}

proptest! {
    /// Guarantee: whatever is sent, no panic, and whatever is taken is a request within the default limits.
    #[test]
    fn any_event_is_taken_or_refused(
        id in ".{0,3}", name in "[a-z]{0,4}", data in "[{}\\[\\]\",:a1 ]{0,30}", time in "[0-9TZ:.+-]{0,25}",
    ) {
        let id = serde_json::to_string(&id).unwrap();
        let members = format!(r#","{name}":{id},"time":"{time}","data":{data}"#);
        let body = event(&members);
        let headers = [("ce-id", id.as_str())];
        let all = [structured(body.as_bytes()), batched(body.as_bytes()), binary(headers.into_iter(), b"")];
        for taken in all.into_iter().flatten() {
            ExportLogsServiceRequest::decode(&taken[..]).unwrap();
        }
        let headers = [("ce-specversion", "1.0"), ("ce-id", "1"), ("ce-source", "s"), ("ce-type", "t"), ("ce-x", &id)];
        records(binary(headers.into_iter(), data.as_bytes()));
    }
}
