//! Metrics: the heartbeat of their instance.

use truegreen_otlp::{DataPoint, MetricSink, Resource};

use super::Intake;

impl<'a> MetricSink<'a> for Intake<'_> {
    fn resource(&mut self, resource: &Resource<'a, '_>) {
        self.hear(resource);
    }

    fn point(&mut self, _point: &DataPoint<'a, '_>) {
        if let Some(sender) = &self.sender {
            self.desk.coverage[sender.service].data_points += 1;
        }
    }
}
