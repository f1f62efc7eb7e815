//! What the tests of the services stand on: a folder with real databases, the real SDK whose exporters keep what they
//! get, a clock that stands still, and services on loopback.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::logs::{LogBatch, LogExporter, SdkLogRecord, SdkLoggerProvider};
use opentelemetry_sdk::metrics::SdkMeterProvider;
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData, SpanExporter};
use rusqlite::Connection;
use tempfile::TempDir;
use tokio::sync::watch;

use crate::clock::Clock;
use crate::config::{Inventory, Orders, Payments, Role, SERVICES, ServiceConfig, Storefront};
use crate::event::{NewOrder, OrderedArticle};
use crate::peers::Peers;
use crate::plan::Plan;
use crate::service::Stop;
use crate::telemetry::Telemetry;
use crate::truth::Truth;
use crate::{Fault, Setup, database, http};

/// When the clock of a scene stands at the beginning.
pub(crate) const NOW_MS: i64 = 1_000_000;

/// What was sent, and how many spans that were.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sent {
    spans: Arc<Mutex<Vec<SpanData>>>,
    logs: Arc<Mutex<Vec<SdkLogRecord>>>,
    count: watch::Sender<usize>,
}

impl SpanExporter for Sent {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.spans.lock().unwrap().extend(batch);
        // Not while the spans are locked: whoever waits looks at them.
        let count = self.spans.lock().unwrap().len();
        self.count.send_replace(count);
        Ok(())
    }
}

impl LogExporter for Sent {
    async fn export(&self, batch: LogBatch<'_>) -> OTelSdkResult {
        self.logs.lock().unwrap().extend(batch.iter().map(|(record, _)| record.clone()));
        Ok(())
    }
}

pub(crate) struct Scene {
    pub(crate) dir: TempDir,
    pub(crate) telemetry: Telemetry,
    pub(crate) database: Connection,
    sent: Sent,
    addresses: BTreeMap<&'static str, String>,
    stop: watch::Sender<bool>,
}

impl Scene {
    pub(crate) fn new() -> Scene {
        let dir = tempfile::tempdir().unwrap();
        let sent = Sent::default();
        Scene {
            database: database::create(&database::path_in(dir.path())).unwrap(),
            telemetry: telemetry(&sent, Clock::manual(NOW_MS)),
            dir,
            sent,
            addresses: BTreeMap::new(),
            stop: watch::Sender::new(false),
        }
    }

    /// What the services are told, at 10 orders a second.
    fn configs(&self, fault: Fault, fixed: bool) -> [ServiceConfig; 4] {
        let setup = Setup {
            otlp_endpoint: "http://127.0.0.1:1".into(),
            data_dir: self.dir.path().to_owned(),
            fault,
            fixed,
            rate_per_second: 10.0,
            seed: 1,
            load_for: Duration::from_secs(1),
            exe: "/".into(),
            run: "1".into(),
            parts: crate::Parts::default(),
        };
        Plan { setup: &setup, run_dir: self.dir.path() }.services()
    }

    pub(crate) fn storefront(&self, fault: Fault, fixed: bool) -> (ServiceConfig, Storefront) {
        let [config, ..] = self.configs(fault, fixed);
        let Role::Storefront(own) = config.role.clone() else { panic!("{config:?}") };
        (config, own)
    }

    pub(crate) fn orders(&self, fault: Fault, fixed: bool) -> (ServiceConfig, Orders) {
        let [_, config, ..] = self.configs(fault, fixed);
        let Role::Orders(own) = config.role.clone() else { panic!("{config:?}") };
        (config, own)
    }

    pub(crate) fn payments(&self, fault: Fault, fixed: bool) -> (ServiceConfig, Payments) {
        let [.., config, _] = self.configs(fault, fixed);
        let Role::Payments(own) = config.role.clone() else { panic!("{config:?}") };
        (config, own)
    }

