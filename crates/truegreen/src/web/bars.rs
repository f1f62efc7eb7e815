//! The books over time: one bar a minute, drawn as SVG. A minute in which nothing entered is drawn as nothing, which
//! is not the same as fine.

use maud::{Markup, html};
use truegreen_model::report::MinuteReport;

/// Minutes shown: the latest.
const MINUTES: usize = 60;
const WIDTH: usize = 960;
const HEIGHT: usize = 120;
const BASE: usize = 100;

/// One part of a bar, from the bottom up.
struct Part {
    class: &'static str,
    count: u64,
}

pub(super) fn chart(minutes: &[MinuteReport]) -> Markup {
    let minutes = filled(minutes);
    let tallest = minutes.iter().map(|minute| minute.entered).max().unwrap_or(0).max(1);
    let step = WIDTH / MINUTES;
    html! {
        svg viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) role="img" aria-label="journeys by the minute in which they entered" {
            line class="axis" x1="0" y1=(BASE) x2=(WIDTH) y2=(BASE) {}
            @for (n, minute) in minutes.iter().enumerate() {
                (bar(minute, n * step, step - 2, tallest))
            }
            text x="0" y="10" { (tallest) " entered in a minute" }
            @if let (Some(first), Some(last)) = (minutes.first(), minutes.last()) {
                text x="0" y=(HEIGHT - 5) { (clock(&first.minute)) }
                @if minutes.len() > 8 {
                    text x=((minutes.len() - 1) * step + step) y=(HEIGHT - 5) text-anchor="end" { (clock(&last.minute)) " UTC" }
                }
            }
        }
    }
}

/// What unknown is filled with; once for all charts of a page.
pub(super) fn stripes() -> Markup {
    html! {
        svg class="definitions" aria-hidden="true" {
            pattern id="stripes" width="5" height="5" patternUnits="userSpaceOnUse" patternTransform="rotate(45)" {
                rect width="2" height="5" fill="#e69f00" {}
            }
        }
    }
}

fn bar(minute: &MinuteReport, x: usize, width: usize, tallest: u64) -> Markup {
    if minute.entered == 0 {
        return html! {
            line class="nothing" x1=(x) y1=(BASE - 2) x2=(x + width) y2=(BASE - 2) { title { (clock(&minute.minute)) ": nothing entered" } }
        };
    }
    let mut top = BASE as f64;
    let room = (BASE - 15) as f64;
    html! {
        g {
            title { (summary(minute)) }
            @for part in parts(minute) {
                @if part.count > 0 {
                    // A single lost order among thousands must still be seen.
                    @let height = (room * part.count as f64 / tallest as f64).max(2.0);
                    @let y = { top = (top - height).max(0.0); top };
                    rect class=(part.class) x=(x) y=(format!("{y:.1}")) width=(width) height=(format!("{height:.1}")) {}
                }
            }
        }
    }
}

fn parts(minute: &MinuteReport) -> [Part; 5] {
    let sum = |by: &std::collections::BTreeMap<String, u64>| by.values().sum::<u64>();
    [
        Part { class: "completed", count: minute.completed + minute.late },
        Part { class: "refused", count: sum(&minute.rejected) + sum(&minute.dead_lettered) },
        Part { class: "open", count: minute.open },
        Part { class: "unknown", count: sum(&minute.unknown) },
        Part { class: "unaccounted", count: minute.unaccounted },
    ]
}

fn summary(minute: &MinuteReport) -> String {
    let parts = parts(minute);
    let told = parts.iter().filter(|part| part.count > 0).map(|part| format!("{} {}", part.count, part.class));
    format!("{}: {} entered, {}", clock(&minute.minute), minute.entered, told.collect::<Vec<_>>().join(", "))
}

/// The latest minutes without gaps: the books hold only minutes in which something entered.
fn filled(minutes: &[MinuteReport]) -> Vec<MinuteReport> {
    let at = |minute: &MinuteReport| minute.minute.parse::<jiff::Timestamp>().ok().map(|t| t.as_second() / 60);
    let Some(last) = minutes.last().and_then(at) else {
        return Vec::new();
    };
    let first_shown = last - (MINUTES as i64 - 1);
    let mut filled: Vec<MinuteReport> = Vec::new();
    let mut expected = None;
    for (minute, n) in minutes.iter().filter_map(|minute| at(minute).map(|n| (minute, n))) {
        if n < first_shown || n > last {
            continue;
        }
        let from = expected.unwrap_or(n);
        filled.extend((from..n).filter_map(empty));
        filled.push(minute.clone());
        expected = Some(n + 1);
    }
    filled
}

fn empty(minute: i64) -> Option<MinuteReport> {
    let start = jiff::Timestamp::from_second(minute * 60).ok()?;
    Some(MinuteReport {
        minute: start.to_string(),
        entered: 0,
        open: 0,
        completed: 0,
        late: 0,
        rejected: Default::default(),
        dead_lettered: Default::default(),
        unaccounted: 0,
        unknown: Default::default(),
    })
}

fn clock(rfc3339: &str) -> String {
    match rfc3339.parse::<jiff::Timestamp>() {
        Ok(time) => time.strftime("%H:%M").to_string(),
        Err(_) => rfc3339.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minute(at: &str, entered: u64) -> MinuteReport {
        let minute = at.parse::<jiff::Timestamp>().unwrap().as_second() / 60;
        MinuteReport { entered, completed: entered, ..empty(minute).unwrap() }
    }

    #[test]
    fn minutes_without_entries_are_drawn_as_nothing() {
        let minutes = [minute("2026-01-01T10:00:00Z", 3), minute("2026-01-01T10:03:00Z", 4)];
        let filled = filled(&minutes);
        assert_eq!(filled.iter().map(|m| m.entered).collect::<Vec<_>>(), [3, 0, 0, 4]);
        assert_eq!(chart(&minutes).into_string().matches("nothing entered").count(), 2);
    }

    #[test]
    fn only_the_latest_hour_is_drawn_whatever_time_a_sender_claims() {
        let minutes = [minute("1970-01-01T00:00:00Z", 1), minute("2026-01-01T10:00:00Z", 4)];
        assert_eq!(filled(&minutes).len(), 1);
    }
}
