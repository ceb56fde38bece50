//! `$ref`: references within the document.

use serde_json::Value;

/// Maximum number of references that are followed for one value; more are a cycle.
const MAX_HOPS: usize = 32;

/// The value that a `$ref` leads to, or the value itself; the error is the reason.
pub fn resolve<'d>(root: &'d Value, value: &'d Value) -> Result<&'d Value, String> {
    let mut value = value;
    for _ in 0..MAX_HOPS {
        let Some(reference) = value.get("$ref").and_then(Value::as_str) else { return Ok(value) };
        let Some(pointer) = reference.strip_prefix('#') else {
            return Err(format!(
                "`$ref` to another document: \"{reference}\" is not followed, bundle the document first"
            ));
        };
        let pointer = percent_encoding::percent_decode_str(pointer).decode_utf8_lossy();
        value =
            root.pointer(&pointer).ok_or_else(|| format!("`$ref` to a missing value: \"{reference}\""))?;
    }
    Err("`$ref` leads to itself".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn references_are_followed_and_cycles_end() {
        let root = json!({
            "a": { "$ref": "#/paths/~1x~1%7Bid%7D" },
            "paths": { "/x/{id}": { "ok": true } },
            "loop": { "$ref": "#/loop" },
            "far": { "$ref": "other.yaml#/a" },
            "gone": { "$ref": "#/nothing" }
        });
        assert_eq!(resolve(&root, &root["a"]).unwrap(), &json!({ "ok": true }));
        assert!(resolve(&root, &root["loop"]).unwrap_err().contains("itself"));
        assert!(resolve(&root, &root["far"]).unwrap_err().contains("bundle"));
        assert!(resolve(&root, &root["gone"]).unwrap_err().contains("missing"));
    }
}
