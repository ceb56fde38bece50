//! Short forms of settings.

use crate::backend::health::{HealthConfig, ProbeKind};
use std::time::Duration;

/// A summary of the health checks of a cluster.
pub(super) fn health_check_summary(health: &HealthConfig) -> String {
    let mut all = Vec::new();
    if let Some(active) = &health.active {
        let what = match &active.kind {
            ProbeKind::Tcp => "TCP connect".to_owned(),
            ProbeKind::Http { target, .. } => format!("GET {target}"),
            ProbeKind::Udp { .. } => "UDP datagram".to_owned(),
        };
        all.push(format!("{what} every {}", duration(active.interval)));
    }
    if let Some(passive) = &health.passive {
        let consecutive = passive.consecutive_failures.map(|n| format!("{n} consecutive failures"));
        let ratio = passive.failure_ratio.map(|ratio| format!("{}% failures", ratio * 100.0));
        let when: Vec<String> = consecutive.into_iter().chain(ratio).collect();
        all.push(format!("ejected after {}", when.join(" or ")));
    }
    all.join("; ")
}

/// Seconds, or milliseconds.
pub(super) fn duration(of: Duration) -> String {
    if of.subsec_millis() == 0 { format!("{}s", of.as_secs()) } else { format!("{}ms", of.as_millis()) }
}
