//! The settings of claims transformation in documents; routes have `ChangeDownstreamPathTemplate` too.

use crate::config::options::shared_settings;

shared_settings! { $ claims_settings {
    /// Claim type → the source of its value. Default: `{}`. Source: Ocelot, Claims Transformation.
    #[serde(rename = "AddClaimsToRequest")]
    pub add_claims: StringList,
    /// Request header name → the claim that becomes its value. Default: `{}`. Source: Ocelot, Claims Transformation.
    #[serde(rename = "AddHeadersToRequest")]
    pub add_headers: StringList,
    /// Query parameter → the claim that becomes its value. Default: `{}`. Source: Ocelot, Claims Transformation.
    #[serde(rename = "AddQueriesToRequest")]
    pub add_queries: StringList,
} }
