//! Authentication schemes of the results of imports. Without keys they reject every caller.

use super::report::Report;
use serde_json::{Value, json};

/// A host that never resolves (RFC 2606), so that a token is never accepted by mistake.
const UNKNOWN_KEYS: &str = "https://replace-me.invalid/jwks.json";

/// A scheme for tokens whose keys are not known.
pub fn jwt_without_keys() -> Value {
    json!({ "Type": "JwtBearer", "JwksUri": UNKNOWN_KEYS })
}

/// A scheme for bearer tokens, with a note that its keys are missing.
pub fn bearer(name: &str, position: &str, report: &mut Report) -> Value {
    let message = format!(
        "AuthenticationSchemes.{name} has no keys and rejects every token: replace JwksUri by an Authority, the URL of \
         the keys or a key file"
    );
    report.incomplete(position, message);
    jwt_without_keys()
}

/// The issuer of an OpenID Connect provider, from the URL of its discovery document.
pub fn authority(url: &str) -> String {
    let url = url.trim();
    let bare = url.split_once("/.well-known/").map_or(url, |(issuer, _)| issuer);
    bare.trim_end_matches('/').to_owned()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_authority_is_the_discovery_url_without_its_suffix() {
        let url = "https://id.example.com/realm/.well-known/openid-configuration";
        assert_eq!(super::authority(url), "https://id.example.com/realm");
        assert_eq!(super::authority("https://id.example.com/"), "https://id.example.com");
    }
}
