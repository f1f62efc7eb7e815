//! A line for each setting: how many tables were recovered exactly, by whom, and in what time.

use super::judge::Judged;
use super::kind::Kind;

/// What came of one setting.
#[derive(Debug)]
pub struct Line {
    /// Which.
    pub kind: Kind,
    /// Ours.
    pub own: Vec<Judged>,
    /// Adtributor's.
    pub adtributor: Vec<Judged>,
    /// That of the ranking by share difference.
    pub share_difference: Vec<Judged>,
    /// Seconds that each search took, the best of three.
    pub seconds: Vec<f64>,
}

/// Share of the tables that must be recovered exactly.
pub fn asked_for(kind: &Kind) -> f64 {
    match () {
        () if kind.is_beyond() => 0.0,
        () if kind.is_easy() => 0.9,
        () => 0.75,
    }
}

/// Share of exact answers.
pub fn exact(judged: &[Judged]) -> f64 {
    judged.iter().filter(|one| one.is_exact).count() as f64 / judged.len().max(1) as f64
}

impl Line {
    /// Whether it is as asked for.
    pub fn holds(&self) -> bool {
        exact(&self.own) >= asked_for(&self.kind)
    }

    /// The line of a table in Markdown.
    pub fn text(&self) -> String {
        let percent = |judged: &[Judged]| format!("{:.0} %", 100.0 * exact(judged));
        let sum = |of: fn(&Judged) -> usize| self.own.iter().map(of).sum::<usize>();
        let (hits, causes, told) = (sum(|one| one.hits), sum(|one| one.causes), sum(|one| one.told));
        let mut seconds = self.seconds.clone();
        seconds.sort_by(f64::total_cmp);
        let at = |share: f64| seconds.get((share * (seconds.len() as f64 - 1.0)) as usize).copied().unwrap_or_default();
        format!(
            "| {} | {} | **{}** | {hits} of {causes}, {told} told | {} | {} | {:.1} | {:.1} |",
            self.kind.name(),
            self.own.len(),
            percent(&self.own),
            percent(&self.adtributor),
            percent(&self.share_difference),
            1e3 * at(0.5),
            1e3 * at(1.0)
        )
    }
}

/// The head of the table.
pub const HEAD: &str = "\
| setting | tables | exact | causes | Adtributor | share difference | ms, median | slowest |
| --- | --- | --- | --- | --- | --- | --- | --- |";
