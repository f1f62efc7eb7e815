//! Finding the 5,000 keys of 5 M that lack their second event among 10 M events. Batch engines ask once of a loaded
//! table, streaming engines follow the events and fire a timer for each key: they are reported apart.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::Plan;
use super::place::{Place, cores, jars, programs, told};
use super::table::{Table, median, millions};
use crate::{run, say};

const KEYS_LACKING: usize = 5_000;

/// The generated events, and the truth about them.
struct Data {
    events: PathBuf,
    lacking: Vec<String>,
    /// Where a search writes what it found.
    found: PathBuf,
}

/// What one engine came to.
struct Figure {
    name: String,
    events: f64,
    /// Median over the runs.
    rate: f64,
    /// Processor time over time.
    cores: f64,
    load_seconds: f64,
}

pub(super) fn measure(plan: &Plan, place: &Place) -> Result<(String, String)> {
    let data = generate(place)?;
    let minimal = ours(plan, place, &data, ("minimal", 1))?;
    let threaded = ours(plan, place, &data, ("minimal", cores()))?;
    let full = ours(plan, place, &data, ("full", 1))?;
    let flink = plan.wants("flink").then(|| flink(plan, place, &data)).transpose()?;
    let bytewax = plan.wants("bytewax").then(|| bytewax(plan, place, &data)).transpose()?;
    let mut batch = Vec::new();
    for peer in ["duckdb", "clickhouse", "polars"] {
        if plan.wants(peer) {
            batch.push((peer, batch_engine(peer, plan, place, &data)?));
        }
    }
    let mut line = format!("search {} events/s on one core", millions(minimal.rate));
    if let Some(flink) = &flink {
        line += &format!(", {:.2} x flink a core", (minimal.rate / minimal.cores) / (flink.rate / flink.cores));
    }
    if let Some((_, duckdb)) = batch.iter().find(|(peer, _)| *peer == "duckdb") {
        line += &format!(", {:.2} x duckdb's batch query on {} cores", minimal.rate / duckdb.rate, cores());
    }
    let text = format!(
        "The 5,000 keys of 5 M that lack their second event, among {} events that arrive up to 100 ms out of order. \
         Medians of {} runs; each found exactly those keys.\n\n{}",
        minimal.events,
        plan.rounds,
        streaming_table([&minimal, &threaded, &full].into_iter().chain(&flink).chain(&bytewax)),
    );
    let text = if batch.is_empty() { text } else { format!("{text}\n{}", batch_table(&batch)) };
    std::fs::remove_dir_all(data.events.parent().unwrap_or(&data.events))?;
    Ok((text, line))
}

fn streaming_table<'a>(figures: impl Iterator<Item = &'a Figure>) -> String {
    let mut table = Table::new(&["streaming: a timer for each key", "events/s", "cores used", "for each core used"]);
    for figure in figures {
        let cores = format!("{:.2}", figure.cores);
        table.row(vec![figure.name.clone(), millions(figure.rate), cores, millions(figure.rate / figure.cores)]);
    }
    table.text()
}

fn batch_table(figures: &[(&str, Figure)]) -> String {
    let mut table = Table::new(&[
        "batch: one query over a loaded table",
        "rows/s",
        "cores used",
        "for each core used",
        "with loading, rows/s",
    ]);
    for (_, figure) in figures {
        let with_loading = figure.events / (figure.events / figure.rate + figure.load_seconds);
        let cores = format!("{:.2}", figure.cores);
        let of_core = millions(figure.rate / figure.cores);
        table.row(vec![figure.name.clone(), millions(figure.rate), cores, of_core, millions(with_loading)]);
    }
    table.text()
}

fn generate(place: &Place) -> Result<Data> {
    let folder = place.fresh("search")?;
    run({
        let mut load = place.program("truegreen-load");
        load.arg("events").arg(&folder);
        load
    })?;
    let lacking = keys(&folder.join("lacking.txt"))?;
    ensure!(lacking.len() == KEYS_LACKING, "{} keys lack their second event", lacking.len());
    Ok(Data { events: folder.join("events.csv"), lacking, found: folder.join("found.txt") })
}

/// Sorted.
fn keys(file: &Path) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let mut keys: Vec<String> = text.lines().map(str::to_owned).collect();
    keys.sort_unstable();
    Ok(keys)
}

