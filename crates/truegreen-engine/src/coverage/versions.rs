//! Coverage as contracts change: who is heard does not, only for whom it counts.

use truegreen_model::flow::FlowId;

use super::Coverage;

impl Coverage {
    /// A version looks where another one did: the same services are known for it, also those that are silent now.
    pub(crate) fn follow(&mut self, before: FlowId, flow: FlowId) {
        let known = self.in_scope.iter().filter(|((of, ..), _)| *of == before);
        let same: Vec<_> = known.map(|((_, scope, name), ids)| ((flow, *scope, *name), ids.clone())).collect();
        self.in_scope.extend(same);
    }

    /// A version has nothing any more.
    pub(crate) fn let_go(&mut self, flow: FlowId) {
        self.in_scope.retain(|(of, ..), _| *of != flow);
        for service in &mut self.services {
            service.owing.retain(|owed| owed.flow != flow);
        }
    }
}
