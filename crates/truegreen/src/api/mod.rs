//! The API on the web port: JSON under `/api/v1`, health checks, metrics. Errors are `{error, hint}`.

mod changes;
pub(crate) mod dead_letters;
mod healthz;
mod incidents;
mod learned;
mod prometheus;
mod systems;

use std::collections::BTreeMap;

use axum::extract::{Path, Query, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::json;
use truegreen_engine::Engine;
use truegreen_model::report::{FindingReport, MinuteReport};

use crate::explaining;
use crate::learning;
use crate::lookup;
use crate::run_loop::Unavailable;
use crate::server::Seen;
pub(crate) use systems::known;

/// The description of this API.
const OPENAPI: &str = include_str!("openapi.json");

/// Everything under `/api/v1`, `/metrics`, `/healthz`, `/livez` and `/readyz`.
pub fn router(seen: Seen) -> Router {
    Router::new()
        .route("/api/v1/openapi.json", get(openapi))
        .route("/api/v1/report", get(report))
        .route("/api/v1/flows", get(flows))
        .route("/api/v1/books", get(books))
        .route("/api/v1/findings", get(findings))
        .route("/api/v1/services", get(services))
        .route("/api/v1/map", get(map))
        .route("/api/v1/blindspots", get(blind_spots))
        .route("/api/v1/journeys/{flow}/{key}", get(journeys))
        .route("/api/v1/trace/{asked}", get(trace))
        .route("/api/v1/changes", get(changes::list).post(changes::report))
        .route("/api/v1/learn", get(learned::learn))
        .route("/api/v1/learned", get(learned::in_force))
        .route("/api/v1/learned/{flow}", delete(learned::forget))
        .route("/api/v1/probes", get(systems::probes))
        .route("/api/v1/claims", get(systems::claims))
        .route("/api/v1/dead-letters", get(dead_letters::list))
        .route("/api/v1/dead-letters/groups", get(dead_letters::groups))
        .route("/api/v1/dead-letters/{system}/{place}/{id}", get(dead_letters::letter))
        .route("/api/v1/incidents", get(incidents::list).post(incidents::open))
        .route("/api/v1/incidents/{id}", get(incidents::show))
        .route("/api/v1/incidents/{id}/export", get(incidents::export))
        .route("/api/v1/incidents/{id}/affected", get(incidents::affected))
        .route("/api/v1/incidents/{id}/notes", post(incidents::note))
        .route("/api/v1/incidents/{id}/hypotheses", post(incidents::hypothesis))
        .route("/api/v1/incidents/{id}/actions", post(incidents::action))
        .route("/api/v1/incidents/{id}/findings", post(incidents::finding))
        .route("/api/v1/incidents/{id}/diagnosis", post(incidents::diagnosis))
        .route("/api/v1/incidents/{id}/close", post(incidents::close))
        .route("/api/v1/findings/{id}/diagnosis", get(diagnosis))
        .route("/api/v1/findings/{id}/recurrence", get(incidents::recurrence))
        .route("/api/{*path}", get(unknown))
        .route("/metrics", get(prometheus::metrics))
        .route("/healthz", get(healthz::healthz))
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .with_state(seen)
}

/// What went wrong, and how to mend it.
pub(crate) struct Problem {
    status: StatusCode,
    error: String,
    hint: String,
}

impl Problem {
    fn not_found(error: String, hint: impl Into<String>) -> Problem {
        Problem { status: StatusCode::NOT_FOUND, error, hint: hint.into() }
    }
}

impl From<Unavailable> for Problem {
    fn from(error: Unavailable) -> Problem {
        let hint = "the server is busy or stopping; /readyz says when it is back".to_owned();
        Problem { status: StatusCode::SERVICE_UNAVAILABLE, error: error.to_string(), hint }
    }
}

impl From<lookup::Error> for Problem {
    fn from(error: lookup::Error) -> Problem {
        match error {
            lookup::Error::UnknownFlow(flow) => unknown_flow(&flow),
            lookup::Error::TooLong => Problem::not_found(error.to_string(), "no key is that long"),
            lookup::Error::Unavailable(error) => error.into(),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = Json(json!({"error": self.error, "hint": self.hint})).into_response();
        *response.status_mut() = self.status;
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

async fn openapi() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], OPENAPI).into_response()
}

async fn report(State(seen): State<Seen>) -> Result<Response, Problem> {
    let mut report = seen.run.ask(Engine::report).await?;
    seen.explaining.tell(&mut report.findings);
    Ok(Json(report).into_response())
}

#[derive(Serialize)]
struct FlowSummary {
    name: String,
    description: String,
    health: String,
    is_learned: bool,
    steps: Vec<String>,
    exits: Vec<String>,
}

async fn flows(State(seen): State<Seen>) -> Result<Response, Problem> {
    let flows = seen.run.ask(summaries).await?;
    Ok(Json(json!({ "flows": flows })).into_response())
}

fn summaries(engine: &Engine) -> Vec<FlowSummary> {
    let report = engine.report();
    let summary = |flow: &truegreen_model::flow::Flow| FlowSummary {
        name: flow.name.clone(),
        description: flow.description.clone(),
        health: report.flows.get(&flow.name).map(|books| books.health.clone()).unwrap_or_default(),
        is_learned: learning::is_learned(flow),
        steps: flow.steps.iter().map(|step| step.name.clone()).collect(),
        exits: flow.exits.iter().map(|exit| exit.name.clone()).collect(),
    };
    engine.flows().map(summary).collect()
}

#[derive(Deserialize)]
struct ByFlow {
    flow: Option<String>,
}

async fn books(State(seen): State<Seen>, Query(wanted): Query<ByFlow>) -> Result<Response, Problem> {
    let one = wanted.flow.clone();
    let books = seen.run.ask(move |engine| minutes(engine, one.as_deref())).await?;
    match wanted.flow {
        Some(flow) if books.is_empty() => Err(unknown_flow(&flow)),
        _ => Ok(Json(json!({ "flows": books })).into_response()),
    }
}

/// The books by minute, of one flow or all.
pub(crate) fn minutes(engine: &Engine, one: Option<&str>) -> BTreeMap<String, Vec<MinuteReport>> {
    let names = engine.flows().map(|flow| flow.name.clone());
    let wanted = names.filter(|name| one.is_none_or(|one| one == name));
    wanted.filter_map(|name| engine.minutes(&name).map(|minutes| (name, minutes))).collect()
}

#[derive(Deserialize)]
struct WhichFindings {
    flow: Option<String>,
    status: Option<String>,
}

async fn diagnosis(State(seen): State<Seen>, Path(id): Path<String>) -> Result<Response, Problem> {
    let made = seen.explaining.diagnosis(&id).await.map_err(|error| {
        let (status, hint) = match &error {
            explaining::Error::Unknown(_) => {
                (StatusCode::NOT_FOUND, "/api/v1/findings lists them; old ones are forgotten")
            }
            explaining::Error::Unavailable(_) => (StatusCode::SERVICE_UNAVAILABLE, "/readyz says when it is back"),
            explaining::Error::Broken(_) => {
                (StatusCode::INTERNAL_SERVER_ERROR, "the server's log says what went wrong")
            }
        };
        Problem { status, error: error.to_string(), hint: hint.to_owned() }
    })?;
    Ok(Json(&*made).into_response())
}

async fn findings(State(seen): State<Seen>, Query(wanted): Query<WhichFindings>) -> Result<Response, Problem> {
    let mut findings = seen.run.ask(Engine::report).await?.findings;
    let fits = |finding: &FindingReport| {
        wanted.flow.as_ref().is_none_or(|flow| *flow == finding.flow)
            && wanted.status.as_ref().is_none_or(|status| *status == finding.status)
    };
    findings.retain(fits);
    seen.explaining.tell(&mut findings);
    Ok(Json(json!({ "findings": findings })).into_response())
}

async fn services(State(seen): State<Seen>) -> Result<Response, Problem> {
    let services = seen.run.ask(Engine::services).await?;
    Ok(Json(json!({ "services": services })).into_response())
}

async fn map(State(seen): State<Seen>) -> Result<Response, Problem> {
    Ok(Json(seen.run.ask(Engine::map).await?).into_response())
}

async fn blind_spots(State(seen): State<Seen>) -> Result<Response, Problem> {
    let spots = seen.run.ask(Engine::blind_spots).await?;
    Ok(Json(json!({ "blind_spots": spots })).into_response())
}

async fn journeys(State(seen): State<Seen>, Path((flow, key)): Path<(String, String)>) -> Result<Response, Problem> {
    let asked = (flow.clone(), key.clone());
    let (known, journeys, services) = seen
        .run
        .ask(move |engine| {
            let known = engine.flows().any(|flow| flow.name == asked.0);
            (known, engine.journeys_of(&asked.0, &asked.1), engine.services())
        })
        .await?;
    if !known {
        return Err(unknown_flow(&flow));
    }
    if journeys.is_empty() {
        let hint = "keys are matched exactly, and ended journeys are forgotten after `retention`";
        return Err(Problem::not_found(format!("no journey of key {key:?} in flow {flow:?}"), hint));
    }
    let gaps = seen.lookup.gaps(&journeys, &services);
    Ok(Json(json!({ "journeys": journeys, "gaps": gaps })).into_response())
}

/// Where a key is followed, in the query of a URL.
#[derive(Deserialize, Default)]
pub(crate) struct Following {
    flow: Option<String>,
    ask: Option<String>,
}

impl Following {
    /// Whether systems are to be asked as well; nothing where it cannot be told.
    pub(crate) fn asks(&self) -> Option<bool> {
        match self.ask.as_deref() {
            None | Some("true" | "1" | "") => Some(true),
            Some("false" | "0") => Some(false),
            Some(_) => None,
        }
    }
}

async fn trace(
    State(seen): State<Seen>,
    Path(asked): Path<String>,
    Query(wanted): Query<Following>,
) -> Result<Response, Problem> {
    let Some(asks) = wanted.asks() else {
        let (error, hint) = ("`ask` is neither true nor false".to_owned(), "ask=false leaves systems alone".to_owned());
        return Err(Problem { status: StatusCode::BAD_REQUEST, error, hint });
    };
    let report = seen.lookup.trace(asked.clone(), wanted.flow, asks).await?;
    if !lookup::is_empty(&report) {
        return Ok(Json(report).into_response());
    }
    let mut hint = "keys, trace ids and message ids are matched exactly, and what is older than `data.max_age` is \
                    dropped"
        .to_owned();
    for note in &report.notes {
        hint.push_str("; ");
        hint.push_str(note);
    }
    for answer in &report.answers {
        hint.push_str(&format!("; {}: {}", answer.system, answer.says));
    }
    Err(Problem::not_found(format!("nothing is known of {asked:?}"), hint))
}

fn unknown_flow(flow: &str) -> Problem {
    Problem::not_found(format!("no flow is called {flow:?}"), "/api/v1/flows lists them")
}

async fn unknown(Path(path): Path<String>) -> Problem {
    Problem::not_found(format!("nothing is at /api/{path}"), "/api/v1/openapi.json lists what is")
}

async fn livez(State(seen): State<Seen>) -> Response {
    match seen.run.ask(|_| ()).await {
        Ok(()) => (StatusCode::OK, "alive\n").into_response(),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "the engine does not answer\n").into_response(),
    }
}

async fn readyz(State(seen): State<Seen>) -> Response {
    let why_not = match (seen.log.is_stopping(), seen.run.is_full(), seen.log.is_failing()) {
        (true, ..) => "stopping\n",
        (_, true, _) => "memory for journeys is full\n",
        (.., true) => "the log takes no writes\n",
        _ => return (StatusCode::OK, "ready\n").into_response(),
    };
    (StatusCode::SERVICE_UNAVAILABLE, why_not).into_response()
}
