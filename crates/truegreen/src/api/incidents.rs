//! Incidents, read and written. Whoever reaches this port may write; browsers of others may not, since what is sent must be
//! `application/json`, for which they ask first and are not answered.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::Value;
use truegreen_model::incident::{Affected, How, Incident};

use super::Problem;
use crate::clock::wall_clock;
use crate::incidents::record::{Change, Stamp};
use crate::incidents::{Error, Opening, postmortem};
use crate::lookup::when;
use crate::server::Seen;

impl From<Error> for Problem {
    fn from(error: Error) -> Problem {
        use crate::incidents::record::Error as Wrong;
        let (status, hint) = match &error {
            Error::Unknown(_) => (StatusCode::NOT_FOUND, "/api/v1/incidents lists them"),
            Error::UnknownFinding(_) => (StatusCode::NOT_FOUND, "/api/v1/findings lists them; old ones are forgotten"),
            Error::Record(Wrong::Empty | Wrong::TooLong) => (StatusCode::BAD_REQUEST, "say it in a few words"),
            Error::Record(Wrong::NotThere(..)) => (StatusCode::NOT_FOUND, "the incident lists what it has"),
            Error::Record(Wrong::Full(..)) => (StatusCode::CONFLICT, "close it, and open another one"),
            Error::Record(Wrong::Closed(..)) => {
                (StatusCode::CONFLICT, "only one that is patched can be closed again, as fixed")
            }
            Error::Shelf(_) => {
                (StatusCode::INSUFFICIENT_STORAGE, "look at the folder `incidents` of the data, and at its disk")
            }
            Error::Unavailable(_) => (StatusCode::SERVICE_UNAVAILABLE, "/readyz says when it is back"),
        };
        Problem { status, error: error.to_string(), hint: hint.to_owned() }
    }
}

fn bad(error: String, hint: &str) -> Problem {
    Problem { status: StatusCode::BAD_REQUEST, error, hint: hint.to_owned() }
}

/// What was sent, or what is wrong with it.
fn sent<T>(body: Result<Json<T>, JsonRejection>) -> Result<T, Problem> {
    let hint = "send an object as application/json; /api/v1/openapi.json describes it";
    body.map(|Json(body)| body).map_err(|rejection| Problem {
        status: rejection.status(),
        error: rejection.body_text(),
        hint: hint.to_owned(),
    })
}

fn stamp(by: Option<&str>) -> Stamp {
    Stamp::new(by.unwrap_or_default(), when::rfc3339(wall_clock()))
}

#[derive(Deserialize)]
pub(super) struct Wanted {
    state: Option<String>,
}

pub(super) async fn list(State(seen): State<Seen>, Query(wanted): Query<Wanted>) -> Response {
    let mut list = seen.incidents.list();
    list.incidents.retain(|one| wanted.state.as_deref().is_none_or(|state| one.state.name() == state));
    Json(list).into_response()
}

