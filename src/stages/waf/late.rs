//! The second position: bodies and managed rules.

use super::inspector::{WafInspector, decide_request};
use super::record::{ResponseSlot, WafRecord};
use super::response::WafResponseInspector;
use super::route::WafRoute;
use super::state::WafShared;
use crate::pipeline::body::Framing;
use crate::pipeline::exchange::Exchange;
use crate::pipeline::stage::{Stage, Step};

/// The stage.
#[derive(Debug)]
pub struct WafLate {
    /// The policies.
    pub route: WafRoute,
    /// What the stages share.
    pub shared: WafShared,
}

impl Stage for WafLate {
    fn name(&self) -> &'static str {
        super::NAME
    }

    fn on_request(&self, exchange: &mut Exchange) -> Step {
        let Some(mut record) = take_record(exchange) else { return Step::Next };
        if record.policy.response.is_some() && !exchange.is_dry_run {
            let slot = ResponseSlot::default();
            record.response = Some(slot.clone());
            exchange.response.inspector =
                Some(Box::new(WafResponseInspector::new(slot, self.shared.clone())));
        }
        let is_read = record.policy.body.is_inspected && exchange.body.framing != Framing::None;
        if !is_read || exchange.is_websocket {
            return decide_request(record, Vec::new(), exchange, self.shared.clone());
        }
        Step::InspectBody(Box::new(WafInspector::new(record, exchange, self.shared.clone())))
    }

    fn describe(&self) -> String {
        let policies = self.route.policies().map(|policy| {
            let (mode, level, threshold) = (policy.mode.name(), policy.level, policy.threshold);
            format!("{}: {mode}, level {level}, threshold {threshold}, {}", policy.name, policy.engine.rules)
        });
        policies.collect::<Vec<_>>().join("; ")
    }
}

/// The record of the first position.
pub fn take_record(exchange: &mut Exchange) -> Option<Box<WafRecord>> {
    exchange.firewall.take()?.downcast::<WafRecord>().ok()
}
