//! `absent()`: a metric of a service that was there has not come for two minutes.

use std::collections::{BTreeMap, BTreeSet};

use super::Rule;
use crate::campaign::fleet::Service;
use crate::campaign::record::Content;

const AFTER: f64 = 120.0;

#[derive(Debug, Default)]
pub(super) struct Absent {
    heard: BTreeMap<(Service, &'static str), f64>,
}

impl Rule for Absent {
    fn hear(&mut self, at: f64, service: Service, content: &Content) {
        let Content::Points(_, points) = content else { return };
        for point in points {
            self.heard.insert((service, point.metric), at);
        }
    }

    fn firing(&mut self, now: f64) -> BTreeSet<String> {
        let absent = self.heard.iter().filter(|(_, at)| now - **at > AFTER);
        absent.map(|((service, metric), _)| format!("{} {metric}", service.name())).collect()
    }
}
