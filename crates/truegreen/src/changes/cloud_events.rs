//! CloudEvents: deployments as CDEvents tells them, and our own form as data of any event.

use serde_json::{Value, json};
use truegreen_model::change::{Change, ChangeKind};
use truegreen_model::time::Timestamp;

use super::field::{first, link, text};
use super::{Header, Refused, Reported, own, time};

pub(super) fn structured(event: &Value, now: Timestamp) -> Result<Reported, Refused> {
    read(event, event.get("data").unwrap_or(&Value::Null), now)
}

/// The event's attributes stand in headers, and the body is its data.
pub(super) fn binary(header: Header<'_>, data: &Value, now: Timestamp) -> Result<Reported, Refused> {
    let mut event = json!({});
    for name in ["id", "source", "type", "time", "subject"] {
        if let Some(value) = header(&format!("ce-{name}")) {
            event[name] = Value::String(value);
        }
    }
    read(&event, data, now)
}

fn read(event: &Value, data: &Value, now: Timestamp) -> Result<Reported, Refused> {
    let (Some(id), Some(kind)) = (text(event, "id"), text(event, "type")) else {
        return Err(Refused::Lacks("a CloudEvent needs `id` and `type`".to_owned()));
    };
    let source = text(event, "source").unwrap_or_default();
    let at = time::first(event, &["time"]).or_else(|| time::first(data, &["context.timestamp"])).unwrap_or(now);
    let id = format!("{source}/{id}");
    if let Some(what) = kind.strip_prefix("dev.cdevents.") {
        return cd_event(what, (id, at), event, data);
    }
    // Any other event may carry a change in our own form.
    let names_a_change = ["title", "kind", "service", "version"].iter().any(|name| data.get(name).is_some());
    if !names_a_change {
        let what = format!(
            "the event of type {kind:?} is neither a CDEvent nor is its data a change with `title` or `service`"
        );
        return Err(Refused::Lacks(what));
    }
    let mut change = own::read(data, "cloudevents", Some(at))?;
    if data.get("id").is_none() {
        change.id = id;
    }
    Ok(Reported::one(change))
}

fn cd_event(what: &str, (id, at): (String, Timestamp), event: &Value, data: &Value) -> Result<Reported, Refused> {
    let kind = match what.split('.').take(2).collect::<Vec<_>>()[..] {
        ["service", "deployed" | "upgraded" | "rolledback" | "published" | "removed"] => ChangeKind::Release,
        ["environment", "created" | "modified" | "deleted"] => ChangeKind::Infrastructure,
        _ => return Ok(Reported::ignored("event_type", format!("a CDEvent {what:?} changes nothing that runs"))),
    };
    let subject = first(data, &["subject.id"]).or_else(|| text(event, "subject"));
    let Some(subject) = subject else {
        return Err(Refused::Lacks("a CDEvent needs `subject.id`".to_owned()));
    };
    let artifact = first(data, &["subject.content.artifactId", "subject.content.artifactid"]);
    let version = artifact.as_deref().and_then(version_of);
    let done = what.split('.').nth(1).unwrap_or_default();
    let is_service = kind == ChangeKind::Release;
    let title =
        version.as_ref().map_or_else(|| format!("{subject} {done}"), |version| format!("{subject} {done}: {version}"));
    Ok(Reported::one(Change {
        id,
        at,
        kind,
        title,
        service: is_service.then(|| subject.clone()),
        version,
        environment: first(data, &["subject.content.environment.id"]).or_else(|| (!is_service).then_some(subject)),
        url: link(data, &["subject.content.uri", "subject.content.url"]),
        source: "cloudevents".to_owned(),
        ..Change::default()
    }))
}

/// The version in a package URL, as `pkg:oci/shop@sha256:..?tag=1.4`, or an image's name.
fn version_of(artifact: &str) -> Option<String> {
    let tag = artifact.split(['?', '&']).find_map(|part| part.strip_prefix("tag="));
    let plain = artifact.split('?').next().unwrap_or_default();
    let version = tag.or_else(|| plain.rsplit_once('@').map(|(_, version)| version));
    version.or_else(|| plain.rsplit_once(':').map(|(_, tag)| tag).filter(|tag| !tag.contains('/'))).map(str::to_owned)
}
