//! The receiver with nothing behind it: the same listeners and the same reading of gRPC calls, answered at once. No
//! server that does something with what it is sent can be quicker.

use anyhow::Result;
use truegreen::config::Config;
use truegreen::ingest::Intake;
use truegreen::server::Server;

use crate::say;

/// Serves on a free port of this machine until the process is ended.
pub(crate) fn serve() -> Result<()> {
    let mut config = Config::default();
    for address in [&mut config.listen.grpc, &mut config.listen.http, &mut config.listen.web] {
        address.set_port(0);
    }
    tokio::runtime::Runtime::new()?.block_on(async {
        let server = Server::mounting(&config, Vec::new(), Vec::new(), Intake::router_to_nowhere).await?;
        say(&format!("OTLP/gRPC http://{}", server.addresses().grpc));
        server.run().ended().await;
        Ok(())
    })
}
