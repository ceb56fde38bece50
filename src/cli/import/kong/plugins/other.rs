//! CORS, response caching and request ids.

use super::context::{PluginContext, RouteEffects};
use crate::cli::import::report::Report;
use crate::cli::import::values::{boolean, duration_text, get, items, number, strings, text};
use serde_json::{Value, json};

/// `cors`.
pub fn cors(config: &Value, effects: &mut RouteEffects, context: &mut PluginContext, report: &mut Report) {
    let origins = origins(config, context, report);
    if origins.is_empty() {
        return;
    }
    let is_any = origins.iter().any(|origin| origin == "*");
    let mut options = json!({ "AllowedOrigins": origins });
    copy_lists(
        config,
        &[
            ("AllowedMethods", "methods"),
            ("AllowedHeaders", "headers"),
            ("ExposedHeaders", "exposed_headers"),
        ],
        &mut options,
    );
    if get(config, "headers").is_none() {
        options["AllowedHeaders"] = json!(["*"]);
    }
    match boolean(config, "credentials") {
        Some(true) if is_any => {
            let message =
                "credentials with any origin: not allowed; list the origins and set AllowCredentials";
            report.change(&context.position, message);
        }
        Some(true) => options["AllowCredentials"] = true.into(),
        _ => {}
    }
    if let Some(seconds) = number(config, "max_age") {
        options["MaxAge"] = duration_text(seconds).into();
    }
    if boolean(config, "preflight_continue") == Some(true) {
        let message = "preflight_continue: the gateway responds to preflight requests";
        report.change(&context.position, message);
    }
    effects.settings.insert("CorsOptions".to_owned(), options);
}

/// The allowed origins; without a setting, all of them.
fn origins(config: &Value, context: &PluginContext, report: &mut Report) -> Vec<String> {
    let is_expression = |origin: &String| origin != "*" && origin.contains(['^', '$', '\\', '(', '[', '+']);
    let (expressions, mut origins): (Vec<String>, Vec<String>) =
        strings(config, "origins").into_iter().partition(is_expression);
    if !expressions.is_empty() {
        let message = format!("origins that are regular expressions: {}", expressions.join(", "));
        report.skip(&context.position, message);
    } else if origins.is_empty() {
        origins.push("*".to_owned());
    }
    origins
}

/// Copies lists that are not empty.
fn copy_lists(config: &Value, names: &[(&str, &str)], options: &mut Value) {
    for (setting, name) in names {
        let list = strings(config, name);
        if !list.is_empty() {
            options[*setting] = list.into();
        }
    }
}

/// `proxy-cache`.
pub fn proxy_cache(
    config: &Value,
    effects: &mut RouteEffects,
    context: &mut PluginContext,
    report: &mut Report,
) {
    let ttl = number(config, "cache_ttl").unwrap_or(300.0).max(1.0) as i64;
    let mut options = json!({ "TtlSeconds": ttl });
    if boolean(config, "cache_control") == Some(true) {
        options["Mode"] = "Http".into();
    }
    let codes = items(get(config, "response_code")).into_iter().filter_map(Value::as_i64);
    let codes: Vec<i64> = codes.filter(|code| (200..600).contains(code)).collect();
    options["StatusCodes"] = if codes.is_empty() { json!([200, 301, 404]) } else { codes.into() };
    copy_lists(
        config,
        &[
            ("Methods", "request_method"),
            ("VaryByHeader", "vary_headers"),
            ("VaryByQuery", "vary_query_params"),
        ],
        &mut options,
    );
    report.skip(
        &context.position,
        "content types and storage of the cache: every content type is stored in memory",
    );
    effects.settings.insert("CacheOptions".to_owned(), options);
}

/// `correlation-id`.
pub fn correlation_id(
    config: &Value,
    effects: &mut RouteEffects,
    context: &mut PluginContext,
    report: &mut Report,
) {
    let name = text(config, "header_name").unwrap_or_else(|| "Kong-Request-ID".to_owned());
    effects.settings.insert("RequestIdKey".to_owned(), name.into());
    if boolean(config, "echo_downstream") == Some(true) {
        report.skip(&context.position, "echo_downstream: the request id is not added to responses");
    }
}