pub(super) async fn show(State(seen): State<Seen>, Path(id): Path<String>) -> Result<Json<Incident>, Problem> {
    Ok(Json(seen.incidents.get(&id).await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Opened {
    finding: String,
    title: Option<String>,
    diagnosis: Option<Value>,
    by: Option<String>,
}

pub(super) async fn open(
    State(seen): State<Seen>,
    body: Result<Json<Opened>, JsonRejection>,
) -> Result<Response, Problem> {
    let Opened { finding, title, diagnosis, by } = sent(body)?;
    let opening = Opening { finding, title, diagnosis };
    let (incident, is_new) = seen.incidents.open_from(opening, stamp(by.as_deref())).await?;
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(incident)).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Noted {
    text: String,
    by: Option<String>,
}

pub(super) async fn note(
    State(seen): State<Seen>,
    Path(id): Path<String>,
    body: Result<Json<Noted>, JsonRejection>,
) -> Result<Json<Incident>, Problem> {
    let Noted { text, by } = sent(body)?;
    Ok(Json(seen.incidents.change(&id, Change::Note(text), stamp(by.as_deref())).await?))
}

/// A hypothesis, or what speaks for or against one.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Supposed {
    text: Option<String>,
    on: Option<u32>,
    #[serde(rename = "for")]
    supports: Option<String>,
    against: Option<String>,
    by: Option<String>,
}

pub(super) async fn hypothesis(
    State(seen): State<Seen>,
    Path(id): Path<String>,
    body: Result<Json<Supposed>, JsonRejection>,
) -> Result<Json<Incident>, Problem> {
    let Supposed { text, on, supports, against, by } = sent(body)?;
    let change = match (text, on, supports, against) {
        (Some(text), None, None, None) => Change::Hypothesis(text),
        (None, Some(on), Some(text), None) => Change::For(on, text),
        (None, Some(on), None, Some(text)) => Change::Against(on, text),
        _ => {
            let hint = "send {\"text\": ..}, or {\"on\": 1, \"for\": ..}, or {\"on\": 1, \"against\": ..}";
            return Err(bad("it is neither a hypothesis nor evidence on one".to_owned(), hint));
        }
    };
    Ok(Json(seen.incidents.change(&id, change, stamp(by.as_deref())).await?))
}

/// An action, or that one is done.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Planned {
    text: Option<String>,
    owner: Option<String>,
    done: Option<u32>,
    by: Option<String>,
}

pub(super) async fn action(
    State(seen): State<Seen>,
    Path(id): Path<String>,
    body: Result<Json<Planned>, JsonRejection>,
) -> Result<Json<Incident>, Problem> {
    let Planned { text, owner, done, by } = sent(body)?;
    let change = match (text, done) {
        (Some(text), None) => Change::Action(text, owner.unwrap_or_default()),
        (None, Some(done)) => Change::Done(done),
        _ => {
            return Err(bad(
                "it is neither an action nor one that is done".to_owned(),
                "send {\"text\": ..} or {\"done\": 1}",
            ));
        }
    };
    Ok(Json(seen.incidents.change(&id, change, stamp(by.as_deref())).await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Added {
    finding: String,
    by: Option<String>,
}

pub(super) async fn finding(
    State(seen): State<Seen>,
    Path(id): Path<String>,
    body: Result<Json<Added>, JsonRejection>,
) -> Result<Json<Incident>, Problem> {
    let Added { finding, by } = sent(body)?;
    Ok(Json(seen.incidents.add_finding(&id, &finding, stamp(by.as_deref())).await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Diagnosed {
    diagnosis: Option<Value>,
    by: Option<String>,
}

pub(super) async fn diagnosis(
    State(seen): State<Seen>,
    Path(id): Path<String>,
    body: Result<Json<Diagnosed>, JsonRejection>,
) -> Result<Json<Incident>, Problem> {
    let Diagnosed { diagnosis, by } = sent(body)?;
    Ok(Json(seen.incidents.diagnose(&id, diagnosis, stamp(by.as_deref())).await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Closed {
    how: How,
    what: String,
    by: Option<String>,
}

pub(super) async fn close(
    State(seen): State<Seen>,
    Path(id): Path<String>,
    body: Result<Json<Closed>, JsonRejection>,
) -> Result<Json<Incident>, Problem> {
    let Closed { how, what, by } = sent(body)?;
    Ok(Json(seen.incidents.change(&id, Change::Closed(how, what), stamp(by.as_deref())).await?))
}

#[derive(Deserialize)]
pub(super) struct Format {
    format: Option<String>,
}

pub(super) async fn export(
    State(seen): State<Seen>,
    Path(id): Path<String>,
    Query(asked): Query<Format>,
) -> Result<Response, Problem> {
    let incident = seen.incidents.get(&id).await?;
    let document = || postmortem::document(&incident, &when::rfc3339(wall_clock()));
    match asked.format.as_deref().unwrap_or("md") {
        "md" => Ok(as_file("text/markdown; charset=utf-8", &format!("{id}.md"), document().markdown())),
        "html" => Ok(as_file("text/html; charset=utf-8", &format!("{id}.html"), document().html())),
        "json" => Ok(Json(incident).into_response()),
        other => Err(bad(format!("nothing is exported as {other:?}"), "md, html or json")),
    }
}

pub(super) async fn affected(
    State(seen): State<Seen>,
    Path(id): Path<String>,
    Query(asked): Query<Format>,
) -> Result<Response, Problem> {
    let affected = seen.incidents.affected(&id).await?;
    let broken = |error: &dyn std::fmt::Display| Problem {
        status: StatusCode::INTERNAL_SERVER_ERROR,
        error: error.to_string(),
        hint: "?format=json".to_owned(),
    };
    match asked.format.as_deref().unwrap_or("json") {
        "json" => Ok(Json(affected).into_response()),
        "csv" => {
            let text = csv(&affected).map_err(|error| broken(&error))?;
            Ok(as_file("text/csv; charset=utf-8", &format!("{id}-affected.csv"), text))
        }
        "ndjson" => {
            let lines: Result<Vec<String>, _> = affected.keys.iter().map(serde_json::to_string).collect();
            let mut text = lines.map_err(|error| broken(&error))?.join("\n");
            text.push('\n');
            Ok(as_file("application/x-ndjson", &format!("{id}-affected.ndjson"), text))
        }
        other => Err(bad(format!("nothing is exported as {other:?}"), "json, csv or ndjson")),
    }
}

/// By the rules of RFC 4180, with a row of names first. What a table program would take for a formula is quoted as a text.
fn csv(affected: &Affected) -> Result<String, csv::Error> {
    let mut rows = csv::Writer::from_writer(Vec::new());
    rows.write_record(["flow", "key", "entered_at", "verdict", "reason", "after"])?;
    for key in &affected.keys {
        let fields = [
            &key.flow,
            &key.key,
            &key.entered_at,
            &key.verdict,
            key.reason.as_deref().unwrap_or_default(),
            key.after.as_deref().unwrap_or_default(),
        ];
        rows.write_record(fields.map(no_formula))?;
    }
    let bytes = rows.into_inner().map_err(|error| csv::Error::from(std::io::Error::other(error.to_string())))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn no_formula(field: &str) -> String {
    if field.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{field}") } else { field.to_owned() }
}

fn as_file(media_type: &'static str, name: &str, text: String) -> Response {
    let mut response = ([(header::CONTENT_TYPE, media_type)], text).into_response();
    // Its name is one of ours: letters, digits, a dash.
    if let Ok(value) = HeaderValue::from_str(&format!("attachment; filename=\"{name}\"")) {
        response.headers_mut().insert(header::CONTENT_DISPOSITION, value);
    }
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

pub(super) async fn recurrence(State(seen): State<Seen>, Path(id): Path<String>) -> Result<Response, Problem> {
    Ok(Json(seen.incidents.recurrence(&id).await?).into_response())
}
