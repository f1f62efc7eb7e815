//! `truegreen changes`.

mod edges;

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde_json::Value;
use truegreen_engine::explain::changes::rank;
use truegreen_model::change::{Change, ChangeRanking, RankingVerdict};

use super::terminal;
use crate::changes::{own, time};

/// Find the change that most probably caused an incident
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand, Debug)]
enum What {
    Rank(Rank),
}

/// Rank changes by how probably each caused what was noticed
///
/// Calls between services are given by the minute and by instance. A change is to blame where calls to its service went worse
/// soon after it, where that starts with this service and with none that it calls, and where changed instances do worse than
/// those that were not changed. Exit code 0: one stands out, or nothing degraded; 1: several are alike, or none explains it.
#[derive(clap::Args, Debug)]
struct Rank {
    /// Changes: a JSON list of objects with `id`, `at`, `service`, and, where known, `until`, `kind`, `title`, `instances`, `version`
    #[arg(long, value_name = "FILE")]
    changes: PathBuf,
    /// Calls: CSV with time, source, target, instance, version, ok rate, latency, and, where known, requests
    #[arg(long, value_name = "FILE")]
    edges: PathBuf,
    /// When the incident was noticed: RFC 3339, or seconds since 1970
    #[arg(long, value_name = "TIME")]
    at: String,
    /// Show so many of them
    #[arg(long, value_name = "N", default_value_t = 10)]
    top: usize,
    /// All of them as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> anyhow::Result<u8> {
    let What::Rank(args) = &args.what;
    let at = time::parse(&args.at);
    let at = at.with_context(|| {
        format!("--at {} is no time\nhint: RFC 3339, as 2026-01-31T10:00:00Z, or seconds since 1970", args.at)
    })?;
    let changes = changes(&args.changes)?;
    let edges = edges::read(&args.edges, at)?;
    let ranking = rank(&changes, &edges);
    if args.json {
        writeln!(std::io::stdout(), "{}", terminal::printable_json(&serde_json::to_string_pretty(&ranking)?))?;
    } else {
        write(&mut anstream::stdout(), &ranking, args.top)?;
    }
    Ok(u8::from(matches!(ranking.verdict, RankingVerdict::Tie | RankingVerdict::NoneExplains)))
}

/// A list of changes, or an object with `changes`.
fn changes(path: &Path) -> anyhow::Result<Vec<Change>> {
    let shown = path.display();
    let text = std::fs::read(path).with_context(|| format!("cannot read {shown}"))?;
    let value: Value = serde_json::from_slice(&text).with_context(|| format!("{shown} is no JSON"))?;
    let all = value.get("changes").unwrap_or(&value);
    let all = all.as_array().map_or_else(|| std::slice::from_ref(all), Vec::as_slice);
    let read = |(place, one): (usize, &Value)| {
        own::read(one, "file", None)
            .map_err(|refused| anyhow::anyhow!("{shown}: change {}: {refused}\nhint: {}", place + 1, refused.hint()))
    };
    all.iter().enumerate().map(read).collect()
}

