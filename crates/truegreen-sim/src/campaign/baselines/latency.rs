//! The 99th percentile of what a server or consumer does, over five minutes, is twice what it was in its first three
//! minutes, for a minute.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use truegreen_model::flow::SpanKind;

use super::{Held, Rule};
use crate::campaign::fleet::Service;
use crate::campaign::record::Content;

const WINDOW: f64 = 300.0;
const LEARNS: f64 = 180.0;
const FEWEST: usize = 50;
const TIMES: f64 = 2.0;

#[derive(Debug, Default)]
struct Durations {
    since: f64,
    usual: Option<f64>,
    recent: VecDeque<(f64, f32)>,
}

#[derive(Debug, Default)]
pub(super) struct Latency {
    operations: BTreeMap<(Service, &'static str), Durations>,
    held: Held,
}

impl Rule for Latency {
    fn hear(&mut self, at: f64, service: Service, content: &Content) {
        let Content::Spans(spans) = content else { return };
        for span in spans.iter().filter(|span| matches!(span.kind, SpanKind::Server | SpanKind::Consumer)) {
            let new = || Durations { since: at, ..Durations::default() };
            let durations = self.operations.entry((service, span.name)).or_insert_with(new);
            durations.recent.push_back((at, (span.end - span.start) as f32));
        }
    }

    fn firing(&mut self, now: f64) -> BTreeSet<String> {
        let mut slow = BTreeSet::new();
        for ((service, name), durations) in &mut self.operations {
            while durations.recent.front().is_some_and(|(at, _)| *at <= now - WINDOW) {
                durations.recent.pop_front();
            }
            if durations.recent.len() < FEWEST {
                continue;
            }
            let p99 = p99(&durations.recent);
            match durations.usual {
                Some(usual) if p99 > TIMES * usual => drop(slow.insert(format!("{} {name}", service.name()))),
                None if now - durations.since >= LEARNS => durations.usual = Some(p99),
                _ => {}
            }
        }
        self.held.long_enough(now, slow)
    }
}

fn p99(recent: &VecDeque<(f64, f32)>) -> f64 {
    let mut durations: Vec<f32> = recent.iter().map(|(_, duration)| *duration).collect();
    let place = durations.len() * 99 / 100;
    let (_, p99, _) = durations.select_nth_unstable_by(place, f32::total_cmp);
    f64::from(*p99)
}
