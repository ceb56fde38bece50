//! `AuthenticationOptions` as the document has them, and resolved.

use crate::config::{
    Spanned,
    options::option_objects,
    values::{List, Setting, items, non_blank},
};

option_objects! {
    /// Authentication: which callers are accepted.
    AuthenticationOptions, GlobalAuthenticationOptions {
        /// Whether anonymous callers are accepted, regardless of all other authentication settings. Default: false.
        /// Source: Ocelot, Authentication (since 24.1).
        allow_anonymous: Setting<bool>,
        /// Scopes, of which the caller must have at least one. Default: `[]`, no scope is required. Source: Ocelot,
        /// Authentication.
        allowed_scopes: List<String>,
        /// Legacy form of `AuthenticationProviderKeys`: one scheme, which is tried first. Source: Ocelot,
        /// Authentication.
        authentication_provider_key: Setting<String>,
        /// Names of `AuthenticationSchemes`, tried in this order. Default: `[]`. Source: Ocelot, Authentication (since
        /// 23.0).
        authentication_provider_keys: List<String>,
        /// The audience of the access token that backends get from a sign-in session, requested by `AudienceGrant` of the
        /// scheme. Default: the access token of the session.
        token_audience: Setting<String>,
    }
}

/// The options with the legacy name folded into the current one.
#[derive(Clone, Debug, Default)]
pub struct ResolvedAuthentication {
    pub allow_anonymous: bool,
    pub scopes: Vec<Spanned<String>>,
    /// Names of schemes in the order in which they are tried, the one under the legacy name first.
    pub schemes: Vec<Spanned<String>>,
}

impl ResolvedAuthentication {
    /// Folds `AuthenticationProviderKey` into the list, in first place.
    pub fn resolve(options: &AuthenticationOptions) -> Self {
        let old = non_blank(&options.authentication_provider_key).into_iter();
        ResolvedAuthentication {
            allow_anonymous: options.allow_anonymous.as_ref().is_some_and(|on| on.value),
            scopes: items(&options.allowed_scopes).to_vec(),
            schemes: old.chain(items(&options.authentication_provider_keys)).cloned().collect(),
        }
    }

    /// Whether callers must authenticate.
    pub fn is_required(&self) -> bool {
        !self.allow_anonymous && self.schemes.iter().any(|name| !name.trim().is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stages::testing::merged;

    fn resolved(global: Option<&str>, own: Option<&str>) -> ResolvedAuthentication {
        let options: AuthenticationOptions = merged(global, own, None).expect("options");
        ResolvedAuthentication::resolve(&options)
    }

    #[test]
    fn the_legacy_single_key_is_tried_first_and_anonymous_access_takes_precedence() {
        let both = r#"{ "AuthenticationProviderKey": "A", "AuthenticationProviderKeys": ["B"] }"#;
        let options = resolved(Some(both), None);
        assert_eq!(options.schemes.iter().map(|name| name.as_str()).collect::<Vec<_>>(), ["A", "B"]);
        assert!(options.is_required());
        assert!(!resolved(Some(both), Some(r#"{ "AllowAnonymous": true }"#)).is_required());
        assert!(!resolved(None, Some(r#"{ "AllowedScopes": ["read"] }"#)).is_required());
    }
}
