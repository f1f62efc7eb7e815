//! Webhooks of GitLab, told apart by `object_kind`.

use serde_json::Value;
use truegreen_model::change::{Change, ChangeKind};
use truegreen_model::time::Timestamp;

use super::field::{first, line, link, text};
use super::{Refused, Reported, time};

pub(super) fn read(value: &Value, now: Timestamp) -> Result<Reported, Refused> {
    let (Some(kind), Some(project)) = (text(value, "object_kind"), text(value, "project.path_with_namespace")) else {
        return Err(Refused::Lacks(
            "a webhook of GitLab lacks `object_kind` or `project.path_with_namespace`".to_owned(),
        ));
    };
    let base = Change {
        at: now,
        service: text(value, "project.name"),
        author: first(value, &["user.username", "user.name", "user_username", "user_name"]),
        source: "gitlab".to_owned(),
        ..Change::default()
    };
    let status = first(value, &["status", "object_attributes.status"]);
    let mut told = base.clone();
    told.attributes.extend(status.map(|status| ("status".to_owned(), status)));
    match kind.as_str() {
        "deployment" => deployment(&project, value, told),
        "pipeline" => pipeline(&project, value, told),
        "push" => push(&project, value, base),
        "release" => release(&project, value, base),
        _ => Ok(Reported::ignored("event_type", format!("a {kind} of GitLab changes nothing that runs"))),
    }
}

fn lacks(what: &str) -> Result<Reported, Refused> {
    Err(Refused::Lacks(format!("a webhook of GitLab lacks {what}")))
}

fn is_through(status: Option<&String>) -> bool {
    status.is_some_and(|status| matches!(status.as_str(), "success" | "failed" | "canceled"))
}

fn deployment(project: &str, value: &Value, base: Change) -> Result<Reported, Refused> {
    let Some(number) = first(value, &["deployment_id", "deployable_id"]) else { return lacks("`deployment_id`") };
    let changed = time::first(value, &["status_changed_at"]).unwrap_or(base.at);
    let environment = text(value, "environment");
    let version = first(value, &["ref", "short_sha"]);
    let title = format!(
        "deployment of {project} {} to {}",
        version.as_deref().unwrap_or("of unknown version"),
        environment.as_deref().unwrap_or("unknown environment")
    );
    let until = is_through(base.attributes.get("status")).then_some(changed);
    Ok(Reported::one(Change {
        id: format!("gitlab/{project}/deployment/{number}"),
        at: changed,
        until,
        kind: ChangeKind::Release,
        title,
        version: first(value, &["short_sha", "ref"]),
        environment,
        url: link(value, &["deployable_url", "project.web_url"]),
        ..base
    }))
}

fn pipeline(project: &str, value: &Value, base: Change) -> Result<Reported, Refused> {
    let Some(number) = text(value, "object_attributes.id") else { return lacks("`object_attributes.id`") };
    let (branch, default) = (text(value, "object_attributes.ref"), text(value, "project.default_branch"));
    if branch.is_some() && default.is_some() && branch != default {
        return Ok(Reported::ignored("side_branch", "a pipeline on a side branch"));
    }
    let at = time::first(value, &["object_attributes.created_at"]).unwrap_or(base.at);
    let until = time::first(value, &["object_attributes.finished_at"]).filter(|until| *until >= at);
    Ok(Reported::one(Change {
        id: format!("gitlab/{project}/pipeline/{number}"),
        at,
        until: until.filter(|_| is_through(base.attributes.get("status"))),
        title: format!("pipeline of {project}"),
        version: text(value, "object_attributes.sha").map(|sha| sha.chars().take(12).collect()),
        url: link(value, &["object_attributes.url", "project.web_url"]),
        ..base
    }))
}

fn push(project: &str, value: &Value, base: Change) -> Result<Reported, Refused> {
    let (Some(reference), Some(sha)) = (text(value, "ref"), first(value, &["checkout_sha", "after"])) else {
        return lacks("`ref` or `after`");
    };
    if text(value, "project.default_branch").as_deref() != reference.strip_prefix("refs/heads/") {
        return Ok(Reported::ignored("side_branch", format!("a push to {reference} is none to the default branch")));
    }
    let last = value.get("commits").and_then(Value::as_array).and_then(|all| all.last()).unwrap_or(&Value::Null);
    let subject = text(last, "title").or_else(|| line(last, "message"));
    Ok(Reported::one(Change {
        id: format!("gitlab/{project}/push/{sha}"),
        at: time::first(last, &["timestamp"]).unwrap_or(base.at),
        title: subject.unwrap_or_else(|| format!("push to {project}")),
        version: Some(sha.chars().take(12).collect()),
        url: link(last, &["url"]).or_else(|| link(value, &["project.web_url"])),
        ..base
    }))
}

fn release(project: &str, value: &Value, base: Change) -> Result<Reported, Refused> {
    let Some(tag) = text(value, "tag") else { return lacks("`tag`") };
    if text(value, "action").is_some_and(|action| action == "delete") {
        return Ok(Reported::ignored("action", "a release that was deleted changes nothing that runs"));
    }
    Ok(Reported::one(Change {
        id: format!("gitlab/{project}/release/{tag}"),
        at: time::first(value, &["released_at", "created_at"]).unwrap_or(base.at),
        kind: ChangeKind::Release,
        title: format!("release {tag} of {project}"),
        version: Some(tag),
        url: link(value, &["url"]),
        ..base
    }))
}
