//! Events of Kubernetes, one or a list, as exporters of events send them on.

use serde_json::Value;
use truegreen_model::change::{Change, ChangeKind};
use truegreen_model::time::Timestamp;

use super::field::{first, text};
use super::{MAX_CHANGES, Refused, Reported, time};

const OBJECT: [&str; 2] = ["involvedObject", "regarding"];

/// What its reason makes a change of.
fn kind(reason: &str) -> Option<ChangeKind> {
    Some(match reason {
        "ScalingReplicaSet" | "SuccessfulRescale" => ChangeKind::Scaling,
        "DeploymentRolledOut" | "DeploymentRollback" => ChangeKind::Release,
        "Killing" | "Preempted" | "Preempting" | "Evicted" | "TaintManagerEviction" | "OOMKilling" | "SystemOOM" => {
            ChangeKind::Infrastructure
        }
        "NodeNotReady"
        | "NodeReady"
        | "NodeNotSchedulable"
        | "NodeSchedulable"
        | "Rebooted"
        | "RemovingNode"
        | "RegisteredNode"
        | "NodeHasDiskPressure"
        | "NodeHasInsufficientMemory"
        | "DeletingAllPods" => ChangeKind::Infrastructure,
        _ => return None,
    })
}

pub(super) fn is_event(value: &Value) -> bool {
    let is_one = |value: &Value| OBJECT.iter().any(|name| value.get(name).is_some());
    is_one(value) || text(value, "kind").as_deref() == Some("EventList") || value.get("event").is_some_and(is_one)
}

pub(super) fn read(value: &Value, now: Timestamp) -> Result<Reported, Refused> {
    if let Some(all) = value.get("items").and_then(Value::as_array) {
        if all.len() > MAX_CHANGES {
            return Err(Refused::TooMany(all.len()));
        }
        let mut together = Reported::default();
        for one in all {
            let told = event(one, now)?;
            together.changes.extend(told.changes);
            together.ignored.extend(told.ignored);
        }
        return Ok(together);
    }
    event(value.get("event").filter(|event| event.is_object()).unwrap_or(value), now)
}

fn event(value: &Value, now: Timestamp) -> Result<Reported, Refused> {
    let object = OBJECT.iter().find_map(|name| value.get(name)).unwrap_or(&Value::Null);
    let (Some(reason), Some(name)) = (text(value, "reason"), text(object, "name")) else {
        return Err(Refused::Lacks("an event of Kubernetes lacks `reason` or `involvedObject.name`".to_owned()));
    };
    let Some(kind) = kind(&reason) else {
        return Ok(Reported::ignored("event_reason", format!("an event {reason} of Kubernetes is no change")));
    };
    let what = text(object, "kind").unwrap_or_default();
    let (service, instances) = match what.as_str() {
        "Pod" => (workload(&name), vec![name.clone()]),
        "Node" => (None, Vec::new()),
        "ReplicaSet" => (name.rsplit_once('-').map(|(service, _)| service.to_owned()), Vec::new()),
        _ => (Some(name.clone()), Vec::new()),
    };
    let at = time::first(
        value,
        &["eventTime", "lastTimestamp", "deprecatedLastTimestamp", "firstTimestamp", "metadata.creationTimestamp"],
    );
    let at = at.unwrap_or(now);
    let message = first(value, &["message", "note"]);
    let mut change = Change {
        id: text(value, "metadata.uid").map_or_else(
            || format!("kubernetes/{what}/{name}/{reason}/{}", at.0 / 1_000_000_000),
            |uid| format!("kubernetes/{uid}"),
        ),
        at,
        kind,
        title: message.unwrap_or_else(|| format!("{reason}: {what} {name}")),
        service,
        instances,
        environment: text(object, "namespace"),
        source: "kubernetes".to_owned(),
        ..Change::default()
    };
    change.attributes.insert("reason".to_owned(), reason);
    if what == "Node" {
        change.attributes.insert("k8s.node.name".to_owned(), name);
    }
    Ok(Reported::one(change))
}

/// The deployment of a pod: its name without the hash of its replica set and its own; a pod of a set that is numbered has but
/// its number.
fn workload(pod: &str) -> Option<String> {
    let (rest, last) = pod.rsplit_once('-')?;
    if last.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(rest.to_owned());
    }
    let is_hash = |part: &str| {
        (5..=10).contains(&part.len()) && part.bytes().all(|byte| b"bcdfghjklmnpqrstvwxz2456789".contains(&byte))
    };
    match rest.rsplit_once('-') {
        Some((service, hash)) if is_hash(hash) && is_hash(last) => Some(service.to_owned()),
        _ if is_hash(last) => Some(rest.to_owned()),
        _ => Some(pod.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::workload;

    #[test]
    fn pods_are_of_workloads() {
        for (pod, of) in [
            ("checkout-7d9fc6b5d4-x2k8p", "checkout"),
            ("order-db-0", "order-db"),
            ("agent-x2k8p", "agent"),
            ("shop-frontend", "shop-frontend"),
        ] {
            assert_eq!(workload(pod).as_deref(), Some(of), "{pod}");
        }
    }
}
