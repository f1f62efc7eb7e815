//! What the demo tells: what was found, what ordinary monitoring says, and what really happened.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::sync::Arc;

use anstyle::{AnsiColor, Style};
use serde_json::{Value, json};
use truegreen_demo::{Fault, OrdinaryMonitoring, Setup, Truth};
use truegreen_model::diagnosis::Diagnosis;
use truegreen_model::report::Report;

use crate::commands::terminal;
use crate::monitor::ServiceSignals;
use crate::systems::latest::Probed;
use crate::systems::words;
use crate::wording;

const BOLD: Style = Style::new().bold();
/// The outcome of one run.
pub(super) struct Story {
    /// Whether the run was let go to its end.
    pub(super) finished: bool,
    pub(super) report: Report,
    /// Keys of all journeys whose verdict is unaccounted.
    pub(super) lost: Vec<String>,
    /// Why the first findings are there.
    pub(super) diagnoses: Vec<Arc<Diagnosis>>,
    /// What the real parts said when they were last asked.
    pub(super) systems: Vec<Probed>,
    pub(super) ordinary: OrdinaryMonitoring,
    pub(super) signals: BTreeMap<String, ServiceSignals>,
    pub(super) truth: Truth,
}

/// Says what is about to happen.
pub(super) fn introduce(out: &mut impl Write, setup: &Setup, page: &str) -> std::io::Result<()> {
    writeln!(
        out,
        "{BOLD}A shop takes orders: storefront -> orders (-> payments) -> queue -> inventory -> database.{BOLD:#}"
    )?;
    match (setup.fault, setup.fixed) {
        (Fault::SilentSkip, true) => {
            writeln!(out, "The repaired consumer runs: it refuses loudly what it skipped before.")?;
        }
        (fault, true) => writeln!(out, "The repaired code runs. Before ({fault}): {}.", fault.describe())?,
        (Fault::None, _) => writeln!(out, "Nothing is broken.")?,
        (fault, _) => writeln!(out, "Broken on purpose ({fault}): {}.", fault.describe())?,
    }
    if let Some(parts) = setup.parts.shown() {
        writeln!(out, "It runs on real parts: {parts}.")?;
    }
    writeln!(out, "Customers order for {} s. Watch it: {page}\n", setup.load_for.as_secs())
}

impl Story {
    /// The whole as JSON.
    pub(super) fn to_json(&self) -> Value {
        let diagnoses: Vec<&Diagnosis> = self.diagnoses.iter().map(|diagnosis| &**diagnosis).collect();
        json!({
            "health": self.report.health,
            "flows": self.report.flows,
            "findings": self.report.findings,
            "diagnoses": diagnoses,
            "unaccounted": self.lost,
            "systems": self.systems,
            "truth": self.truth,
            "ordinary": {
                "green": self.ordinary.is_green(),
                "monitoring": self.ordinary,
                "telemetry": self.signals,
            },
        })
    }

    /// The whole as text.
    pub(super) fn write(&self, out: &mut impl Write) -> std::io::Result<()> {
        if !self.finished {
            writeln!(out, "Stopped before the end: journeys that are still open are not decided.\n")?;
        }
        writeln!(out, "{BOLD}Truegreen says{BOLD:#}")?;
        terminal::write_report(out, &self.report)?;
        self.write_diagnoses(out)?;
        self.write_systems(out)?;
        writeln!(out)?;
        self.write_ordinary(out)?;
        writeln!(out)?;
        self.write_truth(out)
    }

    fn write_diagnoses(&self, out: &mut impl Write) -> std::io::Result<()> {
        for diagnosis in &self.diagnoses {
            let says = terminal::printable(&wording::sentence(&diagnosis.says));
            writeln!(out, "  Why ({}): {says}", diagnosis.verdict.name())?;
            for reason in &diagnosis.reasons {
                writeln!(out, "    - {}", terminal::printable(&wording::sentence(reason)))?;
            }
        }
        Ok(())
    }

    fn write_systems(&self, out: &mut impl Write) -> std::io::Result<()> {
        for Probed { report, .. } in &self.systems {
            write!(out, "  {} was asked itself, and says {}", report.system, report.standing.name())?;
            match words::reason(report).as_str() {
                "" => writeln!(out)?,
                why => writeln!(out, ": {}", terminal::printable(why))?,
            }
        }
        Ok(())
    }

