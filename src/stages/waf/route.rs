//! The policies of a route, one for each listener that has its own.

use super::config::WafPolicyConfig;
use crate::pipeline::exchange::Exchange;
use std::sync::Arc;

/// A policy; none for no inspection.
pub type WafChoice = Option<Arc<WafPolicyConfig>>;

/// The policies of a route.
#[derive(Clone, Debug, Default)]
pub struct WafRoute {
    /// Whether the route itself decides.
    pub is_own: bool,
    /// The policy of listeners without one.
    pub general: WafChoice,
    /// The policies of listeners, by their names.
    pub listeners: Vec<(Arc<str>, WafChoice)>,
}

impl WafRoute {
    /// Whether any request of the route is inspected.
    pub fn is_used(&self) -> bool {
        self.general.is_some() || self.listeners.iter().any(|(_, policy)| policy.is_some())
    }

    /// Whether the listener decides.
    pub fn is_by_listener(&self) -> bool {
        !self.listeners.is_empty()
    }

    /// The policy of a request.
    pub fn policy(&self, exchange: &Exchange) -> Option<&Arc<WafPolicyConfig>> {
        let listener = exchange.client.listener.as_ref();
        let own = listener.and_then(|name| self.listeners.iter().find(|(known, _)| known == name));
        own.map_or(&self.general, |(_, policy)| policy).as_ref()
    }

    /// Every policy.
    pub fn policies(&self) -> impl Iterator<Item = &Arc<WafPolicyConfig>> {
        self.general.iter().chain(self.listeners.iter().filter_map(|(_, policy)| policy.as_ref()))
    }
}
