//! `Transforms` → path of the backend, header transforms and method.

use super::path::YarpPath;
use crate::cli::import::report::Report;
use crate::cli::import::route_draft::RouteDraft;
use crate::cli::import::values::{boolean, get, text};
use serde_json::{Value, json};

/// Applies the transforms of a route in their order. `base_path` is the path of the destinations.
pub fn apply(
    draft: &mut RouteDraft,
    path: &YarpPath,
    base_path: &str,
    transforms: &[&Value],
    report: &mut Report,
) {
    let mut target = BackendTarget { path: path.client.clone(), query: Vec::new() };
    for transform in transforms {
        let is_known = target.apply_path(transform, path, &draft.position, report)
            || apply_request_header(draft, transform, path, report)
            || apply_response_header(draft, transform, report)
            || apply_switch(draft, transform, report);
        if !is_known {
            let keys: Vec<&str> =
                transform.as_object().into_iter().flatten().map(|(key, _)| key.as_str()).collect();
            report.skip(&draft.position, format!("transform {}", keys.join(", ")));
        }
    }
    draft.backend_path = target.render(base_path);
}

struct BackendTarget {
    path: String,
    query: Vec<(String, String)>,
}

impl BackendTarget {
    fn apply_path(
        &mut self,
        transform: &Value,
        path: &YarpPath,
        position: &str,
        report: &mut Report,
    ) -> bool {
        if let Some(prefix) = text(transform, "PathPrefix") {
            self.path = format!("/{}{}", prefix.trim_matches('/'), self.path);
        } else if let Some(prefix) = text(transform, "PathRemovePrefix") {
            self.remove_prefix(&prefix, position, report);
        } else if let Some(set) = text(transform, "PathSet") {
            self.path = format!("/{}", set.trim_start_matches('/')).replace(['{', '}'], "");
        } else if let Some(pattern) = text(transform, "PathPattern") {
            self.path = from_pattern(&pattern, path, position, report);
        } else if let Some(name) = text(transform, "QueryValueParameter") {
            self.set_query(name, text(transform, "Set"), transform, position, report);
        } else if let Some(name) = text(transform, "QueryRouteParameter") {
            let value = text(transform, "Set").map(|value| route_value(&value, path));
            self.set_query(name, value, transform, position, report);
        } else {
            return false;
        }
        true
    }

    fn remove_prefix(&mut self, prefix: &str, position: &str, report: &mut Report) {
        let prefix = format!("/{}", prefix.trim_matches('/'));
        let starts = self.path.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(&prefix));
        match self
            .path
            .get(prefix.len()..)
            .filter(|rest| starts && (rest.is_empty() || rest.starts_with('/')))
        {
            Some("") => self.path = "/".to_owned(),
            Some(rest) => self.path = rest.to_owned(),
            None if prefix == "/" => {}
            None => report.skip(
                position,
                format!("PathRemovePrefix {prefix}: the path of the route does not begin with it"),
            ),
        }
    }

    fn set_query(
        &mut self,
        name: String,
        set: Option<String>,
        transform: &Value,
        position: &str,
        report: &mut Report,
    ) {
        match set.or_else(|| text(transform, "Append")) {
            Some(value) => {
                if get(transform, "Append").is_some() {
                    report.change(position, format!("query parameter `{name}` is set, not appended"));
                }
                self.query.retain(|(other, _)| !other.eq_ignore_ascii_case(&name));
                self.query.push((name, value));
            }
            None => report.skip(position, format!("query parameter `{name}` without Set or Append")),
        }
    }

    fn render(self, base_path: &str) -> String {
        let mut path = format!("{base_path}{}", self.path);
        for (at, (name, value)) in self.query.iter().enumerate() {
            let encode = |text: &str| {
                text.replace('%', "%25").replace('&', "%26").replace('#', "%23").replace(' ', "%20")
            };
            path.push(if at == 0 { '?' } else { '&' });
            path.push_str(&format!("{}={}", encode(name), encode(value)));
        }
        path
    }
}

/// `{name}` of a route value, or nothing if the path does not have it.
fn route_value(name: &str, path: &YarpPath) -> String {
    let known = path.names.iter().find(|known| known.eq_ignore_ascii_case(name.trim()));
    known.map_or(String::new(), |known| format!("{{{known}}}"))
}

