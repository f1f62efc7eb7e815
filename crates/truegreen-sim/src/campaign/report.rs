//! The campaign's tables, and whether what they say is enough.

use std::fmt::Write;

use truegreen_model::diagnosis::Certainty;

use super::baselines;
use super::expectation;
use super::fault::Fault;
use super::judge::{EXPORT_LAG, Judged};
use super::noise::Control;
use super::planted::DECOYS;
use super::run::{Start, Subject};
use super::why::Why;

/// Share of the runs in which kind and place must be right.
const RIGHT: f64 = 0.95;
/// Share of the runs in which the change that brought it must stand first among others.
const CHANGE_FIRST: f64 = 0.9;
/// Seconds beyond deadline and export lag that the median may take.
const QUICK: f64 = 10.0;

/// Everything that was judged.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Campaign {
    /// In no order.
    pub runs: Vec<Judged>,
    /// Runs that broke off, and why.
    pub broken: Vec<String>,
}

/// One fault over all its runs.
struct Row<'r> {
    fault: Fault,
    runs: Vec<&'r Judged>,
}

impl Row<'_> {
    fn found(&self) -> usize {
        self.runs.iter().filter(|run| run.found.is_some()).count()
    }

    fn right(&self) -> usize {
        self.runs.iter().filter(|run| run.is_right).count()
    }

    fn false_findings(&self) -> usize {
        self.runs.iter().map(|run| run.false_findings.len()).sum()
    }

    fn beyond(&self) -> Option<(f64, f64)> {
        spread(self.runs.iter().filter_map(|run| run.beyond))
    }

    fn is_enough(&self) -> bool {
        let is_quick = self.beyond().is_some_and(|(median, _)| median <= QUICK);
        self.found() == self.runs.len() && self.is_right() && is_quick && self.false_findings() == 0
    }

    fn is_right(&self) -> bool {
        self.right() as f64 >= RIGHT * self.runs.len() as f64
    }

    fn tell(&self) -> String {
        let runs = self.runs.len();
        let from = spread(self.runs.iter().filter_map(|run| run.found));
        let expected = self.runs.first().and_then(|run| run.plan.strike()).map(|strike| expectation::of(&strike));
        let usual: Vec<String> = (0..baselines::NAMES.len()).map(|rule| self.usual(rule)).collect();
        format!(
            "| {} | {} | {} | {} of {runs} | {} | {} | {} of {runs} | {} | {} |",
            if self.is_enough() { "yes" } else { "**no**" },
            self.fault.name(),
            expected.map_or("", |expected| expected.kind()),
            self.found(),
            seconds(from),
            seconds(self.beyond()),
            self.right(),
            self.false_findings(),
            usual.join(" | ")
        )
    }

    fn usual(&self, rule: usize) -> String {
        let fired: Vec<f64> = self.runs.iter().filter_map(|run| run.usual[rule]).collect();
        match spread(fired.iter().copied()) {
            Some((median, _)) => format!("{} in {median:.0} s", fired.len()),
            None => "-".to_owned(),
        }
    }
}

/// What was said of why, over all runs of one fault, also those in which it strikes some alone.
struct Causes<'r> {
    fault: Fault,
    runs: Vec<&'r Judged>,
}

/// How many of how many.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
struct Share {
    right: usize,
    all: usize,
}

impl Share {
    fn of(judged: impl Iterator<Item = bool>) -> Share {
        judged.fold(Share::default(), |Share { right, all }, is| Share { right: right + usize::from(is), all: all + 1 })
    }

    fn is_at_least(self, share: f64) -> bool {
        self.right as f64 >= share * self.all as f64
    }

    fn with(self, other: Share) -> Share {
        Share { right: self.right + other.right, all: self.all + other.all }
    }

    fn show(self) -> String {
        if self.all == 0 { "-".to_owned() } else { format!("{} of {}", self.right, self.all) }
    }
}

impl Causes<'_> {
    fn of(&self, judged: impl Fn(&Why) -> Option<bool>) -> Share {
        Share::of(self.runs.iter().filter_map(|run| run.why.as_ref()).filter_map(judged))
    }

    /// A run of which nothing was said named no cause.
    fn cause(&self) -> Share {
        Share::of(self.runs.iter().map(|run| run.why.as_ref().is_some_and(|why| why.is_cause_right)))
    }

    fn difference(&self) -> Share {
        self.of(|why| why.is_difference_right)
    }

    fn change(&self) -> Share {
        self.of(|why| why.is_change_first)
    }

    /// Where all fail alike, so that nothing is to be told.
    fn alike(&self) -> Share {
        self.of(|why| why.is_invented.map(|is_invented| !is_invented))
    }

    fn is_enough(&self) -> bool {
        let named = [self.cause(), self.difference(), self.alike()];
        let is_clean = self.false_findings() == 0;
        named.into_iter().all(|share| share.is_at_least(RIGHT)) && self.change().is_at_least(CHANGE_FIRST) && is_clean
    }

    fn false_findings(&self) -> usize {
        self.runs.iter().map(|run| run.false_findings.len()).sum()
    }

    fn tell(&self) -> String {
        let sure = self.of(|why| Some(why.verdict == Certainty::Confirmed));
        let shares = [self.cause(), self.difference(), self.alike(), self.change(), sure].map(Share::show);
        let enough = if self.is_enough() { "yes" } else { "**no**" };
        format!("| {enough} | {} | {} | {} |", self.fault.name(), shares.join(" | "), self.false_findings())
    }
}

