//! Which points of which metrics count what flows drop or skip.

use truegreen_model::flow::{FlowId, Reconcile, Test};
use truegreen_otlp::DataPoint;

use super::pattern::holds;
use super::plan::Plan;

/// A counter that the books of a flow are held against.
#[derive(Debug)]
pub(crate) struct CounterPlan {
    pub(crate) flow: FlowId,
    /// Its place in the contract.
    pub(crate) index: u8,
    metric: Box<[u8]>,
    service: Option<Box<[u8]>>,
    pub(crate) by: Option<Box<[u8]>>,
    attributes: Vec<(Box<[u8]>, Test)>,
}

impl CounterPlan {
    /// Those of these contracts.
    pub(super) fn all<'p>(plans: impl Iterator<Item = &'p Plan>) -> Vec<CounterPlan> {
        let of = |plan: &'p Plan| {
            let rules = plan.flow.reconcile.iter().enumerate();
            rules.map(|(index, rule)| CounterPlan::new(plan.id, index as u8, rule))
        };
        plans.flat_map(of).collect()
    }

    fn new(flow: FlowId, index: u8, rule: &Reconcile) -> CounterPlan {
        let bytes = |text: &String| text.as_bytes().into();
        CounterPlan {
            flow,
            index,
            metric: bytes(&rule.metric),
            service: rule.service.as_ref().map(bytes),
            by: rule.by.as_ref().map(bytes),
            attributes: rule.attributes.iter().map(|one| (bytes(&one.attribute), one.test.clone())).collect(),
        }
    }

    /// Whether metrics of this service may count for it.
    pub(crate) fn is_of(&self, service: &[u8]) -> bool {
        self.service.as_ref().is_none_or(|of| **of == *service)
    }

    /// Whether a point of such a service counts for it.
    pub(crate) fn matches(&self, point: &DataPoint<'_, '_>) -> bool {
        let has = |(name, test): &(Box<[u8]>, Test)| {
            let value = point.get(name).map(|value| value.text());
            holds(test, value.as_deref())
        };
        *self.metric == *point.metric.name && self.attributes.iter().all(has)
    }
}