fn write(out: &mut impl Write, ranking: &ChangeRanking, top: usize) -> std::io::Result<()> {
    let verdict = ranking.verdict.name().replace('_', " ").to_uppercase();
    writeln!(out, "{verdict}: {}", terminal::printable(&ranking.says))?;
    if let Some(onset) = &ranking.onset {
        writeln!(out, "it began at {onset}")?;
    }
    for (place, row) in ranking.ranking.iter().take(top).enumerate() {
        let of = row.service.as_deref().map(|service| format!(" of {service}")).unwrap_or_default();
        let line =
            format!("{:>3}. {:>5.1} %  {}{of} at {}: {}", place + 1, row.score * 100.0, row.id, row.at, row.title);
        writeln!(out, "{}", terminal::printable(&line))?;
        for reason in &row.reasons {
            writeln!(out, "       - {}", terminal::printable(reason))?;
        }
    }
    let more = ranking.ranking.len().saturating_sub(top);
    if more > 0 {
        writeln!(out, "     and {more} more (--top, --json)")?;
    }
    writeln!(out, "     {:>5.1} %  none of them", ranking.none * 100.0)?;
    ranking.notes.iter().try_for_each(|note| writeln!(out, "note: {}", terminal::printable(note)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use truegreen_model::time::Timestamp;

    /// Calls to `checkout` fail from 12:20 on at its one new instance; those to `cart` are as ever.
    fn calls() -> String {
        let mut text = "timestamp,caller,callee,pod,version,success_rate,latency_ms,count\n".to_owned();
        for minute in 0..35 {
            let time = format!("2026-01-31T12:{minute:02}:00Z");
            let jitter = f64::from(minute * 7 % 5) * 0.1;
            for (callee, pod, version, ok) in [
                ("checkout", "checkout-a", "1.4", 99.5),
                ("checkout", "checkout-b", "1.4", 99.6),
                (
                    "checkout",
                    "checkout-c",
                    if minute < 19 { "1.4" } else { "1.5" },
                    if minute < 20 { 99.4 } else { 71.0 },
                ),
                ("cart", "cart-a", "7", 99.8),
            ] {
                text += &format!("{time},frontend,{callee},{pod},{version},{},{},100\n", ok + jitter, 20.0 + jitter);
            }
        }
        text
    }

    #[test]
    fn the_guilty_release_is_told_with_its_reasons() {
        let dir = tempfile::tempdir().unwrap();
        let (changes_file, edges_file) = (dir.path().join("changes.json"), dir.path().join("edges.csv"));
        let told = r#"[{"id": "r-1", "service": "checkout", "version": "1.5", "kind": "release", "at": "2026-01-31T12:19:00Z", "title": "checkout 1.5"},
            {"id": "c-1", "service": "cart", "kind": "config", "at": "2026-01-31T12:18:00Z", "title": "cart limits"},
            {"id": "r-0", "service": "checkout", "kind": "config", "at": "2026-01-31T12:31:00Z", "instances": ["checkout-a"], "title": "more memory"}]"#;
        std::fs::write(&changes_file, told).unwrap();
        std::fs::write(&edges_file, calls()).unwrap();
        let edges = edges::read(&edges_file, time::parse("2026-01-31T12:30:00Z").unwrap()).unwrap();
        let ranking = rank(&changes(&changes_file).unwrap(), &edges);
        let mut text = Vec::new();
        write(&mut text, &ranking, 10).unwrap();
        insta::assert_snapshot!(String::from_utf8(text).unwrap());
    }

    /// Scenario: columns are called otherwise and parted by semicolons; or neither instances nor versions are told, while the
    /// change names its instance. Guarantee: the guilty one is first.
    #[test]
    fn other_names_and_fewer_columns_do() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("edges.csv");
        let noticed = time::parse("2026-01-31T12:30:00Z").unwrap();
        let change = |id: &str, service: &str, at: &str, instances: &[&str]| Change {
            id: id.to_owned(),
            at: time::parse(at).unwrap(),
            service: Some(service.to_owned()),
            instances: instances.iter().map(|name| (*name).to_owned()).collect(),
            ..Change::default()
        };
        let changes = [
            change("cart limits", "cart", "2026-01-31T12:18:00Z", &[]),
            change("checkout 1.5", "checkout", "2026-01-31T12:19:00Z", &["checkout-c"]),
        ];
        let calls = calls();
        let named = calls.replace(
            "timestamp,caller,callee,pod,version,success_rate,latency_ms,count",
            "Time,sourceService,targetService,Target Instance,targetVersion,successRate,Latency (ms),requestCount",
        );
        let fewer = calls.lines().map(|line| line.split(',').collect::<Vec<_>>());
        let fewer: Vec<String> = fewer.map(|of| [of[0], of[1], of[2], of[5], of[6], of[7]].join(",")).collect();
        for text in [named.replace(',', ";"), fewer.join("\n")] {
            std::fs::write(&file, &text).unwrap();
            let ranking = rank(&changes, &edges::read(&file, noticed).unwrap());
            assert_eq!(ranking.ranking[0].id, "checkout 1.5", "{text:.80}: {ranking:#?}");
            assert!(ranking.ranking[0].score > 0.5, "{ranking:#?}");
        }
    }

    #[test]
    fn mistakes_are_told_where_they_are() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("changes.json");
        std::fs::write(&file, r#"[{"id": "a", "title": "x"}]"#).unwrap();
        assert!(changes(&file).unwrap_err().to_string().contains("change 1: a change needs a time"));
        let file = dir.path().join("edges.csv");
        std::fs::write(&file, "time,callee\n1,x\n").unwrap();
        let told = edges::read(&file, Timestamp::from_secs(1)).unwrap_err().to_string();
        assert!(told.contains("ok rate"), "{told}");
        std::fs::write(&file, "time,target,ok_rate\n1800000000,x,0.9\nsoon,x,1\n").unwrap();
        let told = edges::read(&file, Timestamp::from_secs(1_800_000_000)).unwrap_err().to_string();
        assert!(told.contains("line 3"), "{told}");
    }
}
