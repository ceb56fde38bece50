//! `SignalROptions` and the rest of the route.

use super::route_backend::Backend;
use super::route_compiler::RouteCompiler;
use crate::backend::affinity::AffinityMode;
use crate::config::codes;
use crate::plan::blueprint::Sourced;
use crate::stages::StageConfigs;
use std::time::Duration;

/// Servers hold a long poll for up to this time.
const LONG_POLL: Duration = Duration::from_secs(100);

impl RouteCompiler<'_, '_, '_> {
    /// Checks the options against the backend and the timeout of the route; without a cluster there is no affinity.
    pub(super) fn check_signalr(
        &mut self,
        backend: &Backend,
        timeout: &Sourced<Duration>,
        stages: &mut StageConfigs,
    ) {
        let Some(config) = &stages.signalr else { return };
        let own_span = self.document.signalr.as_ref().map(|own| own.span);
        if backend.service.is_some() || backend.hub.is_some() || backend.fabric.is_some() {
            if let Some(span) = own_span {
                self.diagnostics
                    .error(codes::BAD_SIGNALR, span, "SignalROptions on a route without a cluster")
                    .help("remove them, or send the requests to DownstreamHostAndPorts or DownstreamCluster");
            }
            stages.signalr = None;
            return;
        }
        if config.mode == AffinityMode::None {
            return;
        }
        let span = own_span.or(config.span).unwrap_or(self.document.span);
        let has_several = backend.cluster.endpoints.len() > 1;
        if config.key.is_none() && has_several {
            self.diagnostics
                .warning(codes::SIGNALR_KEY, span, "SignalROptions without a Key on a route with several endpoints")
                .help("set a secret of at least 32 bytes, the same on every gateway: \"Key\": \"${AFFINITY_KEY}\"");
        }
        if let Some(span) = timeout.origin.filter(|_| timeout.value < LONG_POLL) {
            let message = format!("Timeout {:?} is shorter than a long poll", timeout.value);
            self.diagnostics
                .warning(codes::SIGNALR_TIMEOUT, span, message)
                .help("set at least 100s, or remove it: polls then have 120s");
        }
    }
}