impl Campaign {
    fn causes(&self) -> Vec<Causes<'_>> {
        let of = |fault| {
            move |run: &&Judged| {
                let is_of = matches!(run.plan.subject, Subject::Fault(of, _) | Subject::Limited(of) if of == fault);
                is_of && run.has_harm()
            }
        };
        let causes =
            Fault::ALL.into_iter().map(|fault| Causes { fault, runs: self.runs.iter().filter(of(fault)).collect() });
        causes.filter(|causes| !causes.runs.is_empty()).collect()
    }

    /// Whether the cause of every fault is named in nearly all of its runs, and differences and changes over all runs: of one
    /// fault they are few, and two changes at both ends of a hop, a minute apart, are a tie that no evidence breaks.
    fn is_explained(&self) -> bool {
        let causes = self.causes();
        let over_all = |of: for<'r> fn(&Causes<'r>) -> Share| {
            causes.iter().map(|causes| of(causes)).fold(Share::default(), Share::with)
        };
        causes.iter().all(|of| of.cause().is_at_least(RIGHT))
            && over_all(|of| of.difference()).is_at_least(RIGHT)
            && over_all(|of| of.alike()).is_at_least(RIGHT)
            && over_all(|of| of.change()).is_at_least(CHANGE_FIRST)
    }

    /// Runs in which nothing was wrong, and nothing was said to be.
    fn nothing(&self) -> Share {
        let controls = self.runs.iter().filter(|run| matches!(run.plan.subject, Subject::Control(..)));
        Share::of(controls.filter_map(|run| run.why.as_ref()?.is_invented).map(|is_invented| !is_invented))
    }

    /// Causes, differences and changes as Markdown.
    fn tell_causes(&self, out: &mut String) {
        let causes = self.causes();
        let _ = writeln!(
            out,
            "\n| enough | fault | cause first | difference first | nothing told where all fail alike | change first of {} | \
             confirmed | false findings |\n|---|---|---|---|---|---|---|---|",
            DECOYS + 1
        );
        causes.iter().for_each(|of| {
            let _ = writeln!(out, "{}", of.tell());
        });
        let all = |of: for<'r> fn(&Causes<'r>) -> Share| {
            causes.iter().map(|causes| of(causes)).fold(Share::default(), Share::with).show()
        };
        let _ = writeln!(
            out,
            "\ncauses: {} named, {} differences and {} changes first, {} told of nothing where all fail alike; {} runs \
             without a fault in which there was nothing to explain",
            all(|of| of.cause()),
            all(|of| of.difference()),
            all(|of| of.change()),
            all(|of| of.alike()),
            self.nothing().show()
        );
    }

    fn rows(&self) -> Vec<Row<'_>> {
        let of = |fault| {
            move |run: &&Judged| matches!(run.plan.subject, Subject::Fault(of, _) if of == fault) && run.has_harm()
        };
        let rows =
            Fault::ALL.into_iter().map(|fault| Row { fault, runs: self.runs.iter().filter(of(fault)).collect() });
        rows.filter(|row| !row.runs.is_empty()).collect()
    }

    /// False findings in controls.
    pub fn false_in_controls(&self) -> usize {
        let controls = self.runs.iter().filter(|run| matches!(run.plan.subject, Subject::Control(..)));
        controls.map(|run| run.false_findings.len()).sum()
    }

    /// Whether all that is asked for holds: every fault found in every run and named right in nearly all, the median in
    /// time, and nothing found that is not so. That the median of each fault is in time as well is asked of its row alone:
    /// how long a sequential test takes is a matter of how much goes wrong.
    pub fn holds(&self) -> bool {
        let rows = self.rows();
        let is_named =
            rows.iter().all(|row| row.found() == row.runs.len() && row.is_right() && row.false_findings() == 0);
        let is_quick = self.median().is_none_or(|median| median <= QUICK);
        let is_explained = self.is_explained() && self.nothing().is_at_least(1.0);
        is_named && is_quick && is_explained && self.false_in_controls() == 0 && self.broken.is_empty()
    }

    /// Seconds beyond deadline and export lag, over all runs.
    fn median(&self) -> Option<f64> {
        let rows = self.rows();
        spread(rows.iter().flat_map(|row| row.runs.iter().filter_map(|run| run.beyond))).map(|(median, _)| median)
    }

    /// Both tables as Markdown.
    pub fn tables(&self) -> String {
        let names = baselines::NAMES.join(" | ");
        let mut out = String::new();
        let _ = writeln!(
            out,
            "| enough | fault | to be called | found | s from onset, median (worst) | s beyond harm + deadline + {EXPORT_LAG:.0} s | \
             kind and place right | false | {names} |\n|---|---|---|---|---|---|---|---|{}",
            "---|".repeat(baselines::NAMES.len())
        );
        for row in self.rows() {
            let _ = writeln!(out, "{}", row.tell());
        }
        let _ = writeln!(
            out,
            "\n| control | hours | requests/s | spans | false findings | {names} |\n|---|---|---|---|---|{}",
            "---|".repeat(baselines::NAMES.len())
        );
        for control in Control::ALL {
            self.tell_control(control, &mut out);
        }
        self.tell_causes(&mut out);
        out
    }

    fn tell_control(&self, control: Control, out: &mut String) {
        let of = |run: &&Judged| matches!(run.plan.subject, Subject::Control(of, _) if of == control);
        let runs: Vec<&Judged> = self.runs.iter().filter(of).collect();
        let Some(first) = runs.first() else { return };
        let seconds: u32 =
            runs.iter().map(|run| if let Subject::Control(_, s) = run.plan.subject { s } else { 0 }).sum();
        let spans: u64 = runs.iter().map(|run| run.spans).sum();
        let false_findings: usize = runs.iter().map(|run| run.false_findings.len()).sum();
        let noise = |rule: usize| runs.iter().map(|run| run.usual_noise[rule]).sum::<usize>().to_string();
        let noise: Vec<String> = (0..baselines::NAMES.len()).map(noise).collect();
        let (name, hours, rate) = (control.name(), f64::from(seconds) / 3600.0, first.plan.rate);
        let _ = writeln!(out, "| {name} | {hours:.1} | {rate} | {spans} | {false_findings} | {} |", noise.join(" | "));
    }

    /// What was wrong in each run, a line each.
    pub fn details(&self) -> String {
        let mut out = String::new();
        for run in &self.runs {
            let name = plan_name(run);
            if run.has_harm() && run.found.is_none() {
                let _ = writeln!(out, "{name}: not found ({} harmed)", run.harmed);
            }
            for wrong in run.wrong.iter().chain(run.why.iter().flat_map(|why| &why.wrong)) {
                let _ = writeln!(out, "{name}: {wrong}");
            }
            for said in run.false_findings.iter().take(6) {
                let _ = writeln!(out, "{name}: false at {:.0} s: {}", said.at, said.what);
            }
            if run.false_findings.len() > 6 {
                let _ = writeln!(out, "{name}: and {} more", run.false_findings.len() - 6);
            }
        }
        for broken in &self.broken {
            let _ = writeln!(out, "{broken}");
        }
        out
    }

    /// All that was said in each run, a line each.
    pub fn said(&self) -> String {
        let lines = self.runs.iter().flat_map(|run| run.said.iter().map(|said| (plan_name(run), said)));
        lines.map(|(name, said)| format!("{name}: {:.0} s: {}\n", said.at, said.what)).collect()
    }

    /// One line.
    pub fn summary(&self) -> String {
        let rows = self.rows();
        let runs: usize = rows.iter().map(|row| row.runs.len()).sum();
        let found: usize = rows.iter().map(Row::found).sum();
        let right: usize = rows.iter().map(Row::right).sum();
        let false_in_faults: usize = rows.iter().map(Row::false_findings).sum();
        let is_enough = rows.iter().filter(|row| row.is_enough()).count();
        let median = self.median().map_or("-".to_owned(), |median| format!("{median:.0} s"));
        format!(
            "campaign: {is_enough} of {} faults as required; {found} of {runs} runs found, {right} named right, median \
             {median} beyond deadline and export lag; {false_in_faults} false findings beside faults, {} in controls; {} broken",
            rows.len(),
            self.false_in_controls(),
            self.broken.len()
        )
    }
}

fn plan_name(run: &Judged) -> String {
    let (seed, rate) = (run.plan.seed, run.plan.rate);
    match run.plan.subject {
        Subject::Fault(fault, Start::Later) => {
            let from = run.plan.strike().map_or(0.0, |strike| strike.from);
            format!("{} seed {seed}, {rate}/s, from {from:.0} s", fault.name())
        }
        Subject::Fault(fault, Start::AtOnce) => format!("{} seed {seed}, {rate}/s, at once", fault.name()),
        Subject::Limited(fault) => {
            let only = run.plan.strike().and_then(|strike| strike.only);
            format!("{} seed {seed}, {rate}/s, of {only:?} alone", fault.name())
        }
        Subject::Control(control, length) => format!("control {} seed {seed}, {rate}/s, {length} s", control.name()),
    }
}

/// Median and worst.
fn spread(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    Some((*values.get(values.len() / 2)?, *values.last()?))
}

fn seconds(spread: Option<(f64, f64)>) -> String {
    spread.map_or("-".to_owned(), |(median, worst)| format!("{median:.0} ({worst:.0})"))
}
