//! Changes as they are reported: read out of what release tools and clusters send, kept in the log, shown again.
//!
//! Read in this order: this file (who sent it), `own` (our form), `cloud_events`, `github`, `gitlab`, `argocd`, `kubernetes`,
//! then `field` (what is read of a payload, and how much of it at most), `time`, `kept` (as they stand in the log) and `shown`.
//! Of a payload only the fields that are named here are kept, so that no secret in it is.

mod argocd;
mod cloud_events;
pub(crate) mod field;
mod github;
mod gitlab;
pub mod kept;
mod kubernetes;
pub(crate) mod own;
pub(crate) mod shown;
pub(crate) mod time;

#[cfg(test)]
mod tests;

use serde_json::Value;
use truegreen_model::change::Change;
use truegreen_model::time::Timestamp;

/// Longest body of a report.
pub(crate) const MAX_BODY_BYTES: usize = 1 << 20;
/// Most changes in one report.
pub(crate) const MAX_CHANGES: usize = 500;

/// What is read of a report.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Reported {
    pub(crate) changes: Vec<Change>,
    /// What is no change, each with its reason for the counter and in words.
    pub(crate) ignored: Vec<(&'static str, String)>,
}

impl Reported {
    fn one(change: Change) -> Reported {
        Reported { changes: vec![change], ignored: Vec::new() }
    }

    fn ignored(reason: &'static str, why: impl Into<String>) -> Reported {
        Reported { changes: Vec::new(), ignored: vec![(reason, why.into())] }
    }
}

/// Why a report is not taken.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum Refused {
    /// Its content type.
    #[error("content type {0:?} is not taken here")]
    ContentType(String),
    /// It is no JSON.
    #[error("the body is no JSON: {0}")]
    Malformed(String),
    /// More than is taken at once.
    #[error("{0} changes in one report; at most {MAX_CHANGES} are taken")]
    TooMany(usize),
    /// Something it needs is not in it.
    #[error("{0}")]
    Lacks(String),
}

impl Refused {
    /// Label on /metrics.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Refused::ContentType(_) => "content_type",
            Refused::Malformed(_) => "malformed",
            Refused::TooMany(_) => "too_many",
            Refused::Lacks(_) => "incomplete",
        }
    }

    pub(crate) fn hint(&self) -> &'static str {
        match self {
            Refused::ContentType(_) => {
                "send application/json or application/cloudevents+json; in the settings of a webhook choose JSON"
            }
            Refused::Malformed(_) => "the body is one JSON object, or a list of them",
            Refused::TooMany(_) => "send them in several reports",
            Refused::Lacks(_) => "docs/changes.md names what each kind of report needs",
        }
    }
}

/// The header of this name, in lower case.
pub(crate) type Header<'h> = &'h dyn Fn(&str) -> Option<String>;

/// Reads a report by whoever sent it, known by its headers or else by its shape.
pub(crate) fn read(header: Header<'_>, body: &[u8], now: Timestamp) -> Result<Reported, Refused> {
    let media = header("content-type").unwrap_or_default();
    let media = media.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_event = header("ce-specversion").is_some();
    if !(media == "application/json"
        || media.ends_with("+json")
        || media == "text/json"
        || (is_event && media.is_empty()))
    {
        return Err(Refused::ContentType(field::clipped(&media, 100)));
    }
    let body = if body.is_empty() && is_event { b"null" } else { body };
    let value: Value = serde_json::from_slice(body).map_err(|error| Refused::Malformed(error.to_string()))?;
    let told = by_sender(header, &value, now)?;
    match told.changes.len() {
        0..=MAX_CHANGES => Ok(told),
        many => Err(Refused::TooMany(many)),
    }
}

fn by_sender(header: Header<'_>, value: &Value, now: Timestamp) -> Result<Reported, Refused> {
    if let Some(event) = header("x-github-event") {
        return github::read(&event, value, now);
    }
    if header("x-gitlab-event").is_some() {
        return gitlab::read(value, now);
    }
    if header("ce-specversion").is_some() {
        return cloud_events::binary(header, value, now);
    }
    if let Value::Array(all) = value {
        if all.len() > MAX_CHANGES {
            return Err(Refused::TooMany(all.len()));
        }
        let mut together = Reported::default();
        for (place, one) in all.iter().enumerate() {
            let told = by_shape(one, now).map_err(|refused| match refused {
                Refused::Lacks(what) => Refused::Lacks(format!("number {} of {}: {what}", place + 1, all.len())),
                other => other,
            })?;
            together.changes.extend(told.changes);
            together.ignored.extend(told.ignored);
        }
        return Ok(together);
    }
    by_shape(value, now)
}

fn by_shape(value: &Value, now: Timestamp) -> Result<Reported, Refused> {
    if !value.is_object() {
        return Err(Refused::Lacks("a change is a JSON object".to_owned()));
    }
    if value.get("specversion").is_some() {
        return cloud_events::structured(value, now);
    }
    if kubernetes::is_event(value) {
        return kubernetes::read(value, now);
    }
    if value.get("object_kind").is_some() {
        return gitlab::read(value, now);
    }
    if argocd::is_sync(value) {
        return argocd::read(value, now);
    }
    if let Some(Value::Array(all)) = value.get("changes") {
        if all.len() > MAX_CHANGES {
            return Err(Refused::TooMany(all.len()));
        }
        let changes = all.iter().map(|one| own::read(one, "api", Some(now))).collect::<Result<_, _>>()?;
        return Ok(Reported { changes, ignored: Vec::new() });
    }
    own::read(value, "api", Some(now)).map(Reported::one)
}
