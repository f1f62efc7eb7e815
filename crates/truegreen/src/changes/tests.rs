//! What each sender's report becomes.

use serde_json::{Value, json};
use truegreen_model::change::{Change, ChangeKind};
use truegreen_model::time::Timestamp;

use super::{Refused, Reported, kept, read};

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

fn take(headers: &[(&str, &str)], body: &Value) -> Result<Reported, Refused> {
    let header = |name: &str| {
        let given = headers.iter().find(|(given, _)| *given == name).map(|(_, value)| (*value).to_owned());
        given.or_else(|| (name == "content-type").then(|| "application/json".to_owned()))
    };
    read(&header, body.to_string().as_bytes(), NOW)
}

fn one(headers: &[(&str, &str)], body: &Value) -> Change {
    let told = take(headers, body).unwrap();
    assert_eq!(told.changes.len(), 1, "{told:?}");
    told.changes[0].clone()
}

fn secs(text: &str) -> Timestamp {
    super::time::parse(text).unwrap()
}

#[test]
fn our_own_form_one_or_many() {
    let change = json!({
        "service": "checkout", "kind": "feature-flag", "version": "7", "at": "2026-01-31T12:00:00Z",
        "instances": ["a", "b"], "url": "https://u:p@flags.example/x?key=secret", "attributes": {"flag": "new-cart", "n": 3, "deep": {"a": 1}},
        "token": "hunter2"
    });
    let told = one(&[], &change);
    assert_eq!((told.kind, told.title.as_str()), (ChangeKind::FeatureFlag, "feature flag of checkout 7"));
    assert_eq!((told.at, told.instances.len()), (secs("2026-01-31T12:00:00Z"), 2));
    assert_eq!(told.url.as_deref(), Some("https://flags.example/x"));
    assert_eq!(told.attributes.len(), 2);
    assert!(!format!("{told:?}").contains("hunter2"));
    // The same told again is the same change.
    assert_eq!(one(&[], &change).id, told.id);
    assert_eq!(take(&[], &json!([change, {"title": "x"}])).unwrap().changes.len(), 2);
    assert_eq!(one(&[], &json!({"changes": [{"title": "x"}]})).at, NOW);
}

#[test]
fn deployments_of_github_and_their_status_are_one_change() {
    let mut body = json!({
        "deployment": {"id": 7, "sha": "abcdef", "ref": "v1.4", "task": "deploy", "environment": "production",
            "created_at": "2026-01-31T12:00:00Z", "creator": {"login": "mia"}, "payload": {"secret": "hunter2"}},
        "repository": {"full_name": "shop/checkout", "name": "checkout", "html_url": "https://github.example/shop/checkout"}
    });
    let began = one(&[("x-github-event", "deployment")], &body);
    assert_eq!((began.service.as_deref(), began.version.as_deref()), (Some("checkout"), Some("v1.4")));
    assert_eq!(began.until, None);
    body["deployment_status"] = json!({"state": "success", "created_at": "2026-01-31T12:09:00Z"});
    let ended = one(&[("x-github-event", "deployment_status")], &body);
    assert_eq!((&ended.id, ended.until), (&began.id, Some(secs("2026-01-31T12:09:00Z"))));
    assert!(!format!("{ended:?}").contains("hunter2"));
}

