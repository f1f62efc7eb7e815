//! Error rates per service: more than 1 % over five minutes, for a minute; or a burn rate of 14.4 against 99.9 % over an
//! hour and over five minutes.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use truegreen_model::flow::SpanKind;

use super::{Held, Rule};
use crate::campaign::fleet::Service;
use crate::campaign::record::Content;

const SHORT: f64 = 300.0;
const LONG: f64 = 3600.0;
const SHARE: f64 = 0.01;
const BURN: f64 = 14.4 * 0.001;
/// Fewer requests than this are no rate.
const FEWEST: u64 = 20;
const BUCKET: f64 = 15.0;

#[derive(Debug, Default)]
pub(super) struct Errors {
    /// By service: beginning of a bucket, requests, failed ones.
    buckets: BTreeMap<Service, VecDeque<(f64, u64, u64)>>,
    held: Held,
}

impl Rule for Errors {
    fn hear(&mut self, at: f64, service: Service, content: &Content) {
        let Content::Spans(spans) = content else { return };
        let buckets = self.buckets.entry(service).or_default();
        let begins = (at / BUCKET).floor() * BUCKET;
        if buckets.back().is_none_or(|(begun, ..)| *begun < begins) {
            buckets.push_back((begins, 0, 0));
        }
        let served = spans.iter().filter(|span| matches!(span.kind, SpanKind::Server | SpanKind::Consumer));
        for span in served {
            if let Some((_, requests, failed)) = buckets.back_mut() {
                *requests += 1;
                *failed += u64::from(span.error || span.number_of("http.response.status_code") >= Some(500));
            }
        }
    }

    fn firing(&mut self, now: f64) -> BTreeSet<String> {
        let (mut high, mut burns) = (BTreeSet::new(), BTreeSet::new());
        for (service, buckets) in &mut self.buckets {
            buckets.retain(|(begun, ..)| *begun > now - LONG);
            let share = |window: f64| {
                let within = buckets.iter().filter(|(begun, ..)| *begun > now - window);
                let (requests, failed) = within.fold((0, 0), |(a, b), (_, c, d)| (a + c, b + d));
                if requests < FEWEST { 0.0 } else { failed as f64 / requests as f64 }
            };
            if share(SHORT) > SHARE {
                high.insert(service.name().to_owned());
            }
            if share(SHORT) > BURN && share(LONG) > BURN {
                burns.insert(service.name().to_owned());
            }
        }
        burns.extend(self.held.long_enough(now, high));
        burns
    }
}
