//! What becomes of requests whose caller goes away.

use axum::routing::post;
use axum::{Extension, Router};
use opentelemetry::Context;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use crate::scene::Scene;

/// Scenario: the caller goes away while the work goes on in a task of its own. Guarantee: the server's span is not sent
/// before that work is done.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_lives_on_without_its_caller() {
    let mut scene = Scene::new();
    let telemetry = scene.telemetry.clone();
    let (begun, mut begins) = mpsc::channel::<(Context, mpsc::Receiver<()>)>(1);
    let work = post(async move |Extension(context): Extension<Context>, _body: String| {
        let (_dropped_with_the_handler, gone) = mpsc::channel(1);
        let _sent = begun.send((context, gone)).await;
        std::future::pending::<()>().await
    });
    let url = scene.serve("orders", Router::new().route("/work", work), &telemetry).await;
    let mut caller = TcpStream::connect(url.trim_start_matches("http://")).await.unwrap();
    caller.write_all(b"POST /work HTTP/1.1\r\nhost: orders\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    let (held, mut gone) = begins.recv().await.unwrap();
    drop(caller);
    assert_eq!(gone.recv().await, None);
    assert!(scene.spans("POST /work").is_empty());
    drop(held);
    scene.wait_for_spans("POST /work", 1).await;
}
