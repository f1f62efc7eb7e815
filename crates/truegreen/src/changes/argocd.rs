//! What notification templates of Argo CD usually hold: the application whole, or a few fields of it.

use serde_json::Value;
use truegreen_model::change::{Change, ChangeKind};
use truegreen_model::time::Timestamp;

use super::field::{first, link, text};
use super::{Refused, Reported, time};

const NAME: &[&str] =
    &["app.metadata.name", "application.metadata.name", "metadata.name", "app.name", "app", "application"];
const PHASE: &[&str] = &[
    "app.status.operationState.phase",
    "application.status.operationState.phase",
    "status.operationState.phase",
    "phase",
    "operationState.phase",
    "sync.status",
    "sync_status",
    "syncStatus",
    "status",
];
const REVISION: &[&str] = &[
    "app.status.operationState.syncResult.revision",
    "application.status.operationState.syncResult.revision",
    "status.operationState.syncResult.revision",
    "app.status.sync.revision",
    "application.status.sync.revision",
    "status.sync.revision",
    "syncResult.revision",
    "sync.revision",
    "revision",
];
const STARTED: &[&str] = &[
    "app.status.operationState.startedAt",
    "application.status.operationState.startedAt",
    "status.operationState.startedAt",
    "startedAt",
    "started_at",
];
const FINISHED: &[&str] = &[
    "app.status.operationState.finishedAt",
    "application.status.operationState.finishedAt",
    "status.operationState.finishedAt",
    "finishedAt",
    "finished_at",
];

/// Whether it looks like one: an application, with a revision or the phase of a sync.
pub(super) fn is_sync(value: &Value) -> bool {
    let is_named = value.get("app").is_some() || value.get("application").is_some();
    let is_whole = text(value, "kind").as_deref() == Some("Application") && value.get("status").is_some();
    (is_named && (first(value, REVISION).is_some() || first(value, PHASE).is_some())) || is_whole
}

pub(super) fn read(value: &Value, now: Timestamp) -> Result<Reported, Refused> {
    let Some(name) = first(value, NAME) else {
        return Err(Refused::Lacks("a notification of Argo CD lacks the name of the application: `app`".to_owned()));
    };
    let started = time::first(value, STARTED);
    let at = started.or_else(|| time::first(value, FINISHED)).unwrap_or(now);
    let revision = first(value, REVISION);
    let phase = first(value, PHASE);
    // A sync is the same one from its start to its end.
    let which = started.map(|at| at.0.to_string()).or_else(|| revision.clone()).unwrap_or_else(|| now.0.to_string());
    let namespace = [
        "app.spec.destination.namespace",
        "application.spec.destination.namespace",
        "spec.destination.namespace",
        "namespace",
    ];
    let short = revision.as_ref().map(|revision| revision.chars().take(12).collect::<String>());
    Ok(Reported::one(Change {
        id: format!("argocd/{name}/{which}"),
        at,
        until: time::first(value, FINISHED).filter(|until| *until >= at),
        kind: ChangeKind::Release,
        title: short.as_ref().map_or_else(|| format!("sync of {name}"), |short| format!("sync of {name} to {short}")),
        service: Some(name),
        version: short,
        environment: first(value, &namespace),
        url: link(value, &["url", "app_url", "context.argocdUrl"]),
        source: "argocd".to_owned(),
        attributes: phase.map(|phase| ("phase".to_owned(), phase)).into_iter().collect(),
        ..Change::default()
    }))
}
