//! Pages for people on call, rendered here: no script, nothing from elsewhere, everything escaped by maud.

mod bars;
mod dead_letters;
mod finding;
pub(crate) mod host;
mod incidents;
mod journey;
mod map;
mod page;
mod systems;
mod waterfall;

use std::collections::BTreeMap;

use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use maud::{DOCTYPE, Markup, html};
use truegreen_model::incident::Recurrence;
use truegreen_model::passage::PassageReport;
use truegreen_model::report::{CounterReport, MinuteReport, Report, ServiceReport};

use crate::server::Seen;
use crate::{api, lookup};

const REFRESH_SECONDS: u32 = 10;
const STYLE: &str = include_str!("style.css");
const POLICY: &str =
    "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What the front page shows.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct View {
    /// Books and findings.
    pub report: Report,
    /// By flow, oldest minute first.
    pub minutes: BTreeMap<String, Vec<MinuteReport>>,
    /// What each flow promises, by flow.
    pub descriptions: BTreeMap<String, String>,
    /// Who is heard.
    pub services: Vec<ServiceReport>,
    /// Truegreen's own books (INV-DROP-1): what was refused, dropped or bounded, and why. Only what happened.
    pub own: Vec<CounterReport>,
    /// Whether systems are configured that are asked themselves.
    pub has_systems: bool,
    /// Whether letters can lie dead in any of them.
    pub has_dead_letters: bool,
    /// Whether an incident was ever opened.
    pub has_incidents: bool,
    /// The open incident of each finding that has one, by the finding's id.
    pub incidents: BTreeMap<String, String>,
    /// The earlier incident that each standing finding is most like, by the finding's id.
    pub earlier: BTreeMap<String, Recurrence>,
}

/// `/` and what it links to.
pub fn router(seen: Seen) -> Router {
    Router::new()
        .route("/", get(front))
        .route("/findings/{id}", get(finding::one))
        .route("/journeys/{flow}/{key}", get(journeys))
        .route("/trace/{asked}", get(trace))
        .route("/map", get(the_map))
        .route("/map.svg", get(picture))
        .route("/systems", get(the_systems))
        .route("/dead-letters", get(dead_letters::overview))
        .route("/dead-letters/{system}/{place}", get(dead_letters::place))
        .route("/dead-letters/{system}/{place}/{id}", get(dead_letters::letter))
        .route("/incidents", get(incidents::list))
        .route("/incidents/{id}", get(incidents::one))
        .route("/style.css", get(style))
        .fallback(not_found)
        .with_state(seen)
}

async fn front(State(seen): State<Seen>) -> Response {
    let view = seen.run.ask(|engine| View {
        report: engine.report(),
        minutes: api::minutes(engine, None),
        descriptions: engine.flows().map(|flow| (flow.name.clone(), flow.description.clone())).collect(),
        services: engine.services(),
        own: engine.counters(),
        ..View::default()
    });
    match view.await {
        Ok(mut view) => {
            seen.explaining.tell(&mut view.report.findings);
            view.own.extend(seen.metrics.losses());
            view.has_systems = seen.probes.systems().all().next().is_some();
            view.has_dead_letters = seen.desk.has_systems();
            view.has_incidents = !seen.incidents.is_empty();
            view.incidents = seen.incidents.by_finding();
            view.earlier = seen.incidents.earlier(&view.report.findings);
            // What was asked and answered is no loss.
            let is_work = |counter: &CounterReport| {
                matches!(
                    (&*counter.name, &*counter.reason),
                    ("questions", "asked") | ("answers", "there" | "not_there")
                )
            };
            view.own.retain(|counter| counter.value > 0 && !is_work(counter));
            document(StatusCode::OK, "Truegreen", Some(REFRESH_SECONDS), &page::body(&view))
        }
        Err(_) => unavailable(),
    }
}

async fn journeys(
    State(seen): State<Seen>,
    Path((flow, key)): Path<(String, String)>,
    Query(following): Query<api::Following>,
) -> Response {
    passage(&seen, key, Some(flow), &following).await
}

async fn trace(
    State(seen): State<Seen>,
    Path(asked): Path<String>,
    Query(following): Query<api::Following>,
) -> Response {
    passage(&seen, asked, None, &following).await
}

