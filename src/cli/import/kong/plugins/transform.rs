//! Header, query and path transforms.

use super::context::{PluginContext, RouteEffects};
use crate::cli::import::report::Report;
use crate::cli::import::values::{at, get, items, strings, text, text_of};
use serde_json::{Value, json};

/// Request and response headers: operation of Kong → form of margay.
const FORMS: [(&str, &str); 3] = [("add", "Default"), ("replace", "Set"), ("append", "Append")];

/// `request-transformer`.
pub fn request(config: &Value, effects: &mut RouteEffects, context: &mut PluginContext, report: &mut Report) {
    headers("UpstreamHeaderTransform", config, effects, context, report);
    if let Some(method) = text(config, "http_method") {
        effects.settings.insert("DownstreamHttpMethod".to_owned(), method.to_ascii_uppercase().into());
    }
    if let Some(uri) = at(config, &["replace", "uri"]).and_then(text_of) {
        match placeholders(&uri) {
            Some(path) if path.starts_with('/') => effects.path = Some(path),
            _ => report.skip(&context.position, format!("replace.uri \"{uri}\"")),
        }
    }
    add_query(config, effects, context, report);
    let parts = [
        ("remove", "querystring"),
        ("remove", "body"),
        ("add", "body"),
        ("replace", "body"),
        ("append", "body"),
        ("rename", "body"),
        ("rename", "headers"),
        ("rename", "querystring"),
    ];
    report_unused(config, &parts, context, report);
}

/// `response-transformer`.
pub fn response(
    config: &Value,
    effects: &mut RouteEffects,
    context: &mut PluginContext,
    report: &mut Report,
) {
    headers("DownstreamHeaderTransform", config, effects, context, report);
    let parts = [
        ("remove", "json"),
        ("add", "json"),
        ("replace", "json"),
        ("append", "json"),
        ("rename", "headers"),
        ("rename", "json"),
    ];
    report_unused(config, &parts, context, report);
}

fn headers(
    setting: &str,
    config: &Value,
    effects: &mut RouteEffects,
    context: &PluginContext,
    report: &mut Report,
) {
    for name in get(config, "remove").map(|remove| strings(remove, "headers")).unwrap_or_default() {
        effects.insert_entry(setting, name.trim(), Value::Null);
    }
    for (operation, form) in FORMS {
        let pairs = get(config, operation).map(|part| strings(part, "headers")).unwrap_or_default();
        for pair in &pairs {
            let Some((name, value)) = pair.split_once(':') else {
                report
                    .skip(&context.position, format!("{operation}.headers \"{pair}\": expected name:value"));
                continue;
            };
            match placeholders(value.trim()) {
                Some(value) => effects.insert_entry(setting, name.trim(), json!({ form: value })),
                None => report.skip(&context.position, format!("template in {operation}.headers \"{pair}\"")),
            }
        }
        if operation == "replace" && !pairs.is_empty() {
            report.change(&context.position, "replaced headers are set also where they are absent");
        }
    }
}

/// Query parameters that are added; the query of the backend path has precedence over that of the client.
fn add_query(config: &Value, effects: &mut RouteEffects, context: &PluginContext, report: &mut Report) {
    for operation in ["add", "replace", "append"] {
        for pair in get(config, operation).map(|part| strings(part, "querystring")).unwrap_or_default() {
            let pair = pair
                .split_once(':')
                .and_then(|(name, value)| Some((name.trim().to_owned(), placeholders(value.trim())?)));
            let Some((name, value)) = pair else {
                report.skip(&context.position, format!("{operation}.querystring"));
                continue;
            };
            let encode = |text: &str| {
                text.replace('%', "%25").replace('&', "%26").replace('#', "%23").replace(' ', "%20")
            };
            effects.query.push(if effects.query.is_empty() { '?' } else { '&' });
            effects.query.push_str(&format!("{}={}", encode(&name), encode(&value)));
            report.change(
                &context.position,
                format!("{operation}.querystring: the parameter replaces that of the client"),
            );
        }
    }
}

/// `$(uri_captures.name)` → `{name}`; `None` for other templates and for braces, which margay would replace.
fn placeholders(text: &str) -> Option<String> {
    if text.contains(['{', '}']) {
        return None;
    }
    let (mut result, mut rest) = (String::new(), text);
    while let Some(open) = rest.find("$(") {
        let close = open + rest[open..].find(')')?;
        let expression = rest[open + 2..close].trim();
        let name = expression.strip_prefix("uri_captures.").or_else(|| {
            expression
                .strip_prefix("uri_captures[")?
                .strip_suffix(']')
                .map(|name| name.trim_matches(['"', '\'']))
        })?;
        result.push_str(&rest[..open]);
        result.push_str(&format!("{{{name}}}"));
        rest = &rest[close + 1..];
    }
    result.push_str(rest);
    Some(result)
}

fn report_unused(config: &Value, parts: &[(&str, &str)], context: &PluginContext, report: &mut Report) {
    for (operation, what) in parts {
        if !items(at(config, &[operation, what])).is_empty() {
            report.skip(&context.position, format!("{operation}.{what}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn captures_are_placeholders_and_other_templates_have_no_counterpart() {
        assert_eq!(placeholders("/v1/$(uri_captures.id)/x").as_deref(), Some("/v1/{id}/x"));
        assert_eq!(placeholders("$(uri_captures['id'])").as_deref(), Some("{id}"));
        assert_eq!(placeholders("plain").as_deref(), Some("plain"));
        for text in ["$(headers.host)", "{x}", "$(uri_captures.id"] {
            assert_eq!(placeholders(text), None, "{text}");
        }
    }
}
