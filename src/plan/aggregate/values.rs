//! Extracts the values for which further calls are made.

use crate::base::json_path::{BudgetExceeded, JsonPath};
use crate::base::percent::put_percent;
use serde_json::Value;
use std::collections::HashSet;

/// Why there are no calls.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    #[error(transparent)]
    TooMuch(#[from] BudgetExceeded),
    #[error("more than {0} distinct values")]
    TooMany(usize),
}

/// The distinct values at a path, in document order, as they replace a placeholder. Strings, numbers and booleans are
/// values; in Ocelot everything is.
pub fn extract(
    path: &JsonPath,
    document: &Value,
    ocelot: bool,
    max: usize,
) -> Result<Vec<Vec<u8>>, ValueError> {
    let as_text = if ocelot { dotnet_string } else { url_encoded };
    let (mut seen, mut values) = (HashSet::new(), Vec::new());
    for text in path.find(document)?.into_iter().filter_map(as_text) {
        if seen.insert(text.clone()) {
            if values.len() == max {
                return Err(ValueError::TooMany(max));
            }
            values.push(text);
        }
    }
    Ok(values)
}

/// Percent-encoded, so that a value is one segment or one parameter, whatever it contains.
fn url_encoded(value: &Value) -> Option<Vec<u8>> {
    let text = match value {
        Value::String(text) if !text.is_empty() => text.clone(),
        Value::Number(_) | Value::Bool(_) => value.to_string(),
        _ => return None,
    };
    let mut spelled = Vec::with_capacity(text.len());
    for byte in text.bytes() {
        match byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            true => spelled.push(byte),
            false => put_percent(byte, &mut spelled),
        }
    }
    Some(spelled)
}

/// .NET's `ToString` of the value.
fn dotnet_string(value: &Value) -> Option<Vec<u8>> {
    Some(match value {
        Value::Null => Vec::new(),
        Value::Bool(true) => b"True".to_vec(),
        Value::Bool(false) => b"False".to_vec(),
        Value::String(text) => text.as_bytes().to_vec(),
        Value::Number(_) => value.to_string().into_bytes(),
        Value::Array(_) | Value::Object(_) => serde_json::to_vec_pretty(value).unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn texts(document: &Value, ocelot: bool, max: usize) -> Result<Vec<String>, ValueError> {
        let path = JsonPath::parse("$[*]").unwrap();
        let found = extract(&path, document, ocelot, max)?;
        Ok(found.into_iter().map(|text| String::from_utf8(text).unwrap()).collect())
    }

    #[test]
    fn values_are_distinct_and_in_document_order() {
        let list = json!([2, "1", 1, 2, true, "a/b?c%"]);
        assert_eq!(texts(&list, false, 9).unwrap(), ["2", "1", "true", "a%2Fb%3Fc%25"]);
        assert_eq!(texts(&list, true, 9).unwrap(), ["2", "1", "True", "a/b?c%"]);
    }

    #[test]
    fn nulls_and_containers_are_skipped_except_under_ocelot() {
        let list = json!([null, "", [], {"a": 1}]);
        assert_eq!(texts(&list, false, 9).unwrap(), [""; 0]);
        assert_eq!(texts(&list, true, 9).unwrap(), ["", "[]", "{\n  \"a\": 1\n}"]);
    }

    #[test]
    fn the_number_of_values_is_limited() {
        assert_eq!(texts(&json!([1, 2, 2]), false, 2).unwrap().len(), 2);
        assert_eq!(texts(&json!([1, 2, 3]), false, 2), Err(ValueError::TooMany(2)));
    }
}
