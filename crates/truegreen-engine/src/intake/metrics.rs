//! Metrics: the heartbeat of their instance.

use truegreen_otlp::{DataPoint, MetricSink, Resource};

use super::Reading;

impl<'a> MetricSink<'a> for Reading<'_> {
    fn resource(&mut self, resource: &Resource<'a, '_>) {
        self.enter(resource);
    }

    fn point(&mut self, _point: &DataPoint<'a, '_>) {
        if let Some(heard) = self.heard() {
            heard.data_points += 1;
        }
    }
}
