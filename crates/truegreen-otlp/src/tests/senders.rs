//! Whose request it was.

use prost::Message;

use super::dice::Dice;
use super::shapes;
use crate::wire::out::{close, open, put_bytes};
use crate::{Sender, Signal, senders};

fn group(service: &str, instance: Option<&str>, out: &mut Vec<u8>) {
    let start = open(1, out);
    let resource = open(1, out);
    for (key, text) in [("service.name", Some(service)), ("service.instance.id", instance)] {
        let Some(text) = text else { continue };
        let attribute = open(1, out);
        put_bytes(1, key.as_bytes(), out);
        let value = open(2, out);
        put_bytes(1, text.as_bytes(), out);
        close(value, out);
        close(attribute, out);
    }
    close(resource, out);
    put_bytes(2, &[0; 300], out);
    close(start, out);
}

fn sender<'a>(service: &'a str, instance: Option<&'a str>) -> Sender<'a> {
    Sender { service: service.as_bytes(), instance: instance.map(str::as_bytes) }
}

#[test]
fn each_sender_is_told_once() {
    let mut body = Vec::new();
    for (service, instance) in [("cart", Some("a")), ("stock", None), ("cart", Some("a")), ("cart", Some("b"))] {
        group(service, instance, &mut body);
    }
    let all = [sender("cart", Some("a")), sender("stock", None), sender("cart", Some("b"))];
    assert_eq!(senders(Signal::Traces, &body), all);
    // The spans of the last group are cut off: its resource came before them.
    assert_eq!(senders(Signal::Traces, &body[..body.len() - 200]), all);
}

#[test]
fn senders_are_bounded() {
    let mut body = Vec::new();
    (0..100).for_each(|at| group(&format!("service-{at}"), None, &mut body));
    assert_eq!(senders(Signal::Logs, &body).len(), 64);
}

/// Scenario: a JSON body that breaks off. Guarantee: the resource before the break is told.
#[test]
fn senders_of_json_that_breaks_off() {
    let body = br#"{"resourceLogs":[{"resource":{"attributes":[
        {"key":"service.name","value":{"stringValue":"cart"}}]},"scopeLogs":[{"logRecords":[{"body":{"str"#;
    assert!(crate::json::to_protobuf(Signal::Logs, body).is_err());
    assert_eq!(senders(Signal::Logs, &crate::json::salvage(Signal::Logs, body)), [sender("cart", None)]);
}

#[test]
fn any_bytes_have_no_more_senders_than_may_be() {
    for seed in 0..300 {
        let mut dice = Dice::new(seed);
        let mut body = shapes::traces(&mut dice).encode_to_vec();
        let cut = dice.below(body.len() as u64 + 1) as usize;
        body.truncate(cut);
        assert!(senders(Signal::Traces, &body).len() <= 64);
    }
}
