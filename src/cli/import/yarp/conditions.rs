//! `Match.Hosts`, `Headers` and `QueryParameters` → hosts, header templates and query templates.

use crate::cli::import::hosts::HostCondition;
use crate::cli::import::report::Report;
use crate::cli::import::values::{at, boolean, entries, items, regex_escape, strings, text};
use serde_json::Value;

/// Placeholders for the parameters of a query around the matched one.
const QUERY_BEFORE: &str = "{parameters_before}";
const QUERY_AFTER: &str = "{parameters_after}";

/// The hosts of a route; one entry without a condition if it has none.
pub fn hosts(route: &Value, position: &str, report: &mut Report) -> Vec<HostCondition> {
    let hosts =
        at(route, &["Match", "Hosts"]).map(|_| strings(at(route, &["Match"]).unwrap_or(route), "Hosts"));
    let mut conditions = Vec::new();
    for host in hosts.unwrap_or_default() {
        match HostCondition::parse(&host) {
            Ok(condition) => conditions.push(condition),
            Err(reason) => report.skip(position, reason),
        }
    }
    if conditions.is_empty() { vec![HostCondition::default()] } else { conditions }
}

/// Header name → regular expression of its value.
pub fn headers(route: &Value, position: &str, report: &mut Report) -> Vec<(String, String)> {
    let mut headers: Vec<(String, String)> = Vec::new();
    for (_, condition) in entries(at(route, &["Match", "Headers"]), "Name") {
        let Some(name) = text(condition, "Name") else { continue };
        match header_expression(condition) {
            Ok(_) if headers.iter().any(|(other, _)| other.eq_ignore_ascii_case(&name)) => {
                report.change(
                    position,
                    format!("second condition on the header {name}: the route matches without it"),
                );
            }
            Ok(expression) => headers.push((name, expression)),
            Err(mode) => {
                report.change(
                    position,
                    format!("header condition {mode} on {name}: the route matches without it"),
                );
            }
        }
    }
    headers
}

/// The expression of a header condition; the error is the mode that cannot be expressed.
fn header_expression(condition: &Value) -> Result<String, String> {
    let mode = text(condition, "Mode").unwrap_or_else(|| "ExactHeader".to_owned());
    let values: Vec<String> = strings(condition, "Values").iter().map(|value| regex_escape(value)).collect();
    let flag = if boolean(condition, "IsCaseSensitive") == Some(true) { "?-i:" } else { "?i:" };
    let any = format!("({flag}{})", values.join("|"));
    match mode.to_ascii_lowercase().as_str() {
        "exists" => Ok(".*".to_owned()),
        "notexists" | "notcontains" => Err(mode),
        _ if values.is_empty() => Err(format!("{mode} without Values")),
        "exactheader" => Ok(any),
        "headerprefix" => Ok(format!("{any}.*")),
        "contains" => Ok(format!(".*{any}.*")),
        _ => Err(mode),
    }
}

/// The query templates of a route, to be appended to its path; one empty text if it has no condition.
pub fn queries(route: &Value, position: &str, report: &mut Report) -> Vec<String> {
    let parameters = items(at(route, &["Match", "QueryParameters"]));
    let mut queries = vec![String::new()];
    for (index, parameter) in parameters.into_iter().enumerate() {
        let name = text(parameter, "Name").unwrap_or_default();
        let mode = text(parameter, "Mode").unwrap_or_else(|| "Exact".to_owned());
        let templates = query_templates(&name, &mode, &strings(parameter, "Values"));
        if index == 0 && !templates.is_empty() {
            queries = templates;
        } else {
            let message = format!("query condition {mode} on `{name}`: the route matches without it");
            report.change(position, message);
        }
    }
    queries
}

/// The forms in which the parameter occurs in a query: alone, first, last, or between others.
fn query_templates(name: &str, mode: &str, values: &[String]) -> Vec<String> {
    let is_plain = |text: &str| {
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~".contains(&b))
    };
    if !is_plain(name) || !values.iter().all(|value| is_plain(value)) {
        return Vec::new();
    }
    let around = |parameter: String, is_open: bool| {
        let mut forms = vec![format!("?{parameter}"), format!("?{QUERY_BEFORE}&{parameter}")];
        if !is_open {
            forms.push(format!("?{parameter}&{QUERY_AFTER}"));
            forms.push(format!("?{QUERY_BEFORE}&{parameter}&{QUERY_AFTER}"));
        }
        forms
    };
    match mode.to_ascii_lowercase().as_str() {
        "exists" => around(format!("{name}={{value_of_{name}}}"), true),
        "exact" => values.iter().flat_map(|value| around(format!("{name}={value}"), false)).collect(),
        "prefix" => values
            .iter()
            .flat_map(|value| around(format!("{name}={value}{{rest_of_{name}}}"), true))
            .collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn header_modes_are_expressions_and_negative_ones_are_reported() {
        let route = json!({ "Match": { "Headers": [
            { "Name": "X-A", "Values": ["v1.0", "v2"] },
            { "Name": "X-B", "Mode": "HeaderPrefix", "Values": ["p"], "IsCaseSensitive": true },
            { "Name": "X-C", "Mode": "Exists" },
            { "Name": "X-D", "Mode": "NotExists" }
        ] } });
        let mut report = Report::default();
        let expected = [("X-A", r"(?i:v1\.0|v2)"), ("X-B", "(?-i:p).*"), ("X-C", ".*")];
        let found = headers(&route, "r", &mut report);
        assert_eq!(found.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect::<Vec<_>>(), expected);
        assert!(report.to_text().contains("NotExists on X-D"));
    }

    #[test]
    fn a_query_parameter_is_matched_at_every_position() {
        let route = json!({ "Match": { "QueryParameters": [{ "Name": "v", "Values": ["2"] }] } });
        assert_eq!(
            queries(&route, "r", &mut Report::default()),
            [
                "?v=2",
                "?{parameters_before}&v=2",
                "?v=2&{parameters_after}",
                "?{parameters_before}&v=2&{parameters_after}"
            ]
        );
    }
}
