//! Returns: the rarely used side of the shop. A label of the carrier, people who fetch bulky goods, and a note of it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use opentelemetry::trace::SpanKind;
use opentelemetry::{Context, KeyValue};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::Desk;
use crate::Error;
use crate::config::Returns;
use crate::database::{Named, Shop};
use crate::event::{BUNDLE, FREIGHT, PARCEL};
use crate::http::blocking;
use crate::telemetry::Telemetry;
use crate::truth::{Deed, TruthFile};

/// People that bulky goods need, and that a parcel needs.
const FREIGHT_NEEDS: u32 = 2;
const PARCEL_NEEDS: u32 = 1;
/// People who fetch parcels.
const PARCEL_CREW: usize = 4;
/// How long to wait before a label is asked for again.
const LABEL_RETRY: Duration = Duration::from_millis(50);

#[derive(Deserialize)]
pub(super) struct Request {
    order_id: String,
}

/// How a return ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Returned {
    Registered { label: i64 },
    NoSuchOrder,
    NoLabel,
    NoCrew,
}

pub(super) struct ReturnsDesk {
    telemetry: Telemetry,
    named: Named,
    database: Arc<Mutex<Box<dyn Shop>>>,
    truth: Arc<TruthFile>,
    settings: Returns,
    parcel_crew: Semaphore,
    freight_crew: Semaphore,
}

pub(super) async fn register(
    State(desk): State<Arc<Desk>>,
    Extension(context): Extension<Context>,
    Json(request): Json<Request>,
) -> (StatusCode, Json<Value>) {
    // A task of its own: what was begun is brought to its end even if the caller goes away.
    let handled = tokio::spawn(async move { desk.returns.handle(&request.order_id, &context).await });
    match handled.await {
        Ok(Ok(Returned::Registered { label })) => (StatusCode::CREATED, Json(json!({ "label": label }))),
        Ok(Ok(Returned::NoSuchOrder)) => (StatusCode::NOT_FOUND, Json(json!({ "error": "there is no such order" }))),
        Ok(Ok(Returned::NoLabel)) => (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "error": "there is no label" }))),
        Ok(Ok(Returned::NoCrew)) => (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "error": "nobody can fetch it" }))),
        Ok(Err(_)) | Err(_) => (StatusCode::INTERNAL_SERVER_ERROR, Json(json!({ "error": "it could not be written" }))),
    }
}

impl ReturnsDesk {
    pub(super) fn new(
        telemetry: &Telemetry,
        named: Named,
        database: Arc<Mutex<Box<dyn Shop>>>,
        truth: Arc<TruthFile>,
        settings: Returns,
    ) -> ReturnsDesk {
        ReturnsDesk {
            telemetry: telemetry.clone(),
            named,
            database,
            truth,
            parcel_crew: Semaphore::new(PARCEL_CREW),
            freight_crew: Semaphore::new(settings.freight_crew as usize),
            settings,
        }
    }

    pub(super) async fn handle(&self, order: &str, context: &Context) -> Result<Returned, Error> {
        self.truth.record(&Deed::ReturnBegun { order: order.to_owned() })?;
        let returned = self.take_back(order, context).await?;
        self.truth.record(&Deed::ReturnEnded { order: order.to_owned() })?;
        Ok(returned)
    }

    async fn take_back(&self, order: &str, context: &Context) -> Result<Returned, Error> {
        let Some(kind) = self.kind_of(order, context).await? else { return Ok(Returned::NoSuchOrder) };
        let carrier = if kind == BUNDLE { FREIGHT } else { PARCEL };
        let Some(label) = self.label(carrier, context).await? else { return Ok(Returned::NoLabel) };
        if !self.book_pickup(carrier, context).await {
            return Ok(Returned::NoCrew);
        }
        self.note(order, carrier, label, context).await?;
        self.telemetry.emit_done("return.registered", Some(order), context);
        Ok(Returned::Registered { label })
    }

    async fn kind_of(&self, order: &str, context: &Context) -> Result<Option<String>, Error> {
        let span = self.telemetry.query(&self.named, "SELECT", "orders", context);
        let order = order.to_owned();
        let found = self.on_database(move |database| database.kind_of(&order)).await;
        self.telemetry.end_read(&span, found.as_ref().map(|kind| u64::from(kind.is_some())));
        found
    }

    /// The next free label. There may be none at the moment, so it is asked for again; without a limit, for ever.
    async fn label(&self, carrier: &'static str, context: &Context) -> Result<Option<i64>, Error> {
        let asked_of = if carrier == FREIGHT { self.settings.freight_carrier.clone() } else { carrier.to_owned() };
        let mut attempts = 0;
        loop {
            attempts += 1;
            if let Some(label) = self.next_label(asked_of.clone(), context).await? {
                return Ok(Some(label));
            }
            if self.settings.label_attempts.is_some_and(|most| attempts >= most) {
                return Ok(None);
            }
            self.telemetry.clock.pause(LABEL_RETRY).await;
        }
    }

    async fn next_label(&self, carrier: String, context: &Context) -> Result<Option<i64>, Error> {
        let span = self.telemetry.query(&self.named, "UPDATE", "labels", context);
        let label = self.on_database(move |database| database.next_label(&carrier)).await;
        self.telemetry.end_write(&span, label.as_ref().map(|label| u64::from(label.is_some())));
        label
    }

    /// Whether somebody will fetch it. Without a limit of time it is waited for those who are needed, for ever if
    /// there are not as many.
    async fn book_pickup(&self, carrier: &'static str, context: &Context) -> bool {
        let attributes = vec![KeyValue::new("return.carrier", carrier)];
        let span = self.telemetry.span("book pickup", SpanKind::Internal, attributes, context);
        let (crew, needed) = match carrier == FREIGHT {
            true => (&self.freight_crew, FREIGHT_NEEDS),
            false => (&self.parcel_crew, PARCEL_NEEDS),
        };
        let booked = match self.settings.crew_timeout_ms {
            None => crew.acquire_many(needed).await.is_ok(),
            Some(timeout_ms) => tokio::select! {
                booked = crew.acquire_many(needed) => booked.is_ok(),
                () = self.telemetry.clock.pause(Duration::from_millis(timeout_ms)) => false,
            },
        };
        match booked {
            true => self.telemetry.end(&span),
            false => self.telemetry.end_failed(&span, "timeout", format!("{needed} people are not there")),
        }
        booked
    }

    async fn note(&self, order: &str, carrier: &'static str, label: i64, context: &Context) -> Result<(), Error> {
        let span = self.telemetry.query(&self.named, "INSERT", "returns", context);
        let order = order.to_owned();
        let noted = self.on_database(move |database| database.note_return(&order, carrier, label)).await;
        self.telemetry.end_write(&span, noted.as_ref().map(|rows| *rows));
        noted.map(drop)
    }

    async fn on_database<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut dyn Shop) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let database = Arc::clone(&self.database);
        blocking(move || work(&mut **database.lock().unwrap_or_else(PoisonError::into_inner))).await?
    }
}