    fn write_ordinary(&self, out: &mut impl Write) -> std::io::Result<()> {
        let ordinary = &self.ordinary;
        let (asked, passed) = ordinary.services.iter().fold((0, 0), |(a, p), s| (a + s.asked, p + s.passed));
        let sum = |of: fn(&ServiceSignals) -> u64| self.signals.values().map(of).sum::<u64>();
        let green = AnsiColor::Green.on_default().bold();
        let red = AnsiColor::Red.on_default().bold();
        write!(out, "{BOLD}Ordinary monitoring says of the same time:{BOLD:#} ")?;
        match ordinary.is_green() && sum(|s| s.failed_requests) == 0 && sum(|s| s.errors) == 0 {
            true => writeln!(out, "{green}all green{green:#}")?,
            false => writeln!(out, "{red}not all green{red:#}")?,
        }
        writeln!(out, "  health checks   {passed} of {asked} passed")?;
        writeln!(
            out,
            "  checkouts       {} answered well, {} failed; mean {}, slowest {}",
            ordinary.checkouts_placed,
            ordinary.checkouts_failed,
            milliseconds(ordinary.checkout_mean_ms),
            milliseconds(ordinary.checkout_slowest_ms)
        )?;
        let (spans, failed) = (sum(|s| s.spans), sum(|s| s.error_spans));
        if ordinary.others_failed > 0 {
            writeln!(out, "  other requests  {} failed", ordinary.others_failed)?;
        }
        writeln!(out, "  error rate      {:.1} % ({failed} of {spans} spans)", percent(failed, spans))?;
        writeln!(out, "  logs            {} errors, {} warnings", sum(|s| s.errors), sum(|s| s.warnings))?;
        let depth = ordinary.queue_depth.map_or_else(|| "not told".to_owned(), |n| wording::count(n, "message"));
        writeln!(out, "  queue           {depth} waiting")?;
        let cpu = ordinary.services.iter().filter_map(|s| s.cpu_percent.map(|p| format!("{} {p:.0} %", s.service)));
        writeln!(out, "  CPU             {}", cpu.collect::<Vec<_>>().join(", "))
    }

    fn write_truth(&self, out: &mut impl Write) -> std::io::Result<()> {
        let truth = &self.truth;
        writeln!(
            out,
            "{BOLD}What really happened{BOLD:#} (from the services' own files, which Truegreen does not read)"
        )?;
        let rejected: u64 = truth.rejected.values().sum();
        writeln!(
            out,
            "  {} orders accepted: {} updated the stock, {} sent as a file, {rejected} refused with a reason, {} lost",
            truth.entered,
            truth.updated,
            truth.sent,
            truth.lost.len()
        )?;
        let lost: BTreeSet<_> = truth.lost.iter().collect();
        let named: BTreeSet<_> = self.lost.iter().collect();
        let right = lost.intersection(&named).count();
        let wrong = named.len() - right;
        if !lost.is_empty() {
            writeln!(out, "  lost: {}", terminal::shortened(&truth.lost, truth.lost.len() as u64))?;
        }
        if !lost.is_empty() || wrong > 0 {
            writeln!(out, "  Truegreen named {right} of the {} lost, and {wrong} that were not.", lost.len())?;
        }
        self.write_other_harm(out)
    }

    /// What went wrong besides lost orders.
    fn write_other_harm(&self, out: &mut impl Write) -> std::io::Result<()> {
        let truth = &self.truth;
        let named = [
            (&truth.missed, "of the lost count as updated though no row was"),
            (&truth.unpaid, "orders are not paid"),
            (&truth.taken_twice, "orders had their stock taken more than once"),
            (&truth.unfinished_returns, "returns never came to an end"),
        ];
        for (orders, what) in named.into_iter().filter(|(orders, _)| !orders.is_empty()) {
            let shown = terminal::shortened(orders, orders.len() as u64);
            writeln!(out, "  {} {what}: {shown}", orders.len())?;
        }
        if truth.refused_tokens > 0 {
            writeln!(out, "  {} payments were refused for their token", truth.refused_tokens)?;
        }
        if truth.stale_reads > 0 {
            writeln!(out, "  {} of {} looks at a product showed an old price", truth.stale_reads, truth.reads)?;
        }
        Ok(())
    }
}

fn milliseconds(ms: Option<f64>) -> String {
    ms.map_or_else(|| "not known".to_owned(), |ms| format!("{ms:.0} ms"))
}

fn percent(part: u64, whole: u64) -> f64 {
    100.0 * part as f64 / whole.max(1) as f64
}
