//! A server that asks a system itself: here a folder in which each file is a row.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use prost::Message;
use truegreen::config::{Config, Data};
use truegreen::confirming::{Source, Sources};
use truegreen_connect::Error;
use truegreen_connect::confirm::{Confirm, Found};
use truegreen_store::{Kind, Log, Options};

use crate::support::{PROTOBUF, TestServer, placed, span, traces};

/// Everything that completes is asked for, at once.
const CONTRACT: &str = "
flow: orders
key: order.id
start: {name: placed, span: place order, service: shop}
steps:
  - name: shipped
    span: ship order
    service: shop
    within: 1h
    confirm: {system: folder, ask: 'READ {key}', sample: 100%, after: 0s}
";

struct Folder {
    path: PathBuf,
    /// It is asked and never answers.
    hangs: bool,
}

impl Source for Folder {
    fn confirm(&self) -> Option<&dyn Confirm> {
        Some(self)
    }

    fn timeout(&self) -> Duration {
        Duration::from_secs(30)
    }

    fn may_be_behind(&self) -> bool {
        false
    }
}

#[async_trait]
impl Confirm for Folder {
    fn check(&self, _: &str) -> Result<(), String> {
        Ok(())
    }

    async fn ask(&self, _: &str, keys: &[String]) -> Result<Vec<Result<Found, Error>>, Error> {
        if self.hangs {
            std::future::pending::<()>().await;
        }
        let row = |key: &String| match self.path.join(key).is_file() {
            true => Ok(Found::Rows(vec![[("key".to_owned(), Some(key.clone()))].into()])),
            false => Ok(Found::Nothing),
        };
        Ok(keys.iter().map(row).collect())
    }

    async fn behind(&self) -> Option<f64> {
        None
    }
}

struct Place {
    rows: tempfile::TempDir,
    data: tempfile::TempDir,
}

impl Place {
    fn new() -> Place {
        Place { rows: tempfile::tempdir().unwrap(), data: tempfile::tempdir().unwrap() }
    }

    fn serve(&self, hangs: bool) -> TestServer {
        let folder: Arc<dyn Source> = Arc::new(Folder { path: self.rows.path().to_owned(), hangs });
        self.serve_with(Sources::new([("folder".to_owned(), folder)]))
    }

    fn serve_with(&self, sources: Sources) -> TestServer {
        let data = Data { dir: self.data.path().to_owned(), ..Data::default() };
        TestServer::asking(CONTRACT, |config: &mut Config| config.data = Some(data), sources)
    }

    fn kinds(&self) -> Vec<Kind> {
        let log = Log::open(self.data.path(), Options::default()).unwrap();
        log.read_from(0).map(|entry| entry.unwrap().kind).collect()
    }
}

fn order(server: &TestServer, order: &str, id: u8) {
    assert_eq!(server.post("/v1/traces", &[PROTOBUF], &placed(order, id)).status, 200);
    let shipped = traces(vec![span("ship order", order, id + 1)]).encode_to_vec();
    assert_eq!(server.post("/v1/traces", &[PROTOBUF], &shipped).status, 200);
}

fn until(server: &TestServer, order: &str, verdict: &str, answer: &str) {
    let path = format!("/api/v1/journeys/orders/{order}");
    server.until(&path, "the answer", |found| {
        let journey = &found["journeys"][0];
        journey["verdict"] == verdict && journey["asked"][0]["answer"] == answer
    });
}

/// Guarantee: what is asked, and what is answered, is in the log before it is acted on, and a start on that log alone
/// stands as the last one did (INV-REPLAY-1).
#[test]
fn a_row_that_is_not_there_is_found_and_stays_found() {
    let place = Place::new();
    std::fs::write(place.rows.path().join("o-1"), "").unwrap();
    let mut server = place.serve(false);
    order(&server, "o-1", 1);
    order(&server, "o-2", 3);
    until(&server, "o-1", "completed", "there");
    until(&server, "o-2", "unaccounted", "not_there");
    let stands = |server: &TestServer| {
        let report = server.get("/api/v1/report").json();
        let books = &report["flows"]["orders"];
        assert_eq!((&books["confirmed"]["unaccounted"], &books["health"]), (&1.into(), &"BROKEN".into()), "{report:#}");
        assert_eq!(report["findings"][0]["kind"], "effect_missing");
        assert_eq!(report["findings"][0]["examples"][0], "o-2");
        let journey = &server.get("/api/v1/journeys/orders/o-2").json()["journeys"][0];
        assert_eq!((&journey["reason"], &journey["confirmed"]), (&"effect_missing".into(), &true.into()));
    };
    stands(&server);
    assert_eq!(server.metric("truegreen_answers_total{reason=\"there\"}"), 1);
    assert_eq!(server.metric("truegreen_confirmed{flow=\"orders\",standing=\"unaccounted\"}"), 1);
    server.stop();
    assert!(place.kinds().contains(&Kind::Confirmations), "{:?}", place.kinds());

    std::fs::remove_dir_all(Path::new(place.data.path()).join("checkpoint")).unwrap();
    let mut server = place.serve(true);
    stands(&server);
    assert_eq!(server.metric("truegreen_asked_batches_total{result=\"answered\"}"), 0, "nothing is asked twice");
    server.stop();
}

#[test]
fn what_was_asked_and_not_answered_is_asked_after_the_restart() {
    let place = Place::new();
    let mut server = place.serve(true);
    order(&server, "o-1", 1);
    server.until("/api/v1/journeys/orders/o-1", "completion", |found| found["journeys"][0]["verdict"] == "completed");
    let asked = "truegreen_questions_total{reason=\"asked\"}";
    server.until("/api/v1/report", "the question", |_| server.metric(asked) == 1);
    server.stop();

    let mut server = place.serve(false);
    until(&server, "o-1", "unaccounted", "not_there");
    assert_eq!(server.metric(asked), 1, "it is the same question");
    server.stop();
}

#[test]
fn a_system_that_is_not_configured_changes_nothing_and_is_counted() {
    let place = Place::new();
    let mut server = place.serve_with(Sources::default());
    order(&server, "o-1", 1);
    let unasked = "truegreen_unasked_questions_total{reason=\"no_system\"}";
    server.until("/api/v1/report", "the question", |_| server.metric(unasked) == 1);
    assert_eq!(server.get("/api/v1/journeys/orders/o-1").json()["journeys"][0]["verdict"], "completed");
    assert!(server.get("/").text().contains("no system"), "the page says so");
    server.stop();
}
