//! Tokens and health checks, over real HTTP.

use opentelemetry::trace::Status;
use serde_json::json;

use super::routes;
use crate::Fault;
use crate::scene::{NOW_MS, Scene, ask, attribute};
use crate::token::Token;

struct Open {
    scene: Scene,
    url: String,
}

async fn open(fault: Fault, fixed: bool) -> Open {
    let mut scene = Scene::new();
    let (config, own) = scene.payments(fault, fixed);
    let telemetry = scene.telemetry_ahead_by(config.clock_ahead_ms);
    let routes = routes(&config, &own, &telemetry).unwrap();
    let url = scene.serve("payments", routes, &telemetry).await;
    Open { scene, url }
}

impl Open {
    async fn pay(&self, order: &str, token: Option<Token>) -> u16 {
        let (url, order) = (format!("{}/payments", self.url), order.to_owned());
        ask(move |agent| {
            let mut request = agent.post(url);
            if let Some(token) = token {
                request = request.header("authorization", token.authorization());
            }
            request.send_json(json!({ "order_id": order, "method": "card" }))
        })
        .await
    }

    async fn health(&self) -> u16 {
        let url = format!("{}/healthz", self.url);
        ask(move |agent| agent.get(url).call()).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payment_needs_a_token_and_is_written_down() {
    let open = open(Fault::None, false).await;
    assert_eq!(open.pay("ord-1", None).await, 401);
    assert_eq!(open.pay("ord-1", Some(Token::issue(NOW_MS - 31_001))).await, 401);
    assert_eq!(open.pay("ord-1", Some(Token::issue(NOW_MS))).await, 201);
    let errors: Vec<_> = open.scene.spans("POST /payments").iter().map(|span| attribute(span, "error.type")).collect();
    assert_eq!(errors, [Some("missing".to_owned()), Some("expired".to_owned()), None]);
    assert_eq!(attribute(&open.scene.span("INSERT payments"), "db.response.affected_rows").as_deref(), Some("1"));
    assert_eq!((open.health().await, open.scene.truth().refused_tokens), (200, 2));
}

/// The bug's story: nothing is wrong with the token, nor with who issued it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn to_a_host_that_is_behind_a_fresh_token_is_not_yet_valid() {
    let late = open(Fault::ClockSkew, false).await;
    assert_eq!(late.pay("ord-1", Some(Token::issue(NOW_MS))).await, 401);
    assert_eq!(late.pay("ord-2", Some(Token::issue(NOW_MS - 6_000))).await, 201, "the same token, six seconds later");
    let refused = &late.scene.spans("POST /payments")[0];
    assert_eq!((attribute(refused, "error.type").as_deref(), &refused.status), (Some("not_yet_valid"), &Status::Unset));
    let behind = late.scene.telemetry.clock.now().duration_since(refused.end_time).unwrap();
    assert_eq!(behind.as_millis(), 7_000, "its telemetry goes by the same clock");
    assert_eq!(open(Fault::ClockSkew, true).await.pay("ord-1", Some(Token::issue(NOW_MS))).await, 201);
}

/// The bug's story: the database fails over to a replica; the health check reads, and reading works.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_health_check_that_only_reads_passes_while_nothing_is_written() {
    let lying = open(Fault::LyingHealth, false).await;
    for n in 0..25 {
        assert_eq!(lying.pay(&format!("ord-{n}"), Some(Token::issue(NOW_MS))).await, 201);
        assert_eq!(lying.health().await, 200);
    }
    let failed: Vec<_> = lying
        .scene
        .spans("INSERT payments")
        .into_iter()
        .filter(|span| attribute(span, "error.type").as_deref() == Some("readonly"))
        .collect();
    assert_eq!(failed.len(), 5);
    assert_eq!(attribute(&failed[0], "db.response.status_code").as_deref(), Some("8"));
    assert!(lying.scene.spans("POST /payments").iter().all(|span| span.status == Status::Unset));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_repaired_payments_say_that_they_cannot_write() {
    let honest = open(Fault::LyingHealth, true).await;
    for n in 0..20 {
        assert_eq!(honest.pay(&format!("ord-{n}"), Some(Token::issue(NOW_MS))).await, 201);
    }
    assert_eq!(honest.health().await, 200);
    assert_eq!(honest.pay("ord-20", Some(Token::issue(NOW_MS))).await, 503);
    assert_eq!(honest.health().await, 503);
}
