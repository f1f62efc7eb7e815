//! Our own form of a change.

use std::collections::BTreeMap;

use serde_json::Value;
use truegreen_model::change::{Change, ChangeKind};
use truegreen_model::time::Timestamp;

use super::field::{self, MAX_ATTRIBUTES, MAX_INSTANCES, MAX_TEXT, first, id_of, link, text};
use super::{Refused, time};

/// What is read of an object. Where `now` is given, a change without a time is of then; else it needs one.
pub(crate) fn read(value: &Value, source: &str, now: Option<Timestamp>) -> Result<Change, Refused> {
    let lacks = |what: String| Err(Refused::Lacks(what));
    if !value.is_object() {
        return lacks("a change is a JSON object".to_owned());
    }
    let kind = match first(value, &["kind", "type"]) {
        None => ChangeKind::Other,
        Some(name) => match kind_of(&name) {
            Some(kind) => kind,
            // A list of changes from elsewhere has words of its own.
            None if now.is_none() => ChangeKind::Other,
            None => return lacks(format!("no kind of change is called {name:?}; there are {}", kinds())),
        },
    };
    let service = first(value, &["service", "service_name", "component"]);
    let version = text(value, "version");
    let Some(title) =
        first(value, &["title", "name", "summary", "description"]).or_else(|| titled(kind, &service, &version))
    else {
        return lacks("a change needs a `title`, or a `service`".to_owned());
    };
    let told = ["at", "time", "timestamp", "start", "start_time", "started_at", "deployed_at"]
        .iter()
        .find_map(|name| value.get(name));
    let at = match (told.filter(|told| !told.is_null()), now) {
        (Some(told), _) => match time::of(told) {
            Some(at) => at,
            None => return lacks(format!("`at` is no time: {}", field::clipped(&told.to_string(), 60))),
        },
        (None, Some(now)) => now,
        (None, None) => return lacks("a change needs a time: `at`".to_owned()),
    };
    let until = time::first(value, &["until", "end", "end_time", "ended_at", "finished_at", "completed_at"])
        .filter(|until| *until >= at);
    let id = text(value, "id").unwrap_or_else(|| {
        let texts = [kind.name(), service.as_deref().unwrap_or(""), version.as_deref().unwrap_or(""), title.as_str()];
        id_of(&[&texts.join("\u{0}"), &at.0.to_string()])
    });
    Ok(Change {
        id,
        at,
        until,
        kind,
        title,
        service,
        instances: instances(value),
        version,
        environment: first(value, &["environment", "env"]),
        author: first(value, &["author", "user"]),
        url: link(value, &["url", "link"]),
        source: source.to_owned(),
        attributes: attributes(value),
    })
}

/// By our names, or by the usual others.
fn kind_of(name: &str) -> Option<ChangeKind> {
    let name = name.to_ascii_lowercase().replace(['-', ' '], "_");
    ChangeKind::named(&name).or(match name.as_str() {
        "deploy" | "deployment" | "rollout" | "rollback" | "hotfix" | "upgrade" | "canary" | "code" => {
            Some(ChangeKind::Release)
        }
        "configuration" | "setting" | "settings" => Some(ChangeKind::Config),
        "flag" | "featureflag" => Some(ChangeKind::FeatureFlag),
        "infra" | "network" | "host" | "node" => Some(ChangeKind::Infrastructure),
        "scale" | "autoscaling" | "restart" => Some(ChangeKind::Scaling),
        "migration" | "database" => Some(ChangeKind::Schema),
        _ => None,
    })
}

fn kinds() -> String {
    ChangeKind::ALL.map(ChangeKind::name).join(", ")
}

fn titled(kind: ChangeKind, service: &Option<String>, version: &Option<String>) -> Option<String> {
    let service = service.as_deref()?;
    let what = kind.name().replace('_', " ");
    Some(
        version
            .as_ref()
            .map_or_else(|| format!("{what} of {service}"), |version| format!("{what} of {service} {version}")),
    )
}

fn instances(value: &Value) -> Vec<String> {
    let told = ["instances", "instance", "pods"].iter().find_map(|name| value.get(name));
    match told {
        Some(Value::Array(all)) => {
            let texts = all.iter().filter_map(Value::as_str).map(|text| field::clipped(text, MAX_TEXT));
            texts.filter(|text| !text.is_empty()).take(MAX_INSTANCES).collect()
        }
        Some(Value::String(one)) if !one.is_empty() => vec![field::clipped(one, MAX_TEXT)],
        _ => Vec::new(),
    }
}

fn attributes(value: &Value) -> BTreeMap<String, String> {
    let told = value.get("attributes").and_then(Value::as_object);
    let texts = told.into_iter().flatten().filter_map(|(name, value)| {
        let text = match value {
            Value::String(text) => field::clipped(text, MAX_TEXT),
            Value::Number(_) | Value::Bool(_) => value.to_string(),
            _ => return None,
        };
        Some((field::clipped(name, MAX_TEXT), text))
    });
    texts.take(MAX_ATTRIBUTES).collect()
}