    pub(crate) fn inventory(&self, fault: Fault, fixed: bool) -> (ServiceConfig, Inventory) {
        let [.., config] = self.configs(fault, fixed);
        let Role::Inventory(own) = config.role.clone() else { panic!("{config:?}") };
        (config, own)
    }

    /// The same, by a clock that is ahead.
    pub(crate) fn telemetry_ahead_by(&self, ms: i64) -> Telemetry {
        telemetry(&self.sent, Clock::manual(NOW_MS + ms))
    }

    /// Serves `routes` as the service `name`, where its peers find it.
    pub(crate) async fn serve(&mut self, name: &'static str, routes: Router, telemetry: &Telemetry) -> String {
        let listener = http::listen().await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        self.addresses.insert(name, address.clone());
        Peers::write(self.dir.path(), &self.addresses).unwrap();
        let (telemetry, stop) = (telemetry.clone(), Stop::by(self.stop.subscribe()));
        tokio::spawn(async move { http::serve_on(listener, routes, &telemetry, stop).await });
        address
    }

    pub(crate) fn spans(&self, name: &str) -> Vec<SpanData> {
        self.sent.spans.lock().unwrap().iter().filter(|span| span.name == name).cloned().collect()
    }

    /// The only one of that name.
    pub(crate) fn span(&self, name: &str) -> SpanData {
        let mut spans = self.spans(name);
        assert_eq!(spans.len(), 1, "{name}: {spans:#?}");
        spans.remove(0)
    }

    /// Those of that name, once there are so many.
    pub(crate) async fn wait_for_spans(&self, name: &str, count: usize) -> Vec<SpanData> {
        self.sent.count.subscribe().wait_for(|_| self.spans(name).len() >= count).await.unwrap();
        self.spans(name)
    }

    pub(crate) fn logs(&self) -> Vec<SdkLogRecord> {
        self.sent.logs.lock().unwrap().clone()
    }

    pub(crate) fn event_names(&self) -> Vec<&'static str> {
        self.logs().iter().filter_map(SdkLogRecord::event_name).collect()
    }

    pub(crate) fn truth(&self) -> Truth {
        Truth::read(self.dir.path(), &SERVICES).unwrap()
    }

    /// One number of the database.
    pub(crate) fn number(&self, query: &str) -> i64 {
        self.database.query_row(query, [], |row| row.get(0)).unwrap()
    }

    /// What was taken of a stock.
    pub(crate) fn taken_of(&self, sku: &str) -> i64 {
        1_000_000 - self.number(&format!("SELECT quantity FROM stock WHERE sku = '{sku}'"))
    }
}

fn telemetry(sent: &Sent, clock: Clock) -> Telemetry {
    Telemetry::over(
        SdkTracerProvider::builder().with_simple_exporter(sent.clone()).build(),
        SdkLoggerProvider::builder().with_simple_exporter(sent.clone()).build(),
        SdkMeterProvider::builder().build(),
        clock,
    )
}

/// An order of two of one article.
pub(crate) fn order(id: &str, kind: &str, article: &str) -> NewOrder {
    NewOrder {
        order_id: id.to_owned(),
        kind: kind.to_owned(),
        channel: "web".to_owned(),
        articles: vec![OrderedArticle { article: article.to_owned(), quantity: 2 }],
        greeting: None,
    }
}

pub(crate) fn attribute(span: &SpanData, name: &str) -> Option<String> {
    span.attributes.iter().find(|attribute| attribute.key.as_str() == name).map(|found| found.value.to_string())
}

/// Posts JSON and returns the status.
pub(crate) async fn post(url: String, body: serde_json::Value) -> u16 {
    ask(move |agent| agent.post(url).send_json(body)).await
}

pub(crate) async fn ask(
    asked: impl FnOnce(&ureq::Agent) -> Result<ureq::http::Response<ureq::Body>, ureq::Error> + Send + 'static,
) -> u16 {
    http::blocking(move || asked(&http::agent(None)).unwrap().status().as_u16()).await.unwrap()
}
