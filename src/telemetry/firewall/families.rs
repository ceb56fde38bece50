//! The metrics of the web application firewall: name, help, type and labels.

use prometheus::proto::MetricType;

/// The families of the firewall.
pub(in crate::telemetry) const FIREWALL_FAMILIES: &[(&str, &str, MetricType, &[&str])] = &[
    (
        "margay_waf_requests_total",
        "Requests inspected by the firewall, by policy and action: passed, blocked, detected, allowed, malformed, oversize, limited, bot, logged.",
        MetricType::COUNTER,
        &["policy", "action"],
    ),
    (
        "margay_waf_rule_matches_total",
        "Matches of rules of the firewall: ids of managed rules, names of custom rules; at most 2,000 rules of a policy.",
        MetricType::COUNTER,
        &["policy", "rule"],
    ),
    (
        "margay_waf_inspected_bytes_total",
        "Bytes that the firewall has inspected.",
        MetricType::COUNTER,
        &["policy"],
    ),
    (
        "margay_waf_duration_seconds",
        "Time from the beginning of the inspection of a request to its end, including the arrival of its body.",
        MetricType::HISTOGRAM,
        &["policy"],
    ),
    ("margay_waf_rules", "Rules that run in a policy.", MetricType::GAUGE, &["policy"]),
    (
        "margay_waf_queue_length",
        "Evaluations of the firewall that wait for a thread.",
        MetricType::GAUGE,
        &[],
    ),
    (
        "margay_waf_queue_rejected_total",
        "Evaluations of the firewall that found no thread in time.",
        MetricType::COUNTER,
        &[],
    ),
    (
        "margay_waf_memory_bytes",
        "Memory of the compiled rules and policies of the firewall.",
        MetricType::GAUGE,
        &[],
    ),
];
