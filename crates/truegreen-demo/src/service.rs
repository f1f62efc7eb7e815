//! The life of one service process: read the configuration, send telemetry, serve until asked to stop, flush.

use std::path::Path;
use std::sync::Arc;

use opentelemetry::Context;
use opentelemetry::logs::Severity;
use tokio::sync::{Notify, watch};

use crate::config::{Role, ServiceConfig};
use crate::relay;
use crate::telemetry::{Event, Telemetry};
use crate::{Error, inventory, orders, payments, storefront};

/// Becomes true once, when the service is asked to stop.
#[derive(Clone)]
pub(crate) struct Stop(watch::Receiver<bool>);

impl Stop {
    pub(crate) async fn requested(&mut self) {
        // That nobody can ask any more is a request too.
        let _asked = self.0.wait_for(|asked| *asked).await;
    }

    pub(crate) fn is_requested(&self) -> bool {
        *self.0.borrow()
    }

    /// Asked for by the sender.
    #[cfg(test)]
    pub(crate) fn by(asked: watch::Receiver<bool>) -> Stop {
        Stop(asked)
    }
}

/// What the hidden subcommand `demo-service <role> --config <file>` runs: one service of the pipeline, until standard
/// input ends (its orchestrator is gone or wants it to stop), SIGTERM or SIGINT. Its port is the first line of standard
/// output. Needs a multi-threaded tokio runtime, which is to be shut down in the background: requests that never end
/// are part of the demo.
///
/// # Errors
/// The configuration does not read or is for another role, or the service cannot serve.
pub async fn serve_role(role: &str, config: &Path) -> Result<(), Error> {
    let config = ServiceConfig::read(config)?;
    if config.role.name() != role {
        return Err(Error::Role(role.to_owned()));
    }
    let stop = stop_requests();
    let fuse = Arc::new(Notify::new());
    let endpoint = relay::start(&config.otlp_endpoint, config.export.road, Arc::clone(&fuse)).await?;
    let telemetry = Telemetry::start(&config, &endpoint)?;
    let started = Event {
        name: "service.started",
        severity: Severity::Info,
        body: format!("{role} {} started", config.version),
        attributes: Vec::new(),
    };
    telemetry.emit(started, &Context::new());
    let served = match &config.role {
        Role::Storefront(own) => storefront::serve(&config, own, &telemetry, stop).await,
        Role::Orders(own) => orders::serve(&config, own, &telemetry, stop).await,
        Role::Payments(own) => payments::serve(&config, own, &telemetry, stop).await,
        Role::Inventory(own) => inventory::serve(&config, own, &telemetry, stop, fuse).await,
    };
    telemetry.stop().await?;
    served
}

fn stop_requests() -> Stop {
    let (ask, asked) = watch::channel(false);
    let by_signal = ask.clone();
    tokio::spawn(async move {
        signal().await;
        by_signal.send_replace(true);
    });
    // A thread of its own: a read of standard input cannot be cancelled, and would hold up the end of the runtime.
    std::thread::spawn(move || {
        let _end = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        ask.send_replace(true);
    });
    Stop(asked)
}

#[cfg(unix)]
async fn signal() {
    use tokio::signal::unix::{SignalKind, signal};
    // A handler that cannot be installed leaves the signal its usual effect: the process ends.
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        return std::future::pending().await;
    };
    let Ok(mut interrupt) = signal(SignalKind::interrupt()) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

#[cfg(not(unix))]
async fn signal() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending().await
    }
}
