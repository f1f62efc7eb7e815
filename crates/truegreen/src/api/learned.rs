//! What is learned of the stored traffic, and which learned contracts are in force.

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;

use super::Problem;
use crate::learning::{Error, Moments};
use crate::server::Seen;

impl From<Error> for Problem {
    fn from(error: Error) -> Problem {
        let (status, hint) = match &error {
            Error::NoData => (StatusCode::NOT_FOUND, "this server runs with --no-data"),
            Error::Busy => (StatusCode::SERVICE_UNAVAILABLE, "one at a time; try again"),
            Error::Log(_) => (StatusCode::INTERNAL_SERVER_ERROR, "`truegreen store verify` says what is wrong"),
            Error::Unknown(_) => (StatusCode::NOT_FOUND, "/api/v1/learned lists them"),
            Error::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "/readyz says when it is back"),
        };
        Problem { status, error: error.to_string(), hint: hint.to_owned() }
    }
}

#[derive(Deserialize)]
pub(super) struct Between {
    since: Option<String>,
    until: Option<String>,
}

pub(super) async fn learn(State(seen): State<Seen>, Query(between): Query<Between>) -> Result<Response, Problem> {
    let moments = Moments::parse(between.since.as_deref(), between.until.as_deref()).map_err(|told| {
        let (error, hint) = told.split_once("\nhint: ").unwrap_or((&told, ""));
        Problem { status: StatusCode::BAD_REQUEST, error: error.to_owned(), hint: hint.to_owned() }
    })?;
    Ok(Json(seen.learning.learn(moments).await?).into_response())
}

pub(super) async fn in_force(State(seen): State<Seen>) -> Response {
    Json(json!({ "learned": seen.learning.in_force() })).into_response()
}

pub(super) async fn forget(State(seen): State<Seen>, Path(flow): Path<String>) -> Result<StatusCode, Problem> {
    seen.learning.drop_learned(&flow).await?;
    Ok(StatusCode::NO_CONTENT)
}
