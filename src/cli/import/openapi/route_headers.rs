//! Header parameters that select an operation: required ones with a fixed value.

use super::operations::Operation;
use crate::cli::import::report::Report;
use crate::cli::import::values::{items, regex_escape, text, text_of};
use serde_json::Value;

/// Header parameters that OpenAPI ignores.
const IGNORED: [&str; 3] = ["accept", "content-type", "authorization"];

/// Header name → regular expression of its value. Other required parameters are left to the backend, which responds
/// with a message about them.
pub fn conditions(operation: &Operation, report: &mut Report) -> Vec<(String, String)> {
    let mut headers = Vec::new();
    for parameter in &operation.parameters {
        let (name, place) =
            (text(parameter, "name").unwrap_or_default(), text(parameter, "in").unwrap_or_default());
        let is_required = parameter.get("required") == Some(&true.into());
        let is_field = place == "header" && crate::base::bytes::is_token(name.as_bytes());
        match fixed_value(parameter) {
            Some(value)
                if is_field && is_required && !IGNORED.contains(&name.to_ascii_lowercase().as_str()) =>
            {
                headers.push((name, regex_escape(&value)));
            }
            _ if is_required && matches!(place.as_str(), "query" | "header" | "cookie") => {
                report.skip(
                    &operation.position,
                    format!("required {place} parameters are not checked by the gateway"),
                );
            }
            _ => {}
        }
    }
    headers
}

/// The only value that the schema of a parameter allows.
fn fixed_value(parameter: &Value) -> Option<String> {
    let schema = parameter.get("schema")?;
    let constant = schema.get("const").or_else(|| match &items(schema.get("enum"))[..] {
        [single] => Some(*single),
        _ => None,
    });
    constant.and_then(text_of)
}
