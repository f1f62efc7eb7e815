//! Spans acknowledged per second, end to end over OTLP/gRPC: sender and server share the machine, every server takes
//! the same prepared requests from the same sender.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use super::Plan;
use super::place::{Place, told};
use super::process::{Server, free_address};
use super::table::{Table, millions};
use crate::say;

/// Threads that cost less are counted and not named.
const LEAST_TOLD_NS: f64 = 5.0;

/// Who is measured.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Subject {
    /// The same receiver, answering at once.
    Ceiling,
    Truegreen,
    /// The same without its log: nothing outlives the process.
    WithoutLog,
    Rotel,
}

impl Subject {
    fn name(self) -> &'static str {
        match self {
            Subject::Ceiling => "the same gRPC server with nothing behind it",
            Subject::Truegreen => "**Truegreen**: durable before it is acknowledged",
            Subject::WithoutLog => "Truegreen, `--no-data`",
            Subject::Rotel => "Rotel 0.0.1a15, `--exporter blackhole`",
        }
    }
}

/// One round of one subject.
struct Round {
    rate: f64,
    sent: Value,
    /// Processor time of the server per span in nanoseconds, by thread.
    threads: Vec<(String, f64)>,
}

/// All rounds of one subject.
struct Measured {
    subject: Subject,
    /// The slowest first.
    rounds: Vec<Round>,
}

impl Measured {
    /// The one whose figures are shown.
    fn median(&self) -> &Round {
        &self.rounds[(self.rounds.len() - 1) / 2]
    }

    fn rate(&self) -> f64 {
        self.median().rate
    }

    fn of(&self, pointer: &str) -> f64 {
        self.median().sent.pointer(pointer).and_then(Value::as_f64).unwrap_or_default()
    }
}

pub(super) fn measure(plan: &Plan, place: &Place) -> Result<(String, String)> {
    let mut subjects = vec![Subject::Ceiling, Subject::Truegreen, Subject::WithoutLog];
    if plan.wants("rotel") {
        place.install("rotel")?;
        subjects.push(Subject::Rotel);
    }
    let mut measured: Vec<Measured> =
        subjects.into_iter().map(|subject| Measured { subject, rounds: Vec::new() }).collect();
    // In turn, so that a machine that gets busier does so for all.
    for n in 1..=plan.rounds {
        for Measured { subject, rounds } in &mut measured {
            let round = round(*subject, plan, place).with_context(|| format!("measuring {}", subject.name()))?;
            say(&format!("  intake {n}/{}: {:>7} spans/s  {}", plan.rounds, millions(round.rate), subject.name()));
            rounds.push(round);
        }
    }
    for Measured { rounds, .. } in &mut measured {
        rounds.sort_by(|a, b| a.rate.total_cmp(&b.rate));
    }
    let text = format!(
        "Requests of 1,000 spans, {:.0} B each, not compressed; {} calls at once over {} connections; {} rounds of \
         {} s; in Truegreen one span in five is a step, and after each round its books held exactly what was \
         acknowledged.\n\n{}\n{}",
        measured[0].of("/bytes_per_span"),
        plan.streams,
        plan.connections,
        plan.rounds,
        plan.duration.as_secs(),
        rates(&measured),
        costs(&measured),
    );
    let rate_of = |subject| measured.iter().find(|measured| measured.subject == subject).map(Measured::rate);
    let ours = rate_of(Subject::Truegreen).unwrap_or_default();
    let ceiling = rate_of(Subject::Ceiling).unwrap_or_default();
    let mut line = format!("intake {} durable spans/s, {:.0} % of the ceiling", millions(ours), 100.0 * ours / ceiling);
    if let Some(rotel) = rate_of(Subject::Rotel) {
        line += &format!(", {:.2} x rotel", ours / rotel);
    }
    Ok((text, line))
}

