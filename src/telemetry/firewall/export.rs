//! Samples of the metrics of the web application firewall.

use super::FirewallTable;
use crate::telemetry::samples::{counter, gauge, histogram};
use prometheus::proto::Metric;

/// The samples of a family; none without a policy.
pub(in crate::telemetry) fn samples(name: &str, table: &FirewallTable) -> Vec<Metric> {
    let (policies, engine) = (table.all(), table.engine());
    match name {
        _ if policies.is_empty() => return Vec::new(),
        "margay_waf_queue_length" => return vec![gauge(engine.queued(), &[])],
        "margay_waf_queue_rejected_total" => return vec![counter(engine.rejected(), &[])],
        "margay_waf_memory_bytes" => return vec![gauge(engine.memory_bytes(), &[])],
        _ => {}
    }
    let samples = policies.iter().flat_map(|policy| -> Vec<Metric> {
        let label = ("policy", policy.label());
        match name {
            "margay_waf_requests_total" => {
                policy.actions().map(|(action, n)| counter(n, &[("action", action), label])).collect()
            }
            "margay_waf_inspected_bytes_total" => vec![counter(policy.inspected_bytes(), &[label])],
            "margay_waf_duration_seconds" => vec![histogram(&policy.durations(), &[label])],
            "margay_waf_rules" => vec![gauge(policy.rules(), &[label])],
            _ => {
                let matches = policy.rule_matches();
                matches.iter().map(|(rule, n)| counter(*n, &[label, ("rule", rule.as_str())])).collect()
            }
        }
    });
    samples.collect()
}