#[test]
fn the_other_webhooks_of_github() {
    let repository = json!({"full_name": "shop/checkout", "name": "checkout", "default_branch": "main"});
    let release = json!({"action": "published", "release": {"tag_name": "v2", "published_at": "2026-01-31T12:00:00Z"}, "repository": repository});
    assert_eq!(one(&[("x-github-event", "release")], &release).version.as_deref(), Some("v2"));
    let push = |branch: &str| {
        json!({"ref": format!("refs/heads/{branch}"), "after": "0123456789abcdef", "repository": repository,
        "head_commit": {"message": "Mend it\n\nmore", "timestamp": "2026-01-31T12:00:00Z"}, "pusher": {"name": "mia"}})
    };
    let pushed = one(&[("x-github-event", "push")], &push("main"));
    assert_eq!((pushed.title.as_str(), pushed.version.as_deref()), ("Mend it", Some("0123456789ab")));
    assert_eq!(take(&[("x-github-event", "push")], &push("side")).unwrap().ignored[0].0, "side_branch");
    let run = json!({"action": "completed", "repository": repository, "workflow_run": {"id": 5, "name": "Deploy", "head_branch": "main",
        "run_started_at": "2026-01-31T12:00:00Z", "updated_at": "2026-01-31T12:20:00Z", "conclusion": "success"}});
    assert_eq!(one(&[("x-github-event", "workflow_run")], &run).until, Some(secs("2026-01-31T12:20:00Z")));
    assert_eq!(take(&[("x-github-event", "ping")], &json!({"zen": "."})).unwrap().ignored[0].0, "ping");
    assert!(matches!(
        take(&[("x-github-event", "deployment")], &json!({"repository": repository})),
        Err(Refused::Lacks(_))
    ));
}

#[test]
fn webhooks_of_gitlab() {
    let project = json!({"name": "checkout", "path_with_namespace": "shop/checkout", "default_branch": "main", "web_url": "https://git.example/shop/checkout"});
    let deployment = json!({"object_kind": "deployment", "status": "success", "status_changed_at": "2026-01-31 13:00:00 +0100",
        "deployment_id": 15, "environment": "production", "short_sha": "279484c0", "user": {"username": "mia", "email": "m@x"}, "project": project});
    let told = one(&[("x-gitlab-event", "Deployment Hook")], &deployment);
    assert_eq!((told.at, told.environment.as_deref()), (secs("2026-01-31T12:00:00Z"), Some("production")));
    assert_eq!((told.version.as_deref(), told.author.as_deref()), (Some("279484c0"), Some("mia")));
    let push = json!({"object_kind": "push", "ref": "refs/heads/main", "checkout_sha": "0123456789abcdef", "project": project,
        "user_username": "mia", "commits": [{"title": "Mend it", "timestamp": "2026-01-31T12:00:00Z"}]});
    assert_eq!(one(&[], &push).title, "Mend it");
    let pipeline = json!({"object_kind": "pipeline", "object_attributes": {"id": 31, "ref": "main", "status": "success",
        "created_at": "2026-01-31 12:00:00 UTC", "finished_at": "2026-01-31 12:05:00 UTC"}, "project": project});
    assert_eq!(one(&[], &pipeline).until, Some(secs("2026-01-31T12:05:00Z")));
    let release = json!({"object_kind": "release", "tag": "v3", "released_at": "2026-01-31 12:00:00 UTC", "action": "create", "project": project});
    assert_eq!(one(&[], &release).kind, ChangeKind::Release);
    assert_eq!(take(&[], &json!({"object_kind": "issue", "project": project})).unwrap().ignored.len(), 1);
    assert!(take(&[], &json!({"object_kind": "push"})).is_err());
}

#[test]
fn syncs_of_argo_cd() {
    let whole = json!({"app": {"metadata": {"name": "checkout"}, "spec": {"destination": {"namespace": "shop"}},
        "status": {"operationState": {"phase": "Succeeded", "startedAt": "2026-01-31T12:00:00Z", "finishedAt": "2026-01-31T12:03:00Z",
            "syncResult": {"revision": "0123456789abcdef"}}}}});
    let told = one(&[], &whole);
    assert_eq!((told.service.as_deref(), told.version.as_deref()), (Some("checkout"), Some("0123456789ab")));
    assert_eq!(told.until, Some(secs("2026-01-31T12:03:00Z")));
    let flat = json!({"app": "checkout", "revision": "0123456789abcdef", "phase": "Running", "startedAt": "2026-01-31T12:00:00Z"});
    assert_eq!(one(&[], &flat).id, told.id);
}

