//! Rate limits, request sizes and addresses.

use super::context::{PluginContext, RouteEffects};
use crate::cli::import::report::Report;
use crate::cli::import::values::{boolean, duration_text, get, items, number, strings, text, text_of};
use serde_json::{Value, json};

const PERIODS: [(&str, &str); 4] = [("second", "1s"), ("minute", "1m"), ("hour", "1h"), ("day", "1d")];

/// `rate-limiting`.
pub fn rate_limiting(
    config: &Value,
    effects: &mut RouteEffects,
    context: &mut PluginContext,
    report: &mut Report,
) {
    let limit = |(name, period): &(&str, &str)| {
        let limit = number(config, name).filter(|limit| *limit >= 1.0)?;
        Some(json!({ "Limit": limit as i64, "Period": period }))
    };
    let limits: Vec<Value> = PERIODS.iter().filter_map(limit).collect();
    for period in ["month", "year"].into_iter().filter(|period| get(config, period).is_some()) {
        report.skip(&context.position, format!("limit per {period}: the longest period is a day"));
    }
    if text(config, "policy").is_some_and(|policy| policy != "local") {
        report.change(&context.position, "shared counters: each gateway counts for itself");
    }
    let by = text(config, "limit_by").unwrap_or_else(|| "consumer".to_owned());
    add_limits(limits, &by, config, effects, context, report);
}

/// `rate-limiting-advanced`.
pub fn rate_limiting_advanced(
    config: &Value,
    effects: &mut RouteEffects,
    context: &mut PluginContext,
    report: &mut Report,
) {
    let windows =
        items(get(config, "window_size")).into_iter().filter_map(|size| text_of(size)?.parse::<f64>().ok());
    let limits =
        items(get(config, "limit")).into_iter().filter_map(|limit| text_of(limit)?.parse::<f64>().ok());
    let limits: Vec<Value> = limits
        .zip(windows)
        .map(|(limit, window)| json!({ "Limit": limit as i64, "Period": duration_text(window) }))
        .collect();
    report
        .change(&context.position, "window and strategy: fixed windows, and each gateway counts for itself");
    let by = text(config, "identifier").unwrap_or_else(|| "consumer".to_owned());
    add_limits(limits, &by, config, effects, context, report);
}

fn add_limits(
    limits: Vec<Value>,
    by: &str,
    config: &Value,
    effects: &mut RouteEffects,
    context: &PluginContext,
    report: &mut Report,
) {
    if limits.is_empty() {
        return;
    }
    let mut options = json!({
        "Limits": limits,
        "PartitionBy": partition(by, config, effects, context, report),
        "KeyPrefix": format!("kong.{}", context.scope),
    });
    if boolean(config, "hide_client_headers") == Some(true) {
        options["EnableHeaders"] = false.into();
    }
    if let Some(code) = number(config, "error_code").filter(|code| *code != 429.0) {
        options["StatusCode"] = (code as i64).into();
    }
    if let Some(message) = text(config, "error_message") {
        options["QuotaMessage"] = message.replace('{', "(").replace('}', ")").into();
    }
    effects.settings.insert("RateLimitOptions".to_owned(), options);
}

/// What has a separate counter. Kong counts by address where the request has no consumer.
fn partition(
    by: &str,
    config: &Value,
    effects: &RouteEffects,
    context: &PluginContext,
    report: &mut Report,
) -> Vec<String> {
    let part = match by {
        "header" => text(config, "header_name").map(|name| format!("Header:{name}")),
        "ip" => Some("IP".to_owned()),
        "consumer" | "credential" | "consumer-group" if effects.is_authenticated() => {
            Some("Claim:sub".to_owned())
        }
        "consumer" | "credential" | "consumer-group" => Some("IP".to_owned()),
        "service" | "path" => None,
        _ => {
            report
                .change(&context.position, format!("limit_by {by}: requests are counted by client address"));
            Some("IP".to_owned())
        }
    };
    let by_route = if context.scope.starts_with("routes.") { Some("Route".to_owned()) } else { None };
    let parts: Vec<String> = part.into_iter().chain(by_route).collect();
    if parts.is_empty() { vec!["Route".to_owned()] } else { parts }
}

/// `request-size-limiting`.
pub fn request_size(config: &Value, effects: &mut RouteEffects, _: &mut PluginContext, _: &mut Report) {
    let unit = match text(config, "size_unit").as_deref() {
        Some("bytes") => 1.0,
        Some("kilobytes") => 1024.0,
        _ => 1024.0 * 1024.0,
    };
    let size = number(config, "allowed_payload_size").unwrap_or(128.0) * unit;
    effects.settings.insert("RequestSizeOptions".to_owned(), json!({ "MaxRequestBodySize": size as u64 }));
}

/// `ip-restriction`.
pub fn ip_restriction(
    config: &Value,
    effects: &mut RouteEffects,
    context: &mut PluginContext,
    report: &mut Report,
) {
    let list =
        |names: [&str; 2]| names.into_iter().map(|name| strings(config, name)).find(|list| !list.is_empty());
    let mut options = json!({});
    if let Some(allowed) = list(["allow", "whitelist"]) {
        options["IPAllowedList"] = allowed.into();
    }
    if let Some(blocked) = list(["deny", "blacklist"]) {
        options["IPBlockedList"] = blocked.into();
    }
    if ["status", "message"].iter().any(|name| get(config, name).is_some()) {
        report.skip(&context.position, "status and message of rejected addresses");
    }
    effects.settings.insert("SecurityOptions".to_owned(), options);
}