async fn passage(seen: &Seen, asked: String, flow: Option<String>, following: &api::Following) -> Response {
    let title = match &flow {
        Some(flow) => format!("{asked} in {flow}"),
        None => asked.clone(),
    };
    match seen.lookup.trace(asked.clone(), flow.clone(), following.asks().unwrap_or(true)).await {
        Ok(report) if lookup::is_empty(&report) => {
            document(StatusCode::NOT_FOUND, &title, None, &journey::nothing(&report, flow.as_deref(), &report.notes))
        }
        Ok(report) => document(StatusCode::OK, &title, None, &journey::body(&report, flow.as_deref())),
        Err(lookup::Error::Unavailable(_)) => unavailable(),
        Err(error) => {
            let why = [error.to_string()];
            let report = PassageReport { asked, ..PassageReport::default() };
            document(StatusCode::NOT_FOUND, &title, None, &journey::nothing(&report, flow.as_deref(), &why))
        }
    }
}

async fn the_map(State(seen): State<Seen>) -> Response {
    let Ok((map, spots)) = seen.run.ask(|engine| (engine.map(), engine.blind_spots())).await else {
        return unavailable();
    };
    // Drawing a large map takes a while.
    match tokio::task::spawn_blocking(move || map::body(&map, &spots)).await {
        Ok(body) => document(StatusCode::OK, "Where a failure could hide", None, &body),
        Err(_) => unavailable(),
    }
}

async fn picture(State(seen): State<Seen>) -> Response {
    let Ok((map, spots)) = seen.run.ask(|engine| (engine.map(), engine.blind_spots())).await else {
        return unavailable();
    };
    match tokio::task::spawn_blocking(move || map::svg(&map, &spots)).await {
        Ok(svg) => ([(header::CONTENT_TYPE, "image/svg+xml")], svg).into_response(),
        Err(_) => unavailable(),
    }
}

async fn the_systems(State(seen): State<Seen>) -> Response {
    let known = api::known(&seen).await;
    document(StatusCode::OK, "Systems asked themselves", Some(REFRESH_SECONDS), &systems::body(&known))
}

async fn style() -> Response {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], STYLE).into_response()
}

async fn not_found() -> Response {
    document(
        StatusCode::NOT_FOUND,
        "Not found",
        None,
        &html! {
            h1 { "Nothing is here." }
            p { a href="/" { "Back to the books" } }
        },
    )
}

fn unavailable() -> Response {
    document(
        StatusCode::SERVICE_UNAVAILABLE,
        "Truegreen",
        Some(REFRESH_SECONDS),
        &html! {
            h1 class="cannot-tell" { "CANNOT TELL: the engine does not answer." }
            p { "It is busy or stopping. This page tries again by itself." }
        },
    )
}

fn document(status: StatusCode, title: &str, refresh_seconds: Option<u32>, body: &Markup) -> Response {
    let text = whole(title, refresh_seconds, body).into_string();
    let mut response = (status, [(header::CONTENT_TYPE, "text/html; charset=utf-8")], text).into_response();
    let headers = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    for (name, value) in headers {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

fn whole(title: &str, refresh_seconds: Option<u32>, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                @if let Some(seconds) = refresh_seconds { meta http-equiv="refresh" content=(seconds); }
                title { (title) }
                link rel="stylesheet" href="/style.css";
            }
            body { main { (body) } }
        }
    }
}

/// The page of one journey.
fn journey_href(flow: &str, key: &str) -> String {
    format!("/journeys/{}/{}", encoded(flow), encoded(key))
}

/// The page of a key in all flows, of a trace, or of a message.
fn trace_href(asked: &str) -> String {
    format!("/trace/{}", encoded(asked))
}

fn encoded(text: &str) -> impl std::fmt::Display + '_ {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC)
}

/// `2026-01-02T03:04:05.678901234Z` to the second.
fn short_time(rfc3339: &str) -> String {
    match rfc3339.parse::<jiff::Timestamp>() {
        Ok(time) => time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
        Err(_) => rfc3339.to_owned(),
    }
}
