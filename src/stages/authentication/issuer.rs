//! `Issuer` of a scheme: accepted values of `iss`, with placeholders for claims of the same token.

use crate::base::compact_jws::JsonObject;
use serde_json::Value;

/// An accepted issuer: `https://issuer.example`, or with placeholders as in the discovery document of Entra ID,
/// `https://login.microsoftonline.com/{tenantid}/v2.0`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct IssuerPattern {
    parts: Vec<IssuerPart>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum IssuerPart {
    Text(String),
    /// The value of this claim.
    Claim(String),
}

impl IssuerPattern {
    /// Parses a pattern; `{tenantid}` is the claim `tid`, another name in braces the claim of that name.
    pub fn parse(text: &str) -> Result<IssuerPattern, &'static str> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (name, behind) = after.split_once('}').ok_or("`{` has no `}`")?;
            if name.is_empty() || name.contains('{') {
                return Err("expected the name of a claim in braces");
            }
            if parts.last().is_some_and(|last| before.is_empty() && matches!(last, IssuerPart::Claim(_))) {
                return Err("two placeholders need text between them");
            }
            if !before.is_empty() {
                parts.push(IssuerPart::Text(before.to_owned()));
            }
            let is_tenant = name.eq_ignore_ascii_case("tenantid");
            parts.push(IssuerPart::Claim(if is_tenant { "tid".to_owned() } else { name.to_owned() }));
            rest = behind;
        }
        if !rest.is_empty() {
            parts.push(IssuerPart::Text(rest.to_owned()));
        }
        match parts.iter().any(|part| matches!(part, IssuerPart::Text(_))) {
            true => Ok(IssuerPattern { parts }),
            false => Err("expected text in addition to a placeholder"),
        }
    }

    /// An issuer without placeholders.
    pub fn exact(text: &str) -> IssuerPattern {
        IssuerPattern { parts: vec![IssuerPart::Text(text.to_owned())] }
    }

    /// Whether the token has this issuer.
    pub fn matches(&self, issuer: &str, claims: &JsonObject) -> bool {
        let rest = self.parts.iter().try_fold(issuer, |rest, part| match part {
            IssuerPart::Text(text) => rest.strip_prefix(text.as_str()),
            IssuerPart::Claim(name) => {
                let value = claims.get(name).and_then(Value::as_str)?;
                let is_segment = !value.is_empty() && !value.contains(['/', '?', '#']);
                rest.strip_prefix(value).filter(|_| is_segment)
            }
        });
        rest.is_some_and(str::is_empty)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn matches(pattern: &str, issuer: &str, claims: Value) -> bool {
        let Value::Object(claims) = claims else { panic!("an object") };
        let claims = JsonObject(claims.into_iter().collect());
        IssuerPattern::parse(pattern).unwrap().matches(issuer, &claims)
    }

    #[test]
    fn a_placeholder_is_the_claim_of_the_same_token() {
        let pattern = "https://login.test/{tenantid}/v2.0";
        assert!(matches(pattern, "https://login.test/t1/v2.0", json!({ "tid": "t1" })));
        assert!(!matches(pattern, "https://login.test/t1/v2.0", json!({ "tid": "t2" })));
        assert!(!matches(pattern, "https://login.test/t1/v2.0", json!({})));
        assert!(!matches(pattern, "https://login.test/t1/v2.0/x", json!({ "tid": "t1" })));
        assert!(!matches(pattern, "https://login.test//v2.0", json!({ "tid": "" })));
        assert!(!matches(pattern, "https://login.test/a/b/v2.0", json!({ "tid": "a/b" })));
        assert!(matches("urn:{realm}", "urn:blue", json!({ "realm": "blue" })));
    }

    #[test]
    fn an_issuer_without_placeholder_is_compared_exactly() {
        assert!(matches("https://a", "https://a", json!({})));
        assert!(!matches("https://a", "https://a/", json!({})));
    }

    #[test]
    fn invalid_patterns_are_rejected() {
        for pattern in ["{tenantid}", "https://a/{", "https://a/{}", "https://a/{b{c}", "https://a/{b}{c}"] {
            assert!(IssuerPattern::parse(pattern).is_err(), "{pattern}");
        }
    }
}