/// `/my/{plugin}/api/{**remainder}`: placeholders that the path does not have are empty.
fn from_pattern(pattern: &str, path: &YarpPath, position: &str, report: &mut Report) -> String {
    let (mut result, mut rest) = (String::new(), pattern);
    while let Some(open) = rest.find('{') {
        result.push_str(&rest[..open]);
        let Some(close) = rest[open..].find('}') else { break };
        let name = rest[open + 1..open + close].trim_start_matches('*');
        let name = name.split([':', '=', '?']).next().unwrap_or_default();
        let value = route_value(name, path);
        if value.is_empty() {
            report.change(position, format!("PathPattern: the path of the route has no parameter `{name}`"));
        }
        result.push_str(&value);
        rest = &rest[open + close + 1..];
    }
    result.push_str(rest);
    let path: String =
        result.split('/').filter(|segment| !segment.is_empty()).map(|s| format!("/{s}")).collect();
    if path.is_empty() { "/".to_owned() } else { path }
}

/// Values of header transforms: braces are placeholders in margay, so only known ones are kept.
fn apply_request_header(
    draft: &mut RouteDraft,
    transform: &Value,
    path: &YarpPath,
    report: &mut Report,
) -> bool {
    const SETTING: &str = "UpstreamHeaderTransform";
    if let Some(name) = text(transform, "RequestHeaderRemove") {
        draft.insert_entry(SETTING, &name, Value::Null);
    } else if let Some(name) = text(transform, "RequestHeader") {
        insert_header(draft, SETTING, &name, transform, report);
    } else if let Some(name) = text(transform, "RequestHeaderRouteValue") {
        let append = text(transform, "Append");
        let (form, value) =
            if append.is_some() { ("Append", append) } else { ("Set", text(transform, "Set")) };
        let value = value.map(|value| route_value(&value, path)).unwrap_or_default();
        if value.is_empty() {
            report.skip(
                &draft.position,
                format!("RequestHeaderRouteValue {name}: the path has no such parameter"),
            );
        } else {
            draft.insert_entry(SETTING, &name, json!({ form: value }));
        }
    } else {
        return false;
    }
    true
}

fn insert_header(draft: &mut RouteDraft, setting: &str, name: &str, transform: &Value, report: &mut Report) {
    let form = if get(transform, "Append").is_some() { "Append" } else { "Set" };
    match get(transform, form).and_then(Value::as_str) {
        Some("") => draft.insert_entry(setting, name, Value::Null),
        Some(value) => draft.insert_entry(setting, name, json!({ form: value })),
        None => report.skip(&draft.position, format!("header transform of {name} without Set or Append")),
    }
}

fn apply_response_header(draft: &mut RouteDraft, transform: &Value, report: &mut Report) -> bool {
    const SETTING: &str = "DownstreamHeaderTransform";
    let (name, is_removed) =
        match (text(transform, "ResponseHeader"), text(transform, "ResponseHeaderRemove")) {
            (Some(name), _) => (name, false),
            (None, Some(name)) => (name, true),
            (None, None) => return false,
        };
    if text(transform, "When").is_some_and(|when| !when.eq_ignore_ascii_case("Always")) {
        report.change(&draft.position, format!("response header {name}: changed whatever the status is"));
    }
    if is_removed {
        draft.insert_entry(SETTING, &name, Value::Null);
    } else {
        insert_header(draft, SETTING, &name, transform, report);
    }
    true
}

/// Transforms that enable or disable a behavior.
fn apply_switch(draft: &mut RouteDraft, transform: &Value, report: &mut Report) -> bool {
    if let Some(original) = boolean(transform, "RequestHeaderOriginalHost") {
        if original {
            draft.settings.insert("PreserveHost".to_owned(), true.into());
        }
        return true;
    }
    if boolean(transform, "RequestHeadersCopy") == Some(true)
        || boolean(transform, "ResponseHeadersCopy") == Some(true)
    {
        return true;
    }
    if let Some(action) = text(transform, "X-Forwarded") {
        if !matches!(action.to_ascii_lowercase().as_str(), "set" | "append") {
            report
                .change(&draft.position, "X-Forwarded: ForwardedHeaders.AddToRequest applies to all routes");
        }
        return true;
    }
    if let Some(from) = text(transform, "HttpMethodChange") {
        let to = text(transform, "Set").unwrap_or_default().to_ascii_uppercase();
        if matches!(&draft.methods[..], [only] if only.eq_ignore_ascii_case(&from)) {
            draft.settings.insert("DownstreamHttpMethod".to_owned(), to.into());
        }
        return true;
    }
    false
}
