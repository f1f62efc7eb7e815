//! Webhooks of GitHub, told apart by `X-GitHub-Event`.

use std::collections::BTreeMap;

use serde_json::Value;
use truegreen_model::change::{Change, ChangeKind};
use truegreen_model::time::Timestamp;

use super::field::{first, line, link, text};
use super::{Refused, Reported, time};

pub(super) fn read(event: &str, value: &Value, now: Timestamp) -> Result<Reported, Refused> {
    let Some(repository) = text(value, "repository.full_name") else {
        if event == "ping" {
            return Ok(Reported::ignored("ping", "a ping of GitHub"));
        }
        return Err(Refused::Lacks(format!("the {event} of GitHub lacks `repository.full_name`")));
    };
    match event {
        "deployment" | "deployment_status" => deployment(&repository, value, now),
        "release" => release(&repository, value, now),
        "push" => push(&repository, value, now),
        "workflow_run" => workflow_run(&repository, value, now),
        _ => Ok(Reported::ignored("event_type", format!("a {event} of GitHub changes nothing that runs"))),
    }
}

/// The repository's own name stands for the service unless the payload of a deployment names one.
fn service(value: &Value) -> Option<String> {
    first(value, &["deployment.payload.service", "repository.name"])
}

fn base(value: &Value, id: String, at: Timestamp) -> Change {
    Change {
        id,
        at,
        kind: ChangeKind::Release,
        service: service(value),
        author: text(value, "sender.login"),
        source: "github".to_owned(),
        ..Change::default()
    }
}

fn deployment(repository: &str, value: &Value, now: Timestamp) -> Result<Reported, Refused> {
    let Some(number) = text(value, "deployment.id") else {
        return Err(Refused::Lacks("a deployment of GitHub lacks `deployment.id`".to_owned()));
    };
    let at = time::first(value, &["deployment.created_at"]).unwrap_or(now);
    let state = text(value, "deployment_status.state");
    let version = first(value, &["deployment.payload.version", "deployment.ref", "deployment.sha"]);
    let environment = first(value, &["deployment_status.environment", "deployment.environment"]);
    let title = format!(
        "{} of {repository} {} to {}",
        text(value, "deployment.task").unwrap_or_else(|| "deploy".to_owned()),
        version.as_deref().unwrap_or("of unknown version"),
        environment.as_deref().unwrap_or("unknown environment")
    );
    let is_through = matches!(state.as_deref(), Some("success" | "inactive" | "failure" | "error"));
    let ended = time::first(value, &["deployment_status.created_at", "deployment_status.updated_at"]);
    Ok(Reported::one(Change {
        title,
        version,
        environment,
        until: ended.filter(|ended| is_through && *ended >= at),
        author: first(value, &["deployment.creator.login", "sender.login"]),
        url: link(value, &["deployment_status.log_url", "deployment_status.target_url", "repository.html_url"]),
        attributes: state.map(|state| ("status".to_owned(), state)).into_iter().collect(),
        // Its status is news of the same deployment.
        ..base(value, format!("github/{repository}/deployment/{number}"), at)
    }))
}

fn release(repository: &str, value: &Value, now: Timestamp) -> Result<Reported, Refused> {
    let action = text(value, "action").unwrap_or_default();
    if !matches!(action.as_str(), "published" | "released" | "") {
        return Ok(Reported::ignored("action", format!("a release that was {action} changes nothing that runs")));
    }
    let Some(tag) = text(value, "release.tag_name") else {
        return Err(Refused::Lacks("a release of GitHub lacks `release.tag_name`".to_owned()));
    };
    let at = time::first(value, &["release.published_at"]).unwrap_or(now);
    Ok(Reported::one(Change {
        title: format!("release {tag} of {repository}"),
        url: link(value, &["release.html_url"]),
        version: Some(tag.clone()),
        ..base(value, format!("github/{repository}/release/{tag}"), at)
    }))
}

fn push(repository: &str, value: &Value, now: Timestamp) -> Result<Reported, Refused> {
    let (Some(reference), Some(sha)) = (text(value, "ref"), text(value, "after")) else {
        return Err(Refused::Lacks("a push of GitHub lacks `ref` or `after`".to_owned()));
    };
    let default = first(value, &["repository.default_branch", "repository.master_branch"]);
    if default.as_deref() != reference.strip_prefix("refs/heads/") {
        return Ok(Reported::ignored("side_branch", format!("a push to {reference} is none to the default branch")));
    }
    let at = time::first(value, &["head_commit.timestamp"]).unwrap_or(now);
    let subject = line(value, "head_commit.message");
    Ok(Reported::one(Change {
        title: subject.unwrap_or_else(|| format!("push to {repository}")),
        kind: ChangeKind::Other,
        url: link(value, &["compare", "head_commit.url"]),
        version: Some(sha.chars().take(12).collect()),
        author: first(value, &["pusher.name", "sender.login"]),
        ..base(value, format!("github/{repository}/push/{sha}"), at)
    }))
}

fn workflow_run(repository: &str, value: &Value, now: Timestamp) -> Result<Reported, Refused> {
    let Some(number) = text(value, "workflow_run.id") else {
        return Err(Refused::Lacks("a workflow_run of GitHub lacks `workflow_run.id`".to_owned()));
    };
    let default = text(value, "repository.default_branch");
    let branch = text(value, "workflow_run.head_branch");
    if default.is_some() && branch.is_some() && default != branch {
        return Ok(Reported::ignored("side_branch", "a workflow run on a side branch"));
    }
    let at = time::first(value, &["workflow_run.run_started_at", "workflow_run.created_at"]).unwrap_or(now);
    let is_through = text(value, "action").as_deref() == Some("completed");
    let ended = time::first(value, &["workflow_run.updated_at"]).filter(|ended| is_through && *ended >= at);
    let mut attributes = BTreeMap::new();
    if let Some(conclusion) = text(value, "workflow_run.conclusion") {
        attributes.insert("conclusion".to_owned(), conclusion);
    }
    Ok(Reported::one(Change {
        title: format!("{} of {repository}", text(value, "workflow_run.name").unwrap_or_else(|| "workflow".to_owned())),
        kind: ChangeKind::Other,
        until: ended,
        url: link(value, &["workflow_run.html_url"]),
        version: text(value, "workflow_run.head_sha").map(|sha| sha.chars().take(12).collect()),
        author: first(value, &["workflow_run.actor.login", "sender.login"]),
        attributes,
        ..base(value, format!("github/{repository}/run/{number}"), at)
    }))
}