fn rates(measured: &[Measured]) -> String {
    let head = ["OTLP/gRPC", "spans/s acknowledged", "all rounds", "of the ceiling", "p50, p99", "refused calls"];
    let mut table = Table::new(&head);
    for one in measured {
        let all: Vec<String> = one.rounds.iter().map(|round| millions(round.rate)).collect();
        table.row(vec![
            one.subject.name().to_owned(),
            millions(one.rate()),
            all.join(", "),
            format!("{:.0} %", 100.0 * one.rate() / measured[0].rate()),
            format!("{:.0} ms, {:.0} ms", one.of("/latency_ms/p50"), one.of("/latency_ms/p99")),
            format!("{:.0}", one.of("/refused_calls")),
        ]);
    }
    table.text()
}

fn costs(measured: &[Measured]) -> String {
    let mut table = Table::new(&["processor time, ns a span", "server", "by thread", "sender"]);
    for one in measured {
        let threads = &one.median().threads;
        let told = threads.iter().filter(|(_, ns)| *ns >= LEAST_TOLD_NS).map(|(name, ns)| format!("{name} {ns:.0}"));
        table.row(vec![
            one.subject.name().to_owned(),
            format!("{:.0}", threads.iter().map(|(_, ns)| ns).sum::<f64>()),
            told.collect::<Vec<_>>().join(", "),
            format!("{:.0}", one.of("/sender_ns_per_span")),
        ]);
    }
    table.text()
}

fn round(subject: Subject, plan: &Plan, place: &Place) -> Result<Round> {
    let folder = place.fresh("intake")?;
    let (server, grpc, web) = start(subject, place, &folder)?;
    let mut send = place.program("truegreen-load");
    send.args(["send", "--grpc", &grpc, "--seconds", &plan.duration.as_secs().to_string()]);
    send.args(["--streams", &plan.streams.to_string(), "--connections", &plan.connections.to_string()]);
    if let Some(web) = web {
        send.args(["--web", &web]);
    }
    let sent = told(&mut send)?;
    let spans = sent["spans"].as_f64().context("the sender does not say what it sent")?;
    let mut threads: Vec<(String, f64)> =
        server.busy()?.into_iter().map(|(name, seconds)| (name, seconds * 1e9 / spans)).collect();
    threads.sort_by(|a, b| b.1.total_cmp(&a.1));
    drop(server);
    std::fs::remove_dir_all(&folder)?;
    let rate = sent["spans_per_second"].as_f64().context("the sender does not say how fast it was")?;
    Ok(Round { rate, sent, threads })
}

/// The server, where it takes gRPC, and where it shows its books.
fn start(subject: Subject, place: &Place, folder: &Path) -> Result<(Server, String, Option<String>)> {
    let log = folder.join("stderr.txt");
    match subject {
        Subject::Ceiling => {
            let mut command = place.program("truegreen-load");
            command.arg("ceiling");
            let mut server = Server::start(command, "the ceiling", &log)?;
            let [grpc] = server.addresses(["OTLP/gRPC"])?;
            Ok((server, grpc, None))
        }
        Subject::Truegreen | Subject::WithoutLog => {
            let contract = super::place::output(place.program("truegreen-load").arg("contract"))?;
            let flows = folder.join("orders.yaml");
            std::fs::write(&flows, contract)?;
            let mut command = place.program("truegreen");
            command.arg("serve").arg("--flows").arg(flows);
            command.args(["--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0", "--web", "127.0.0.1:0"]);
            if subject == Subject::Truegreen {
                command.arg("--data").arg(folder.join("data"));
            } else {
                command.arg("--no-data");
            }
            let mut server = Server::start(command, "truegreen", &log)?;
            let [grpc, web] = server.addresses(["OTLP/gRPC", "page, API"])?;
            Ok((server, grpc, Some(web)))
        }
        Subject::Rotel => {
            let (grpc, http) = (free_address()?, free_address()?);
            let mut command = Command::new(place.install("rotel")?.join("rotel/rotel-agent"));
            command.args(["start", "--exporter", "blackhole", "--otlp-grpc-max-recv-msg-size-mib", "16"]);
            command.args(["--otlp-grpc-endpoint", &grpc.to_string(), "--otlp-http-endpoint", &http.to_string()]);
            command.arg("--pid-file").arg(folder.join("pid")).arg("--log-file").arg(folder.join("log"));
            let mut server = Server::start(command, "rotel", &log)?;
            server.until_listening(grpc)?;
            Ok((server, grpc.to_string(), None))
        }
    }
}