#[test]
fn events_of_kubernetes() {
    let event = |kind: &str, name: &str, reason: &str| {
        json!({"kind": "Event", "metadata": {"uid": name}, "reason": reason,
        "message": "Scaled up replica set checkout-7d9fc6b5d4 to 3 from 0", "lastTimestamp": "2026-01-31T12:00:00Z",
        "involvedObject": {"kind": kind, "name": name, "namespace": "shop"}})
    };
    let scaled = one(&[], &event("Deployment", "checkout", "ScalingReplicaSet"));
    assert_eq!((scaled.kind, scaled.service.as_deref()), (ChangeKind::Scaling, Some("checkout")));
    let killed = one(&[], &event("Pod", "checkout-7d9fc6b5d4-x2k8p", "Killing"));
    assert_eq!((killed.service.as_deref(), killed.instances.len()), (Some("checkout"), 1));
    let node = one(&[], &event("Node", "node-7", "NodeNotReady"));
    assert_eq!((node.service, node.attributes["k8s.node.name"].as_str()), (None, "node-7"));
    assert_eq!(take(&[], &event("Pod", "p", "Pulled")).unwrap().ignored[0].0, "event_reason");
    let list = json!({"kind": "EventList", "items": [event("Node", "a", "NodeReady"), event("Node", "b", "Rebooted")]});
    assert_eq!(take(&[], &list).unwrap().changes.len(), 2);
    assert!(take(&[], &json!({"involvedObject": {"name": "x"}})).is_err());
}

#[test]
fn cloud_events_in_both_modes() {
    let data = json!({"context": {"timestamp": "2026-01-31T12:00:00Z"}, "subject": {"id": "checkout", "content":
        {"environment": {"id": "production"}, "artifactId": "pkg:oci/checkout@sha256:0123?tag=1.4"}}});
    let event = json!({"specversion": "1.0", "id": "e-1", "source": "/ci", "type": "dev.cdevents.service.deployed.0.1.1", "data": data});
    let told = one(&[("content-type", "application/cloudevents+json")], &event);
    assert_eq!((told.service.as_deref(), told.version.as_deref()), (Some("checkout"), Some("1.4")));
    assert_eq!(told.at, secs("2026-01-31T12:00:00Z"));
    let headers = [
        ("ce-specversion", "1.0"),
        ("ce-id", "e-1"),
        ("ce-source", "/ci"),
        ("ce-type", "dev.cdevents.service.deployed.0.1.1"),
    ];
    assert_eq!(one(&headers, &data), told);
    let own = json!({"specversion": "1.0", "id": "e-2", "source": "/flags", "type": "example.flag", "time": "2026-01-31T12:00:00Z",
        "data": {"title": "new cart on", "kind": "feature_flag"}});
    assert_eq!(one(&[], &own).id, "/flags/e-2");
    let other = json!({"specversion": "1.0", "id": "e-3", "source": "/x", "type": "order.placed", "data": {}});
    assert!(matches!(take(&[], &other), Err(Refused::Lacks(_))));
}

#[test]
fn what_is_not_recognised_is_refused_by_what_it_lacks() {
    let header = |_: &str| Some("application/x-www-form-urlencoded".to_owned());
    assert_eq!(read(&header, b"payload=x", NOW).unwrap_err().reason(), "content_type");
    for body in [
        json!({}),
        json!([]),
        json!(7),
        json!({"kind": "fire", "title": "x"}),
        json!({"title": "x", "at": "soon"}),
        json!([7]),
    ] {
        match take(&[], &body) {
            Ok(told) => assert_eq!((told, &body), (Reported::default(), &json!([]))),
            Err(refused) => assert!(!refused.to_string().is_empty() && !refused.hint().is_empty()),
        }
    }
    let many = Value::Array(vec![json!({"title": "x"}); 501]);
    assert_eq!(take(&[], &many).unwrap_err(), Refused::TooMany(501));
}

#[test]
fn changes_read_back_from_the_log_as_they_were() {
    let changes = vec![one(&[], &json!({"title": "x", "attributes": {"a": "b"}})), Change::default()];
    assert_eq!(kept::read(1, &kept::written(&changes).unwrap()).unwrap(), changes);
    assert!(matches!(kept::read(7, &[9]), Err(kept::Error::Unknown { sequence: 7 })));
    assert!(matches!(kept::read(7, b"\x01{"), Err(kept::Error::Unreadable { sequence: 7, .. })));
}
