//! The settings of authorization in documents. `AllowedScopes` is one of `AuthenticationOptions`.

use crate::config::options::shared_settings;

shared_settings! { $ authorization_settings {
    /// Claim type → the value that the caller must have, or a list of values of which one suffices. All entries must be
    /// satisfied. `"{name}"` is the value of the path placeholder. Default: `{}`. Source: Ocelot, Authorization.
    #[serde(rename = "RouteClaimsRequirement")]
    pub claims_required: ListMap,
    /// A CEL (Common Expression Language) condition that the caller must satisfy; 403 if it is false or cannot be
    /// evaluated. Variables: `claims` (claim type → first value), `claim_values` (claim type → list), `scopes` (list),
    /// `path` (placeholder → value), `method`, `headers` (lowercase name → value) and `client` (address). At most 4096
    /// bytes. Default: none.
    #[serde(rename = "RouteClaimsExpression")]
    pub claims_expression: Setting<String>,
} }
