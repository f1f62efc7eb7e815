//! Contracts that are edited between two starts of the same binary on the same folder.

use std::path::Path;
use std::process::Command;

use prost::Message;
use serde_json::Value;
use truegreen_model::time::Timestamp;
use truegreen_store::{Kind, Log, Options};

use crate::restart::{Place, Served, place};
use crate::support::{CONTRACT, now_nanos, placed, span, traces};

/// As [`CONTRACT`], but packed rather than shipped.
const EDITED: &str = "
flow: orders
key: order.id
start: {name: placed, span: place order, service: shop}
steps:
  - {name: packed, span: pack order, service: shop, within: 1h}
";

fn edit(place: &Place, contract: &str) {
    std::fs::write(Path::new(&place.flows).join("orders.yaml"), contract).unwrap();
}

fn one(name: &str, order: &str, id: u8) -> Vec<u8> {
    traces(vec![span(name, order, id)]).encode_to_vec()
}

fn kinds(place: &Place) -> Vec<Kind> {
    let log = Log::open(Path::new(&place.data), Options::default()).unwrap();
    log.read_from(0).map(|entry| entry.unwrap().kind).collect()
}

fn verdict(served: &Served, order: &str) -> Value {
    served.get(&format!("/api/v1/journeys/orders/{order}"))["journeys"][0]["verdict"].clone()
}

/// The books of the flow, by line of the equation.
fn books(served: &Served) -> [Value; 5] {
    let report = served.get("/api/v1/report");
    let books = &report["flows"]["orders"];
    ["entered", "open", "completed", "orphans", "duplicates"].map(|line| books[line].clone())
}

/// Scenario: the YAML file is edited between two lives, each ended by SIGKILL; then a life without the checkpoint.
/// Guarantee: what was judged stays judged, what had entered is judged by the old contract, what enters by the new one,
/// and a replay of the log alone gives the same (INV-REPLAY-1).
#[test]
fn an_edited_contract_applies_from_the_restart_on() {
    let place = place();
    let mut served = Served::start(&place.flows, Some(&place.data));
    assert_eq!(served.post(&placed("o-1", 1)), 200);
    assert_eq!(served.post(&placed("o-2", 2)), 200);
    assert_eq!(served.post(&one("ship order", "o-2", 3)), 200);
    served.kill();

    edit(&place, EDITED);
    let mut served = Served::start(&place.flows, Some(&place.data));
    assert_eq!((verdict(&served, "o-1"), verdict(&served, "o-2")), ("open".into(), "completed".into()));
    assert_eq!(served.post(&placed("o-3", 4)), 200);
    assert_eq!(served.post(&placed("o-4", 5)), 200);
    for order in ["o-1", "o-4"] {
        assert_eq!(served.post(&one("ship order", order, 6)), 200);
    }
    assert_eq!(served.post(&one("pack order", "o-3", 7)), 200);
    let stands = |served: &Served| {
        let verdicts = ["o-1", "o-2", "o-3", "o-4"].map(|order| verdict(served, order));
        assert_eq!(verdicts, ["completed", "completed", "completed", "open"]);
        assert_eq!(books(served), [4, 1, 3, 0, 0].map(Value::from));
        let owed = &served.get("/api/v1/journeys/orders/o-4")["journeys"][0]["owed"];
        assert!(owed.get("packed").is_some(), "{owed}");
    };
    stands(&served);
    served.kill();

    std::fs::remove_dir_all(Path::new(&place.data).join("checkpoint")).unwrap();
    let mut served = Served::start(&place.flows, Some(&place.data));
    stands(&served);
    served.kill();
    let of_contracts = |kinds: Vec<Kind>| -> Vec<usize> {
        let kinds = kinds.into_iter().enumerate();
        kinds.filter(|(_, kind)| *kind == Kind::Contracts).map(|(index, _)| index).collect()
    };
    assert_eq!(of_contracts(kinds(&place)), [0, 4], "before the first request, and before the first under the new one");

    let verified =
        Command::new(env!("CARGO_BIN_EXE_truegreen")).args(["store", "verify", &place.data]).output().unwrap();
    let said = String::from_utf8(verified.stdout).unwrap();
    assert!(verified.status.success() && said.contains("2 contracts"), "{said}");
}

/// Scenario: a log that an earlier version began, which did not write contracts down; then they are edited. Guarantee: it
/// is replayed under those that are given, and from then on the log tells.
#[test]
fn a_log_that_does_not_tell_its_contracts_is_read_under_those_given() {
    let place = place();
    let mut log = Log::open(Path::new(&place.data), Options::default()).unwrap();
    log.append(Timestamp(now_nanos()), Kind::Traces, &placed("o-1", 1)).unwrap();
    log.commit().unwrap();
    drop(log);
    let mut served = Served::start(&place.flows, Some(&place.data));
    assert_eq!(served.get("/api/v1/report")["flows"]["orders"]["entered"], 1);
    served.kill();
    assert_eq!(kinds(&place)[..2], [Kind::Traces, Kind::Contracts]);
    edit(&place, &CONTRACT.replace("1h", "2h"));
    for _same in 0..2 {
        let mut served = Served::start(&place.flows, Some(&place.data));
        assert_eq!(served.get("/api/v1/report")["flows"]["orders"]["entered"], 1);
        served.kill();
    }
    let told = kinds(&place).into_iter().filter(|kind| *kind == Kind::Contracts).count();
    assert_eq!(told, 2, "before and behind the edit, and no more");
}

/// Scenario: contracts in a form that this version does not know. Guarantee: the start says so rather than to judge by
/// others.
#[test]
fn contracts_of_a_newer_form_are_not_guessed() {
    let place = place();
    let mut log = Log::open(Path::new(&place.data), Options::default()).unwrap();
    log.append(Timestamp(now_nanos()), Kind::Contracts, &[200, 1, 2]).unwrap();
    log.commit().unwrap();
    drop(log);
    let free = "127.0.0.1:0";
    let refused = Command::new(env!("CARGO_BIN_EXE_truegreen"))
        .args(["serve", "--flows", &place.flows, "--grpc", free, "--http", free, "--web", free, "--data", &place.data])
        .output()
        .unwrap();
    assert_eq!(refused.status.code(), Some(2));
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("sequence 1") && said.contains("hint:"), "{said}");
}
