//! Request methods (RFC 9110, section 9).

use super::bytes::is_token;

/// Registered methods that are normalized to uppercase.
const METHODS: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT"];

/// A request method, in uppercase if it is registered; `None` if it is not a token.
pub fn parse_method(text: &str) -> Option<String> {
    let known = METHODS.iter().find(|known| known.eq_ignore_ascii_case(text));
    match known {
        Some(known) => Some((*known).to_owned()),
        None => is_token(text.as_bytes()).then(|| text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::parse_method;

    #[test]
    fn registered_methods_are_uppercased_and_others_unchanged() {
        assert_eq!(parse_method("get").as_deref(), Some("GET"));
        assert_eq!(parse_method("pUrge").as_deref(), Some("pUrge"));
        assert_eq!(parse_method("G T"), None);
        assert_eq!(parse_method(""), None);
    }
}
