//! The settings of a hub.

use super::{
    documents::{EventHandlerDocument, HubDocument, HubLimitsDocument},
    find_cluster::FindCluster,
    handler, signalr,
};
use crate::config::{Diagnostics, Spanned, codes, ranges::RangeChecker, values::value_or_default};
use crate::plan::blueprint::ClusterBlueprint;
use crate::plan::check::items;
use crate::realtime::{
    config::{
        EventHandlerConfig, HubConfig, HubLimits, ServiceType, SignalRHubConfig, SystemEvents,
        UserEventPattern,
    },
    names::is_hub_name,
};
use std::{sync::Arc, time::Duration};

const DEFAULT_KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(20);
const DEFAULT_RECOVERY_TIME: Duration = Duration::from_secs(60);
const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// Whether this is the name of a hub.
pub fn is_valid_name(name: &str) -> bool {
    is_hub_name(name)
}

/// Compiles one hub.
pub struct HubCompiler<'c, 'o> {
    pub service: &'c Spanned<String>,
    pub service_type: ServiceType,
    pub find_cluster: &'c FindCluster<'c>,
    /// The backends of all handlers of the service.
    pub backends: &'c mut Vec<Arc<ClusterBlueprint>>,
    pub diagnostics: &'o mut Diagnostics,
}

impl HubCompiler<'_, '_> {
    /// The settings; invalid values are reported and replaced.
    pub fn compile(&mut self, document: &Spanned<HubDocument>) -> HubConfig {
        signalr::report_foreign_settings(self.service_type, document, self.diagnostics);
        let transports = signalr::transports(items(&document.transports), self.diagnostics);
        let mut ranges = RangeChecker::for_code(codes::HUB_RANGE, self.diagnostics);
        let second = Duration::from_secs(1);
        let is_signalr = self.service_type == ServiceType::SignalR;
        let recovery_time = if is_signalr { signalr::RECONNECT_TIME } else { DEFAULT_RECOVERY_TIME };
        let keep_alive = if is_signalr { signalr::KEEP_ALIVE_INTERVAL } else { DEFAULT_KEEP_ALIVE_INTERVAL };
        HubConfig {
            anonymous_connect: value_or_default(&document.anonymous_connect),
            keep_alive_interval: ranges.time(
                "KeepAliveInterval",
                &document.keep_alive_interval,
                keep_alive,
                second,
                120 * second,
            ),
            recovery_time: ranges.time(
                "RecoveryTime",
                &document.recovery_time,
                recovery_time,
                second,
                600 * second,
            ),
            signalr: SignalRHubConfig { transports, ..signalr::hub_config(document, &mut ranges) },
            limits: document.limits.as_ref().map(|set| limits(set, &mut ranges)).unwrap_or_default(),
            event_handlers: self.handlers(items(&document.event_handlers)),
        }
    }

    fn handlers(&mut self, documents: &[Spanned<EventHandlerDocument>]) -> Vec<EventHandlerConfig> {
        let mut handlers: Vec<EventHandlerConfig> = Vec::with_capacity(documents.len());
        for document in documents {
            let service = (self.service.as_str(), self.service_type);
            let compiled = handler::compile(document, service, self.find_cluster, self.diagnostics);
            let Some((handler, cluster)) = compiled else { continue };
            if is_shadowed(&handler, &handlers) {
                let message = "the event handler receives no event: earlier ones match all of its events";
                self.diagnostics
                    .warning(codes::SHADOWED_EVENT_HANDLER, document.span, message)
                    .help("move it before the others, or remove it");
            }
            handlers.push(EventHandlerConfig { backend: self.backends.len(), ..handler });
            self.backends.push(cluster);
        }
        handlers
    }
}

/// Whether earlier handlers match every event of this one.
fn is_shadowed(handler: &EventHandlerConfig, earlier: &[EventHandlerConfig]) -> bool {
    let has_user_event = |event: &str| {
        earlier.iter().any(|other| other.user_events.as_ref().is_some_and(|pattern| pattern.matches(event)))
    };
    let matches_all = || earlier.iter().any(|other| matches!(other.user_events, Some(UserEventPattern::All)));
    let is_user_shadowed = match &handler.user_events {
        None => true,
        Some(UserEventPattern::All) => matches_all(),
        Some(UserEventPattern::Names(names)) => names.iter().all(|name| has_user_event(name)),
    };
    let flags = |events: SystemEvents| {
        [events.connect, events.connected, events.disconnected, events.joined, events.left]
    };
    let own = flags(handler.system_events);
    let is_system_shadowed = (0..own.len())
        .all(|event| !own[event] || earlier.iter().any(|other| flags(other.system_events)[event]));
    is_user_shadowed && is_system_shadowed
}

fn limits(document: &HubLimitsDocument, ranges: &mut RangeChecker) -> HubLimits {
    let default = HubLimits::default();
    let mut count = |name, setting, max| ranges.count(name, setting, max).map(|count| count as usize);
    let max_connections = count("MaxConnections", &document.max_connections, i64::MAX as u64);
    let max_queued_messages = count("MaxQueuedMessages", &document.max_queued_messages, 1_000_000);
    let max_groups = count("MaxGroupsPerConnection", &document.max_groups_per_connection, 100_000);
    let max_invocations = count("MaxInvocations", &document.max_invocations, 1000);
    let max_rate = count("MaxMessagesPerSecond", &document.max_messages_per_second, 1_000_000);
    HubLimits {
        max_connections,
        max_message_bytes: ranges.size(
            "MaxMessageSize",
            &document.max_message_size,
            default.max_message_bytes as u64,
            KIB,
            16 * MIB,
        ),
        max_queued_messages: max_queued_messages.unwrap_or(default.max_queued_messages),
        max_queued_bytes: ranges.size(
            "MaxQueuedBytes",
            &document.max_queued_bytes,
            default.max_queued_bytes as u64,
            64 * KIB,
            KIB * MIB,
        ),
        max_groups_per_connection: max_groups.unwrap_or(default.max_groups_per_connection),
        max_messages_per_second: max_rate.map(|rate| rate as u32),
        max_invocations: max_invocations.unwrap_or(default.max_invocations),
    }
}
