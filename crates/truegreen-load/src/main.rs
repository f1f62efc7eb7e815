//! Development only: what the comparison with peers needs beside the server itself. `cargo xtask bench --peers` runs
//! it. Read [`prepared`] and [`send`] for the intake, [`events`] and [`absence`] for the search.

mod absence;
mod books;
mod busy;
mod ceiling;
mod events;
mod prepared;
mod send;
mod wire;

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use clap::Parser;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser)]
#[command(name = "truegreen-load", about = "Development only: load for the comparison with peers")]
enum Command {
    /// Send prepared requests of spans over gRPC; prints what was acknowledged as JSON
    Send {
        /// Where OTLP/gRPC is taken
        #[arg(long)]
        grpc: String,
        /// Where a Truegreen shows its books, which must then hold exactly what was acknowledged
        #[arg(long)]
        web: Option<String>,
        #[arg(long, default_value_t = 15)]
        seconds: u64,
        #[arg(long, default_value_t = 2)]
        connections: usize,
        /// Calls at once, over all connections
        #[arg(long, default_value_t = 16)]
        streams: usize,
        /// How many of the five services tell of each order; of fewer, each order is left open
        #[arg(long, default_value_t = prepared::SERVICES.len())]
        services: usize,
        /// Stop after so many orders
        #[arg(long, default_value_t = u64::MAX)]
        orders: u64,
    },
    /// Print the contract of the flow that is sent
    Contract,
    /// Serve Truegreen's gRPC intake with nothing behind it
    Ceiling,
    /// Write events.csv and lacking.txt
    Events {
        folder: PathBuf,
        #[arg(long, default_value_t = 5_000_000)]
        orders: u32,
    },
    /// Find what lacks its second event, by the engine in process; prints the times as JSON
    Absence {
        #[arg(long)]
        events: PathBuf,
        #[arg(long, value_enum)]
        records: absence::Records,
        #[arg(long, default_value_t = 1)]
        threads: usize,
        #[arg(long, default_value_t = 3)]
        runs: usize,
        /// Where to write the keys
        #[arg(long)]
        found: PathBuf,
    },
}

fn main() -> Result<()> {
    match Command::parse() {
        Command::Send { grpc, web, seconds, connections, streams, services, orders } => {
            let plan = send::Plan {
                connections: connections.max(1),
                streams: streams.max(1),
                duration: Duration::from_secs(seconds),
                services: services.clamp(1, prepared::SERVICES.len()),
                orders,
            };
            // One thread: what is measured shares two cores with it.
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(send_and_verify(&grpc, web.as_deref(), plan))
        }
        Command::Contract => {
            say(prepared::CONTRACT.trim_end());
            Ok(())
        }
        Command::Ceiling => ceiling::serve(),
        Command::Events { folder, orders } => {
            say(&format!("{} events", events::write(&folder, orders)?));
            Ok(())
        }
        Command::Absence { events, records, threads, runs, found } => {
            say(&absence::search(&events, (records, threads), runs, &found)?.to_string());
            Ok(())
        }
    }
}

async fn send_and_verify(grpc: &str, web: Option<&str>, plan: send::Plan) -> Result<()> {
    let sent = send::send(grpc, plan).await?;
    let mut told = sent.json();
    if let Some(web) = web {
        told["books_closed_after_seconds"] = books::verify(web, &sent).await?.as_secs_f64().into();
    }
    say(&told.to_string());
    Ok(())
}

/// For the harness to read: a line at once, however stdout is buffered.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    // A harness that is gone reads nothing.
    drop(writeln!(out, "{line}").and_then(|()| out.flush()));
}
