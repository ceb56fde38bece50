//! JSON that is validated and forwarded as its text.

use serde::de::IgnoredAny;

/// Maximum nesting of arrays and objects.
pub const MAX_JSON_DEPTH: usize = 128;

/// The text, if the bytes are one JSON value in UTF-8; the error states what is wrong.
pub fn checked_json(bytes: &[u8]) -> Result<&str, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "the JSON is not valid UTF-8".to_owned())?;
    if depth(bytes) > MAX_JSON_DEPTH {
        return Err(format!("the JSON is nested deeper than {MAX_JSON_DEPTH} levels"));
    }
    serde_json::from_str::<IgnoredAny>(text).map_err(|error| format!("malformed JSON: {error}"))?;
    Ok(text)
}

/// The deepest nesting outside of strings; meaningful for well-formed JSON, an upper bound for other text.
pub fn depth(json: &[u8]) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let (mut in_string, mut is_escaped) = (false, false);
    for byte in json {
        match (in_string, is_escaped, byte) {
            (true, true, _) => is_escaped = false,
            (true, false, b'\\') => is_escaped = true,
            (true, false, b'"') => in_string = false,
            (true, false, _) => {}
            (false, _, b'"') => in_string = true,
            (false, _, b'[' | b'{') => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            (false, _, b']' | b'}') => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_member_order_are_not_interpreted() {
        for text in
            ["1.0", "1e400", "12345678901234567890123", r#"{"b":1,"a":2}"#, " [1] ", "null", r#""\ud800""#]
        {
            assert_eq!(checked_json(text.as_bytes()), Ok(text));
        }
        for text in ["", "{", "{\"a\":", "[1,]", "01", "nul", "1 2", "'a'", "\"\n\"", "{a:1}", "NaN"] {
            assert!(checked_json(text.as_bytes()).is_err(), "{text}");
        }
        assert!(checked_json(b"\"\xff\"").is_err());
    }

    #[test]
    fn nesting_is_limited() {
        let nested = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert!(checked_json(nested(128).as_bytes()).is_ok());
        assert!(checked_json(nested(129).as_bytes()).is_err());
        assert!(checked_json("[".repeat(1 << 20).as_bytes()).is_err());
        assert_eq!(depth(br#"["[[[", "\"[[", {"a":[]}]"#), 3);
    }
}
