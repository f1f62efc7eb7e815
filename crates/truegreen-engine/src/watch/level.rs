//! Requests in flight, as services count them themselves: `http.server.active_requests` and `otel.sdk.span.live`. Where
//! requests never end, the level only rises, also where none of their spans ever comes.
//!
//! A level follows traffic, and of connections that are kept open it rises for hours. So it says something only where it
//! usually falls back to (nearly) nothing between requests; where its lowest value of every window is higher than that of
//! the one before, four times in a row, and higher than its highest ever was; and where no more traffic came than usual.

use serde::{Deserialize, Serialize};
use truegreen_model::finding::{FindingKind, FindingStatus};
use truegreen_model::observation::{InstanceId, Symbol};
use truegreen_model::time::Timestamp;

use super::View;
use super::table::Table;
use crate::coverage::ServiceId;
use crate::finding::place::Place;
use crate::finding::{PlaceFindings, Sign};

/// Points in a window.
const WINDOW: u32 = 6;
/// Windows that make the usual range known, and the share of them in which the level must have fallen back to a quarter.
const KNOWN_BY: u32 = 6;
const FALLS_BACK: f64 = 0.8;
const QUARTER: f64 = 0.25;
/// Windows in a row in which it rose.
const RISES: u32 = 4;
/// More spans than so many times as many as usual are more traffic.
const MORE: f64 = 1.5;

/// A point of such a level.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LevelPoint {
    pub(crate) service: ServiceId,
    pub(crate) instance: InstanceId,
    /// Of the metric and its attributes.
    pub(crate) series: u64,
    pub(crate) value: f64,
    /// Whether the value is a change since the point before.
    pub(crate) is_delta: bool,
    /// `http.route`.
    pub(crate) route: Option<Symbol>,
}

/// Levels, by instance and series.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Levels {
    levels: Table<(u32, u64), Level>,
}

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Level {
    value: f64,
    /// Of the window at hand.
    points: u32,
    lowest: f64,
    highest: f64,
    spans: u64,
    began: Timestamp,
    /// Of windows before, while the level did not rise.
    windows: u32,
    fell_back: u32,
    ceiling: f64,
    usual_spans: f64,
    /// Windows in a row that were higher, since when, and how high the last one was.
    rises: u32,
    since: Timestamp,
    floor: f64,
    is_raised: bool,
}

impl Levels {
    pub(super) fn overflowed(&self) -> u64 {
        self.levels.overflowed()
    }

    /// A service told its level.
    pub(super) fn told(&mut self, point: &LevelPoint, view: &View<'_>, findings: &mut PlaceFindings) {
        let Some(level) = self.levels.entry((point.instance.0, point.series), Level::default) else { return };
        level.value = if point.is_delta { level.value + point.value } else { point.value };
        let spans = view.coverage[point.service].spans;
        if level.points == 0 {
            (level.lowest, level.highest) = (level.value, level.value);
            (level.spans, level.began) = (spans, view.now);
        }
        level.lowest = level.lowest.min(level.value);
        level.highest = level.highest.max(level.value);
        level.points += 1;
        if level.points < WINDOW {
            return;
        }
        level.points = 0;
        let seconds = view.now.since(level.began).as_secs_f64().max(1.0);
        level.close_window(spans.saturating_sub(level.spans) as f64 / seconds);

        let place = Place { operation: point.route, ..Place::service(view.coverage[point.service].name) };
        let kind = FindingKind::StalledRequest;
        if level.rises == 0 && std::mem::take(&mut level.is_raised) {
            findings.close(kind, place, FindingStatus::Resolved);
        }
        // Where their spans show them already, nothing is said twice.
        let is_known =
            findings.is_open_at(kind, place.service) || findings.is_open_at(FindingKind::SilentLoop, place.service);
        if level.rises < RISES || level.is_raised || is_known {
            return;
        }
        level.is_raised = true;
        let evidence = format!(
            "its own count of requests in flight rose from window to window to {:.0}; it was never above {:.0} before, and no \
             more traffic comes than usual",
            level.floor, level.ceiling,
        );
        let sign = Sign { kind, place, at: level.since, example: None, share: 1.0, evidence };
        findings.deviate(sign, view.now, view.symbols);
    }
}

impl Level {
    /// A window is over, in which so many spans came a second.
    fn close_window(&mut self, spans: f64) {
        let falls_back = self.windows >= KNOWN_BY && f64::from(self.fell_back) >= FALLS_BACK * f64::from(self.windows);
        let is_traffic = spans > MORE * self.usual_spans;
        let is_higher = self.lowest > self.floor && self.lowest > QUARTER * self.ceiling;
        self.floor = self.lowest;
        if falls_back && is_higher && !is_traffic {
            if self.rises == 0 {
                self.since = self.began;
            }
            // Until it is above all that was usual it has yet to rise.
            if self.lowest > self.ceiling || self.rises + 1 < RISES {
                self.rises += 1;
            }
            return;
        }
        // Raised, it is over only when it falls back.
        if self.is_raised && self.lowest > QUARTER * self.ceiling {
            return;
        }
        self.rises = 0;
        self.windows += 1;
        self.fell_back += u32::from(self.lowest <= QUARTER * self.highest);
        self.ceiling = self.ceiling.max(self.highest).max(1.0);
        self.usual_spans += (spans - self.usual_spans) / f64::from(self.windows.min(20));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::coverage::Heard;
    use crate::watch::stage::Stage;

    /// A point every five seconds; so many spans with each.
    fn told(stage: &mut Stage, levels: &mut Levels, value: f64, spans: u64) {
        let name = stage.symbols.intern(b"shop");
        let service = stage.coverage.service(name, 0, &[]);
        let instance = stage.coverage.instance(service, 1, "1").unwrap();
        let (mut heard, now) = (Heard::default(), stage.now);
        heard.spans = spans;
        stage.coverage.hear(service, Some(instance), &heard, now);
        let route = Some(stage.symbols.intern(b"/returns"));
        let point = LevelPoint { service, instance, series: 7, value, is_delta: false, route };
        stage.show(|view, findings| levels.told(&point, view, findings));
        stage.now = stage.now + Duration::from_secs(5);
    }

    #[test]
    fn a_level_that_only_rises_is_found_and_resolves_when_it_falls_back() {
        let (mut stage, mut levels) = (Stage::new(), Levels::default());
        (0..120).for_each(|n| told(&mut stage, &mut levels, f64::from(n % 3), 50));
        assert!(stage.found().is_empty());
        (0..48).for_each(|n| told(&mut stage, &mut levels, f64::from(n + n % 3), 50));
        let found = stage.found();
        assert_eq!((found.len(), found[0].kind.as_str()), (1, "stalled_request"));
        assert_eq!((found[0].service.as_deref(), found[0].operation.as_deref()), (Some("shop"), Some("/returns")));
        (0..24).for_each(|n| told(&mut stage, &mut levels, f64::from(n % 3), 50));
        assert_eq!(stage.found()[0].status, "resolved");
    }

    #[test]
    fn more_traffic_and_connections_that_are_kept_open_are_harmless() {
        let (mut stage, mut levels) = (Stage::new(), Levels::default());
        (0..120).for_each(|n| told(&mut stage, &mut levels, f64::from(n % 3), 50));
        (0..60).for_each(|n| told(&mut stage, &mut levels, f64::from(n + n % 3), 200));
        let mut levels = Levels::default();
        (0..720).for_each(|n| told(&mut stage, &mut levels, f64::from(n), 50));
        assert!(stage.found().is_empty(), "{:?}", stage.found());
    }
}
