//! Changes: reported here, and listed.

use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::{Query, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use http_body_util::BodyExt;
use serde::Deserialize;
use serde_json::json;
use truegreen_model::change::ChangeReport;
use truegreen_model::time::Timestamp;

use super::Problem;
use crate::changes::{MAX_BODY_BYTES, Refused, field, read, shown, time};
use crate::clock::wall_clock;
use crate::quantity;
use crate::server::Seen;

/// Longest time that a body may take to arrive.
const PATIENCE: Duration = Duration::from_secs(30);
/// How much more than is taken is read of a body that is too large: who is cut off while it writes never reads why.
const DISCARD_FACTOR: usize = 8;

/// What a sender whose payload cannot be shaped puts into the address instead.
#[derive(Deserialize, Default)]
pub(super) struct Given {
    service: Option<String>,
    environment: Option<String>,
}

pub(super) async fn report(
    State(seen): State<Seen>,
    Query(given): Query<Given>,
    request: Request,
) -> Result<Response, Problem> {
    let (head, body) = request.into_parts();
    let Ok(received) = tokio::time::timeout(PATIENCE, receive(body)).await else {
        seen.metrics.refused_changes.add("slow_body", 1);
        let (error, hint) = ("the body did not arrive in time".to_owned(), "try again".to_owned());
        return Err(Problem { status: StatusCode::SERVICE_UNAVAILABLE, error, hint });
    };
    let bytes = match received {
        Ok(Some(bytes)) => bytes,
        Ok(None) => {
            seen.metrics.refused_changes.add("oversized", 1);
            let error = format!("the body is larger than {}", quantity::show_bytes(MAX_BODY_BYTES));
            let hint = "send fewer changes at once".to_owned();
            return Err(Problem { status: StatusCode::PAYLOAD_TOO_LARGE, error, hint });
        }
        Err(_) => {
            seen.metrics.refused_changes.add("interrupted", 1);
            let (error, hint) = ("the body broke off".to_owned(), "send it again".to_owned());
            return Err(Problem { status: StatusCode::BAD_REQUEST, error, hint });
        }
    };
    let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let told = read(&header, &bytes, wall_clock()).map_err(|refused| {
        seen.metrics.refused_changes.add(refused.reason(), 1);
        let status = match refused {
            Refused::ContentType(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Refused::Malformed(_) => StatusCode::BAD_REQUEST,
            Refused::TooMany(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Refused::Lacks(_) => StatusCode::UNPROCESSABLE_ENTITY,
        };
        Problem { status, error: refused.to_string(), hint: refused.hint().to_owned() }
    })?;
    let mut changes = told.changes;
    for change in &mut changes {
        if let Some(service) = given.service.as_deref().filter(|service| !service.is_empty()) {
            change.service = Some(field::clipped(service, field::MAX_TEXT));
        }
        if let Some(environment) = given.environment.as_deref().filter(|environment| !environment.is_empty()) {
            change.environment = Some(field::clipped(environment, field::MAX_TEXT));
        }
    }
    let ids: Vec<String> = changes.iter().map(|change| change.id.clone()).collect();
    if !changes.is_empty() {
        seen.log.changed(changes).await.map_err(|not_taken| {
            seen.metrics.refused_changes.add(not_taken.refusal.reason(), 1);
            let hint = "try again".to_owned();
            Problem { status: not_taken.refusal.http_status(), error: not_taken.refusal.message(), hint }
        })?;
    }
    seen.metrics.accepted_changes.add(ids.len() as u64);
    let ignored: Vec<String> = told.ignored.iter().map(|(_, why)| why.clone()).collect();
    told.ignored.iter().for_each(|(reason, _)| seen.metrics.ignored_changes.add(reason, 1));
    Ok((StatusCode::ACCEPTED, Json(json!({ "accepted": ids.len(), "ids": ids, "ignored": ignored }))).into_response())
}

#[derive(Deserialize, Default)]
pub(super) struct Wanted {
    since: Option<String>,
    until: Option<String>,
    service: Option<String>,
}

pub(super) async fn list(State(seen): State<Seen>, Query(wanted): Query<Wanted>) -> Result<Response, Problem> {
    let since = moment(wanted.since.as_deref())?.unwrap_or(Timestamp(0));
    let until = moment(wanted.until.as_deref())?.unwrap_or(Timestamp::NEVER);
    let changes: Vec<ChangeReport> = seen
        .run
        .ask(move |engine| {
            let fits = |change: &&truegreen_model::change::Change| {
                change.at <= until
                    && change.until.unwrap_or(change.at) >= since
                    && wanted.service.as_ref().is_none_or(|service| change.service.as_ref() == Some(service))
            };
            engine.changes().filter(fits).map(shown::report).collect()
        })
        .await?;
    Ok(Json(json!({ "changes": changes })).into_response())
}

/// RFC 3339, or how long ago.
fn moment(text: Option<&str>) -> Result<Option<Timestamp>, Problem> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(None) };
    let ago = quantity::duration(text).ok().map(|ago| wall_clock() - ago);
    match ago.or_else(|| time::parse(text)) {
        Some(at) => Ok(Some(at)),
        None => Err(Problem {
            status: StatusCode::BAD_REQUEST,
            error: format!("`{text}` is no time"),
            hint: "RFC 3339, as 2026-01-31T10:00:00Z, or how long ago, as 2h".to_owned(),
        }),
    }
}

/// The body, or nothing where it is too large.
async fn receive(mut body: Body) -> Result<Option<Vec<u8>>, axum::Error> {
    let (mut bytes, mut seen) = (Vec::new(), 0_usize);
    while seen <= MAX_BODY_BYTES * DISCARD_FACTOR {
        let Some(frame) = body.frame().await else { break };
        let Ok(data) = frame?.into_data() else { continue };
        seen = seen.saturating_add(data.len());
        if seen <= MAX_BODY_BYTES {
            bytes.extend_from_slice(&data);
        }
    }
    Ok((seen <= MAX_BODY_BYTES).then_some(bytes))
}
