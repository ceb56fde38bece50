//! Builds the two stages of a route.

use super::early::WafEarly;
use super::late::WafLate;
use super::route::WafRoute;
use super::state::WafState;
use crate::pipeline::stage::BoxStage;
use crate::stages::feature::{BuildContext, RouteRole, StageConfig};
use std::sync::Arc;

impl StageConfig for WafRoute {
    type State = Arc<WafState>;

    fn build(&self, state: &Self::State, context: &BuildContext) -> Vec<BoxStage> {
        // An aggregate has inspected the whole request already.
        let is_inspected_before = context.role == RouteRole::AggregatePart && !self.is_own;
        if !self.is_used() || is_inspected_before {
            return Vec::new();
        }
        let policies: Vec<_> = self.policies().cloned().collect();
        let shared = state.open(&policies, context);
        vec![
            Box::new(WafEarly { route: self.clone(), shared: shared.clone() }),
            Box::new(WafLate { route: self.clone(), shared }),
        ]
    }

    fn maintain(
        state: &Self::State,
        background: &crate::net::background::BackgroundRuntime,
        clock: &crate::base::clock::Clock,
    ) {
        let counters = Arc::downgrade(&state.counters);
        background.spawn(crate::stages::rate_limit::store::sweep_task(counters, clock.clone()));
    }
}
