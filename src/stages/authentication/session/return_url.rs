//! Where a browser goes after a sign-in: paths of this origin only.

use crate::base::percent::percent_decoded;

/// The longest path.
const MAX_RETURN_BYTES: usize = 2048;

/// Whether every browser stays on this origin when it is redirected to this text. `path` is that of the endpoints, where a
/// sign-in would begin again.
pub fn is_local(text: &str, path: &str) -> bool {
    let bytes = text.as_bytes();
    let is_plain = bytes.iter().all(|byte| (0x21..0x7f).contains(byte) && *byte != b'\\');
    if !is_plain || bytes.len() > MAX_RETURN_BYTES || bytes.first() != Some(&b'/') {
        return false;
    }
    let own_path = text.split(['?', '#']).next().unwrap_or_default();
    // Another component may decode it once more.
    let decoded = percent_decoded(own_path.as_bytes(), false);
    let is_harmless = |path: &[u8]| {
        !path.windows(2).any(|pair| pair == b"//")
            && !path.iter().any(|byte| *byte < 0x20 || *byte == b'\\' || *byte == 0x7f)
    };
    let twice = percent_decoded(&decoded, false);
    is_harmless(own_path.as_bytes())
        && is_harmless(&decoded)
        && is_harmless(&twice)
        && !(own_path == path || own_path.strip_prefix(path).is_some_and(|rest| rest.starts_with('/')))
}

/// The value of a query parameter, decoded once; the first of several.
pub fn query_parameter(query: &str, name: &str) -> Option<String> {
    query.split('&').find_map(|pair| {
        let (known, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = (known == name).then(|| percent_decoded(value.as_bytes(), true))?;
        String::from_utf8(value.into_owned()).ok()
    })
}

/// How often a parameter occurs.
pub fn count_parameter(query: &str, name: &str) -> usize {
    query.split('&').filter(|pair| pair.split('=').next() == Some(name)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OTHER_SITES: &[&str] = &[
        "",
        "orders",
        "//evil.example",
        "///evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "https://evil.example",
        "HTTPS:/evil.example",
        "javascript:alert(1)",
        "data:text/html,x",
        " /a",
        "/ a",
        "/a\r\nSet-Cookie: a=b",
        "/\t/evil.example",
        "/\n/evil.example",
        "/%2f/evil.example",
        "/%2F%2Fevil.example",
        "/%5cevil.example",
        "/%252f%252fevil.example",
        "/%255cevil.example",
        "/%09/evil.example",
        "/%0d%0aSet-Cookie:a",
        "/a//b",
        "/..//evil.example",
        "/.//evil.example",
        "@evil.example",
        "/é",
        "/a\u{2028}",
        "?a=b",
        "#a",
        "./a",
        "/bff",
        "/bff/login",
        "/bff?x",
        "/bff/logout#x",
    ];

    #[test]
    fn only_paths_of_this_origin_are_local() {
        for text in ["/", "/orders", "/orders?page=2&next=https://a.example/", "/a/b#top", "/a%20b", "/bffs"]
        {
            assert!(is_local(text, "/bff"), "{text}");
        }
        for text in OTHER_SITES {
            assert!(!is_local(text, "/bff"), "{text:?}");
        }
        assert!(!is_local(&format!("/{}", "a".repeat(2048)), "/bff"));
    }

    #[test]
    fn a_parameter_is_decoded_once() {
        let query = "a=1&returnUrl=%2Fx%3Fy%3D%252F+z&returnUrl=second&b";
        assert_eq!(query_parameter(query, "returnUrl").as_deref(), Some("/x?y=%2F z"));
        assert_eq!((query_parameter(query, "b").as_deref(), query_parameter(query, "c")), (Some(""), None));
        assert_eq!(count_parameter(query, "returnUrl"), 2);
        assert_eq!(query_parameter("a=%ff", "a"), None);
    }
}
