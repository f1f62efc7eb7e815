//! Payments: checks who is asking, has the card's issuer agree, and writes the payment down.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use opentelemetry::logs::Severity;
use opentelemetry::trace::{SpanKind, TraceContextExt};
use opentelemetry::{Context, KeyValue};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::Error;
use crate::config::{PAYMENTS, Payments, ServiceConfig};
use crate::database::{Ledger, Named};
use crate::event::GIFT_CARD;
use crate::http::{self, Health, blocking};
use crate::service::Stop;
use crate::telemetry::{Event, Telemetry};
use crate::token::Token;
use crate::truth::{Deed, TruthFile};

#[derive(Deserialize)]
struct Request {
    order_id: String,
    method: String,
}

struct Till {
    telemetry: Telemetry,
    truth: TruthFile,
    named: Named,
    books: Mutex<Books>,
    settings: Payments,
}

/// Where payments are written down.
struct Books {
    ledger: Box<dyn Ledger>,
    written: u64,
}

pub(crate) async fn serve(
    config: &ServiceConfig,
    own: &Payments,
    telemetry: &Telemetry,
    stop: Stop,
) -> Result<(), Error> {
    let (config, own, theirs) = (config.clone(), own.clone(), telemetry.clone());
    let routes = blocking(move || routes(&config, &own, &theirs)).await??;
    http::serve(routes, telemetry, stop).await
}

pub(crate) fn routes(config: &ServiceConfig, own: &Payments, telemetry: &Telemetry) -> Result<Router, Error> {
    let ledger = config.site().ledger()?;
    let till = Till {
        telemetry: telemetry.clone(),
        truth: TruthFile::open(&config.run_dir, PAYMENTS)?,
        named: ledger.named(),
        books: Mutex::new(Books { ledger, written: 0 }),
        settings: own.clone(),
    };
    Ok(Router::new().route("/payments", post(pay)).route("/healthz", get(health)).with_state(Arc::new(till)))
}

async fn pay(
    State(till): State<Arc<Till>>,
    Extension(context): Extension<Context>,
    headers: HeaderMap,
    Json(request): Json<Request>,
) -> (StatusCode, Json<Value>) {
    context.span().set_attributes([
        KeyValue::new("order.id", request.order_id.clone()),
        KeyValue::new("payment.method", request.method.clone()),
    ]);
    let authorization = headers.get("authorization").and_then(|value| value.to_str().ok());
    let leeway_ms = till.settings.token_leeway_ms;
    if let Err(refused) = Token::check(authorization, till.telemetry.clock.now_ms(), leeway_ms) {
        let reason = refused.reason();
        // No error of this service's, and so the span's status is left alone.
        context.span().set_attribute(KeyValue::new("error.type", reason));
        let event = Event {
            name: "auth.token.rejected",
            severity: Severity::Warn,
            body: format!("a token was not accepted: {reason}"),
            attributes: vec![("reason", reason), ("order.id", &request.order_id)],
        };
        till.telemetry.emit(event, &context);
        let _told = till.truth.record(&Deed::TokenRefused { order: request.order_id });
        return (StatusCode::UNAUTHORIZED, Json(json!({ "error": reason })));
    }
    till.authorize(&request.method, &context).await;
    match blocking(move || till.write_down(&request, &context)).await {
        Ok(Ok(())) => (StatusCode::CREATED, Json(json!({ "paid": true }))),
        Ok(Err(_)) | Err(_) => {
            (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "error": "the payment could not be written" })))
        }
    }
}

async fn health(State(till): State<Arc<Till>>) -> Result<Json<Health>, StatusCode> {
    let tries_to_write = till.settings.health_tries_to_write;
    let answered = blocking(move || {
        let mut books = till.books.lock().unwrap_or_else(PoisonError::into_inner);
        books.answer(tries_to_write)
    });
    answered
        .await
        .and_then(|answered| answered)
        .map(|()| Health::pass(None))
        .map_err(|_| StatusCode::SERVICE_UNAVAILABLE)
}

impl Till {
    /// Asks the card's issuer, who is not part of the demo: only the time it takes is.
    async fn authorize(&self, method: &str, context: &Context) {
        let span = self.telemetry.span("authorize", SpanKind::Internal, Vec::new(), context);
        if method == GIFT_CARD && self.settings.gift_card_ms > 0 {
            self.telemetry.clock.pause(Duration::from_millis(self.settings.gift_card_ms)).await;
        }
        self.telemetry.end(&span);
    }

    fn write_down(&self, request: &Request, context: &Context) -> Result<(), Error> {
        let span = self.telemetry.query(&self.named, "INSERT", "payments", context);
        let mut books = self.books.lock().unwrap_or_else(PoisonError::into_inner);
        let written = books.write(request, self.settings.fails_over_after);
        drop(books);
        self.telemetry.end_write(&span, written.as_ref().map(|rows| *rows));
        match written {
            Ok(_) => {
                self.telemetry.emit_done("payment.authorized", Some(&request.order_id), context);
                Ok(())
            }
            // The fault: the issuer has agreed, and so the customer is told that all is well.
            Err(_) if self.settings.ignores_write_errors => {
                self.truth.record(&Deed::Unpaid { order: request.order_id.clone() })
            }
            Err(error) => Err(error),
        }
    }
}

impl Books {
    /// Returns the rows written.
    fn write(&mut self, request: &Request, fails_over_after: Option<u64>) -> Result<u64, Error> {
        if fails_over_after == Some(self.written) {
            // The server that took over is a replica.
            self.ledger.fail_over()?;
        }
        let rows = self.ledger.write(&request.order_id, &request.method)?;
        self.written += 1;
        Ok(rows)
    }

    fn answer(&mut self, tries_to_write: bool) -> Result<(), Error> {
        if tries_to_write {
            self.ledger.try_to_write()?;
        }
        self.ledger.read()
    }
}

#[cfg(test)]
mod tests;
