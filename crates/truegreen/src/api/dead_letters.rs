//! Dead letters, looked at. Sending back and throwing away is for people at a terminal, `truegreen dlq`: nothing here asks
//! who calls, so nothing here changes anything.

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use truegreen_connect::dead_letters::group::By;
use truegreen_connect::dead_letters::payload;
use truegreen_connect::dead_letters::redact::Redaction;
use truegreen_connect::dead_letters::search::Query as Words;
use truegreen_model::letter::Letter;

use super::Problem;
use crate::dead_letters::choice::Choice;
use crate::dead_letters::{Error, fingerprint};
use crate::server::Seen;

const LISTED: usize = 50;
const MAX_LISTED: usize = 1_000;
/// Of a body's text.
const MAX_SHOWN_BYTES: usize = 256 << 10;

impl From<Error> for Problem {
    fn from(error: Error) -> Problem {
        let status = match &error {
            Error::Lock(_) => StatusCode::SERVICE_UNAVAILABLE,
            Error::System { .. } => StatusCode::BAD_GATEWAY,
            Error::Journal(_) | Error::TooMany(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let told = error.to_string();
        let (error, hint) = told.split_once("\nhint: ").unwrap_or((&told, "`truegreen probe` says how the system is"));
        Problem { status, error: error.to_owned(), hint: hint.to_owned() }
    }
}

#[derive(Deserialize)]
pub(super) struct GroupedBy {
    by: Option<String>,
}

pub(super) async fn groups(State(seen): State<Seen>, Query(asked): Query<GroupedBy>) -> Result<Response, Problem> {
    let by = asked.by.as_deref().unwrap_or("error");
    let by = By::named(by).ok_or_else(|| bad(format!("nothing is grouped by {by:?}"), "error, type or origin"))?;
    Ok(Json(json!({ "places": *seen.desk.overview(by).await })).into_response())
}

/// Which letters, in the query of a URL.
#[derive(Deserialize, Default)]
pub(crate) struct Which {
    system: Option<String>,
    place: Option<String>,
    error: Option<String>,
    frame: Option<String>,
    #[serde(rename = "type")]
    message_type: Option<String>,
    origin: Option<String>,
    q: Option<String>,
    limit: Option<usize>,
}

impl Which {
    /// The same as the rest of the program says it.
    pub(crate) fn choice(&self) -> Choice {
        Choice {
            ids: Vec::new(),
            error_type: self.error.clone(),
            frame: self.frame.clone(),
            message_type: self.message_type.clone(),
            origin: self.origin.clone(),
            query: self.q.as_deref().map(Words::new).filter(|words| !words.is_empty()),
            searched: self.q.clone(),
            limit: Some(self.limit.unwrap_or(LISTED).min(MAX_LISTED)),
        }
    }
}

pub(super) async fn list(State(seen): State<Seen>, Query(which): Query<Which>) -> Result<Response, Problem> {
    let choice = which.choice();
    let places: Vec<(String, String)> = match (&which.system, &which.place) {
        (Some(system), Some(place)) => vec![(system.clone(), place.clone())],
        _ => {
            let is = |wanted: &Option<String>, own: &str| wanted.as_deref().is_none_or(|wanted| wanted == own);
            let all = seen.desk.overview(By::default()).await;
            let known = all.iter().filter(|place| place.error.is_none());
            let meant = known.filter(|known| is(&which.system, &known.system) && is(&which.place, &known.place));
            meant.map(|known| (known.system.clone(), known.place.clone())).collect()
        }
    };
    let most = choice.limit.unwrap_or(MAX_LISTED);
    let mut listed: Vec<Value> = Vec::new();
    for (system, place) in places {
        let limit = most.saturating_sub(listed.len());
        if limit == 0 {
            break;
        }
        let choice = Choice { limit: Some(limit), ..choice.clone() };
        let letters = seen.desk.letters(&system, &place, &choice).await?.ok_or_else(|| unknown(&system))?;
        listed.extend(letters.iter().map(|letter| brief(&system, letter, seen.desk.redaction())));
    }
    Ok(Json(json!({ "letters": listed })).into_response())
}

pub(super) async fn letter(
    State(seen): State<Seen>,
    Path((system, place, id)): Path<(String, String, String)>,
) -> Result<Response, Problem> {
    let choice = Choice { ids: vec![id.clone()], limit: Some(1), ..Choice::default() };
    let letters = seen.desk.letters(&system, &place, &choice).await?.ok_or_else(|| unknown(&system))?;
    let Some(letter) = letters.first() else {
        return Err(Problem::not_found(
            format!("no letter {id:?} lies in {place:?}"),
            "it may have been sent back, or removed",
        ));
    };
    Ok(Json(whole(&system, letter, seen.desk.redaction())).into_response())
}

fn brief(system: &str, letter: &Letter, redaction: &Redaction) -> Value {
    json!({
        "system": system,
        "id": letter.id, "hash": fingerprint::of(letter), "place": letter.place, "origin": letter.origin, "key": letter.key,
        "message_id": letter.message_id, "message_type": letter.message_type, "error_type": letter.error_type,
        "error": redaction.text(&letter.error), "frame": letter.frame, "deaths": letter.deaths, "died_at": letter.died_at,
        "traceparent": letter.traceparent, "body_bytes": letter.body.len(), "is_cut": letter.is_cut,
    })
}

fn whole(system: &str, letter: &Letter, redaction: &Redaction) -> Value {
    let mut told = brief(system, letter, redaction);
    let shown = payload::show(&letter.body, redaction, MAX_SHOWN_BYTES);
    told["body"] = json!({"form": shown.form.name(), "text": shown.text, "left_out": shown.left_out});
    let header = |(name, value): &(String, String)| json!([name, redaction.text(redaction.header(name, value))]);
    told["headers"] = letter.headers.iter().map(header).collect();
    told
}

fn bad(error: String, hint: &str) -> Problem {
    Problem { status: StatusCode::BAD_REQUEST, error, hint: hint.to_owned() }
}

fn unknown(system: &str) -> Problem {
    Problem::not_found(
        format!("no system with dead letters is called {system:?}"),
        "/api/v1/dead-letters/groups lists them",
    )
}
