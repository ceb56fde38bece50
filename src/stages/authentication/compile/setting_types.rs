//! Which settings of `AuthenticationSchemes` each type uses.

use crate::{
    config::{Span, values::Setting},
    stages::authentication::scheme_document::AuthenticationSchemeDocument,
};

/// A setting, its span if it is set, and the types that use it.
pub type SettingRow = (&'static str, Option<Span>, &'static [&'static str]);

const JWT: &[&str] = &["JwtBearer"];
const TOKENS: &[&str] = &["JwtBearer", "Introspection"];
const LOCATED: &[&str] = &["JwtBearer", "Introspection", "ApiKey"];
const INTROSPECTION: &[&str] = &["Introspection"];
const HMAC: &[&str] = &["HmacSignature"];
const EXTERNAL: &[&str] = &["External"];
const CALLING: &[&str] = &["Introspection", "External"];
const OAUTH: &[&str] = &["Introspection", "OpenIdConnect"];
const SESSION: &[&str] = &["OpenIdConnect"];

fn at<T>(set: &Setting<T>) -> Option<Span> {
    set.as_ref().map(|set| set.span)
}

/// All settings but `Type`.
pub fn settings_of_types(document: &AuthenticationSchemeDocument) -> impl Iterator<Item = SettingRow> {
    let credentials = tokens(document).into_iter().chain(credentials(document));
    credentials.chain(services(document)).chain(signatures(document)).chain(sessions(document))
}

fn tokens(document: &AuthenticationSchemeDocument) -> [SettingRow; 17] {
    [
        ("SigningKey", at(&document.signing_key), JWT),
        ("PublicKeyFile", at(&document.public_key_file), JWT),
        ("JwksFile", at(&document.jwks_file), JWT),
        ("JwksUri", at(&document.jwks_uri), TOKENS),
        ("Authority", at(&document.authority), &["JwtBearer", "Introspection", "OpenIdConnect"]),
        ("CaFile", at(&document.ca_file), &["JwtBearer", "Introspection", "External", "OpenIdConnect"]),
        ("RefreshInterval", at(&document.refresh_interval), JWT),
        ("MinimumRefreshInterval", at(&document.minimum_refresh_interval), JWT),
        ("Algorithms", at(&document.algorithms), JWT),
        ("Issuer", at(&document.issuer), TOKENS),
        ("Audience", at(&document.audience), TOKENS),
        ("ClockSkew", at(&document.clock_skew), &["JwtBearer", "Introspection", "OpenIdConnect"]),
        ("TokenTypes", at(&document.token_types), JWT),
        ("MaxKeysTried", at(&document.max_keys_tried), JWT),
        ("Cookie", at(&document.cookie), TOKENS),
        ("DPoP", at(&document.dpop), TOKENS),
        ("CertificateBound", at(&document.certificate_bound), TOKENS),
    ]
}

fn credentials(document: &AuthenticationSchemeDocument) -> [SettingRow; 8] {
    [
        ("Header", at(&document.header), LOCATED),
        ("QueryParameter", at(&document.query_parameter), LOCATED),
        ("KeepQueryParameter", at(&document.keep_query_parameter), LOCATED),
        ("KeysFile", at(&document.keys_file), &["ApiKey"]),
        ("Keys", at(&document.keys), &["ApiKey"]),
        ("UsersFile", at(&document.users_file), &["Basic"]),
        ("Users", at(&document.users), &["Basic"]),
        ("MaxWrongPasswordDelay", at(&document.max_wrong_password_delay), &["Basic"]),
    ]
}

fn services(document: &AuthenticationSchemeDocument) -> [SettingRow; 18] {
    [
        ("IntrospectionEndpoint", at(&document.introspection_endpoint), INTROSPECTION),
        ("SignedResponses", at(&document.signed_responses), INTROSPECTION),
        ("ClientId", at(&document.client_id), OAUTH),
        ("ClientSecret", at(&document.client_secret), OAUTH),
        ("ClientAuthentication", at(&document.client_authentication), OAUTH),
        ("ClientKeyFile", at(&document.client_key_file), OAUTH),
        ("ClientCertificateFile", at(&document.client_certificate_file), OAUTH),
        ("ClientKeyId", at(&document.client_key_id), OAUTH),
        ("CacheTtl", at(&document.cache_ttl), CALLING),
        ("Timeout", at(&document.timeout), &["Introspection", "External", "OpenIdConnect"]),
        ("Url", at(&document.url), EXTERNAL),
        ("Method", at(&document.method), EXTERNAL),
        ("RequestHeaders", at(&document.request_headers), EXTERNAL),
        ("ResponseHeaders", at(&document.response_headers), EXTERNAL),
        ("ClientResponseHeaders", at(&document.client_response_headers), EXTERNAL),
        ("HeaderClaims", at(&document.header_claims), EXTERNAL),
        ("OnFailure", at(&document.on_failure), EXTERNAL),
        ("CacheHeaders", at(&document.cache_headers), EXTERNAL),
    ]
}

fn signatures(document: &AuthenticationSchemeDocument) -> [SettingRow; 12] {
    [
        ("Sender", at(&document.sender), HMAC),
        ("Secrets", at(&document.secrets), HMAC),
        ("Tolerance", at(&document.tolerance), HMAC),
        ("ReplayWindow", at(&document.replay_window), HMAC),
        ("MaxBodySize", at(&document.max_body_size), HMAC),
        ("SignatureHeader", at(&document.signature_header), HMAC),
        ("SignaturePrefix", at(&document.signature_prefix), HMAC),
        ("SignatureEncoding", at(&document.signature_encoding), HMAC),
        ("SignatureAlgorithm", at(&document.signature_algorithm), HMAC),
        ("SignedContent", at(&document.signed_content), HMAC),
        ("TimestampHeader", at(&document.timestamp_header), HMAC),
        ("IdHeader", at(&document.id_header), HMAC),
    ]
}

fn sessions(document: &AuthenticationSchemeDocument) -> [SettingRow; 10] {
    [
        ("AudienceGrant", at(&document.audience_grant), SESSION),
        ("Scopes", at(&document.scopes), SESSION),
        ("AuthorizationParameters", at(&document.authorization_parameters), SESSION),
        ("PushedRequests", at(&document.pushed_requests), SESSION),
        ("Path", at(&document.path), SESSION),
        ("PublicUrl", at(&document.public_url), SESSION),
        ("SessionKeys", at(&document.session_keys), SESSION),
        ("Session", at(&document.session), SESSION),
        ("CsrfHeader", at(&document.csrf_header), SESSION),
        ("Diagnostics", at(&document.diagnostics), SESSION),
    ]
}