fn ours(plan: &Plan, place: &Place, data: &Data, (records, threads): (&str, usize)) -> Result<Figure> {
    let mut load = place.program("truegreen-load");
    load.args(["absence", "--records", records, "--threads", &threads.to_string()]);
    load.args(["--runs", &plan.rounds.to_string()]);
    load.arg("--events").arg(&data.events).arg("--found").arg(&data.found);
    let told = told(&mut load)?;
    let size = told["bytes_per_event"].as_f64().unwrap_or_default();
    let name = match records {
        "minimal" if threads > 1 => format!("**Truegreen**, the same on {threads} threads"),
        "minimal" => format!("**Truegreen**, log records of time, name and key ({size:.0} B): the engine alone"),
        _ => format!("**Truegreen**, log records as applications send them ({size:.0} B), checked first"),
    };
    figure(name, &told, data)
}

/// Its rate is for one parallel instance: the reader and the keyed operator are threads of their own within it.
fn flink(plan: &Plan, place: &Place, data: &Data) -> Result<Figure> {
    let libraries = jars(&place.install("flink")?.join("pyflink/lib"));
    let classes = place.fresh("flink-classes")?;
    let mut javac = Command::new("javac");
    javac.args(["-nowarn", "-cp", &libraries, "-d"]).arg(&classes).arg(programs().join("Absence.java"));
    run(javac).context("Flink needs a Java development kit\nhint: `apt-get install openjdk-17-jdk-headless`")?;
    let mut java = Command::new("java");
    java.args(["-Xmx2g", "--add-opens=java.base/java.util=ALL-UNNAMED", "--add-opens=java.base/java.lang=ALL-UNNAMED"]);
    java.arg("-cp").arg(format!("{}:{libraries}", classes.display())).arg("Absence");
    java.arg(&data.events).arg(&data.found).arg(plan.rounds.to_string());
    let told = told(&mut java)?;
    let version = told["version"].as_str().unwrap_or_default();
    figure(format!("Flink {version}, keyed process function, parallelism {}", told["parallelism"]), &told, data)
}

fn bytewax(plan: &Plan, place: &Place, data: &Data) -> Result<Figure> {
    place.install("bytewax")?;
    let (mut seconds, mut last) = (Vec::new(), Value::Null);
    for _ in 0..plan.rounds {
        let mut python = Command::new(place.python()?);
        python.args(["-m", "bytewax.run", "bytewax_flow"]).current_dir(programs());
        python.env("EVENTS", &data.events).env("FOUND", &data.found).env("PYTHONDONTWRITEBYTECODE", "1");
        last = told(&mut python)?;
        seconds.push(last["seconds"][0].clone());
    }
    last["seconds"] = Value::Array(seconds);
    let version = last["version"].as_str().unwrap_or_default();
    figure(format!("Bytewax {version}, one worker"), &last, data)
}

fn batch_engine(peer: &str, plan: &Plan, place: &Place, data: &Data) -> Result<Figure> {
    place.install(peer)?;
    let folder = place.fresh(peer)?;
    let mut python = Command::new(place.python()?);
    python.arg(programs().join("batch.py")).arg(peer).arg(&data.events).arg(&data.found).arg(&folder);
    python.arg(plan.rounds.to_string()).arg(cores().to_string());
    let told = told(&mut python)?;
    std::fs::remove_dir_all(folder)?;
    let mut name = match peer {
        "duckdb" => "DuckDB".to_owned(),
        "clickhouse" => "ClickHouse in process, chdb".to_owned(),
        _ => "Polars".to_owned(),
    };
    name += &format!(" {}", told["version"].as_str().unwrap_or_default());
    if let Some(layout) = told["layout"].as_str().filter(|layout| !layout.is_empty()) {
        name += &format!(", {layout}");
    }
    figure(name, &told, data)
}

/// The figure of an engine that found what there is to find; anything else fails the run.
fn figure(name: String, told: &Value, data: &Data) -> Result<Figure> {
    let found = keys(&data.found)?;
    ensure!(
        found == data.lacking,
        "{name} found {} keys rather than exactly the {} that lack their second event",
        found.len(),
        data.lacking.len()
    );
    // Nobody may be credited with what someone else found.
    std::fs::remove_file(&data.found)?;
    let seconds: Vec<f64> = told["seconds"].as_array().into_iter().flatten().filter_map(Value::as_f64).collect();
    ensure!(!seconds.is_empty(), "{name} does not say how long it took");
    let events = told["events"].as_f64().filter(|n| *n > 0.0).with_context(|| format!("{name} counts no events"))?;
    let rate = events / median(&seconds);
    say(&format!("  search: {:>7} events/s  {name}", millions(rate)));
    Ok(Figure {
        events,
        rate,
        cores: told["cores"].as_f64().filter(|cores| *cores > 0.0).context("no processor time is told")?,
        load_seconds: told["load_seconds"].as_f64().unwrap_or_default(),
        name,
    })
}
