//! Request methods (RFC 9110, section 9).

use super::bytes::is_token;

/// The registered methods that are sent in capitals.
const METHODS: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT"];

/// A method, in capitals when it is one of the well-known ones; none when it is not a token.
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
    fn well_known_methods_are_sent_in_capitals_and_others_as_they_are() {
        assert_eq!(parse_method("get").as_deref(), Some("GET"));
        assert_eq!(parse_method("pUrge").as_deref(), Some("pUrge"));
        assert_eq!(parse_method("G T"), None);
        assert_eq!(parse_method(""), None);
    }
}
