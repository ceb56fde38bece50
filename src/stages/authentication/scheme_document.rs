//! `AuthenticationSchemes`: how callers are authenticated.

use crate::base::secret::Secret;
use crate::base::units::DurationText;
use crate::config::values::{List, ListMap, OneOrMany, Setting};
use schemars::JsonSchema;
use serde::Deserialize;

/// An authentication scheme. File names are relative to the configuration file; the files are watched, and changes are
/// applied.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct AuthenticationSchemeDocument {
    /// `JwtBearer`: signed tokens (RFC 7519); `ApiKey`: random keys; `Basic`: user name and password (RFC 7617);
    /// `ClientCertificate`: the client certificate that the listener verified, without further settings. Required.
    #[serde(rename = "Type")]
    pub kind: Setting<String>,
    /// JwtBearer. The secret with which tokens are signed, at least 32 bytes (HS256; HS384 from 48 bytes, HS512 from
    /// 64). Write it as `${NAME}` or `${file:/path}`. Exactly one of `SigningKey`, `PublicKeyFile`, `JwksFile`,
    /// `JwksUri` and `Authority` is required.
    pub signing_key: Setting<Secret>,
    /// JwtBearer. A PEM file with one or more public keys: RSA of 2048 to 4096 bits, EC on P-256 or P-384, Ed25519.
    pub public_key_file: Setting<String>,
    /// JwtBearer. A file with a JSON Web Key Set (RFC 7517).
    pub jwks_file: Setting<String>,
    /// JwtBearer. The URL of a JSON Web Key Set, http or https. It is fetched in the background, kept while the
    /// provider is unavailable, and refreshed when a token references a key that is not in the set.
    pub jwks_uri: Setting<String>,
    /// JwtBearer. The URL of an OpenID Connect provider; its discovery document (`/.well-known/openid-configuration`)
    /// contains the URL of the keys and the `Issuer`.
    pub authority: Setting<String>,
    /// JwtBearer. A PEM file with the trusted certificate authorities for fetching keys over https. Default: the
    /// trusted authorities of the system.
    pub ca_file: Setting<String>,
    /// JwtBearer. Time between two fetches of the keys. 10s to 1d. Default: `5m`.
    pub refresh_interval: Setting<DurationText>,
    /// JwtBearer. Minimum time between two fetches that unknown keys in tokens cause; a request with an unknown key
    /// waits about this long at most. 1s to 10m. Default: `2s`.
    pub minimum_refresh_interval: Setting<DurationText>,
    /// JwtBearer. The accepted signature algorithms: `HS256`, `HS384`, `HS512`, `RS256`, `RS384`, `RS512`, `PS256`,
    /// `PS384`, `PS512`, `ES256`, `ES384`, `EdDSA`. Default: all that are safe with the type of the key.
    pub algorithms: List<String>,
    /// JwtBearer. The accepted values of `iss`: a string or a list. A name in braces is the value of that claim of the
    /// same token, `{tenantid}` that of `tid`: `https://login.microsoftonline.com/{tenantid}/v2.0`. With it the discovery
    /// document of the `Authority` may name another issuer. Default: that of the `Authority`, else any.
    pub issuer: Setting<OneOrMany>,
    /// JwtBearer. The accepted values of `aud`, of which a token must contain one: a string or a list. Default: any.
    pub audience: Setting<OneOrMany>,
    /// JwtBearer. Tolerated difference between the clocks of the issuer and the gateway. 0s to 1h. Default: `1m`; `5m`
    /// under `"Compatibility": "Ocelot"`, as in .NET.
    pub clock_skew: Setting<DurationText>,
    /// JwtBearer. The accepted values of `typ`; with this list a token without `typ` is rejected. Default: no `typ`,
    /// `JWT` or `at+jwt`.
    pub token_types: List<String>,
    /// JwtBearer. The number of keys that a token is tried with, if its `kid` does not select one. 1 to 64. Default: 3.
    pub max_keys_tried: Setting<i64>,
    /// JwtBearer, ApiKey. The header that carries the credentials: in `Authorization` after `Bearer` or `ApiKey`, in
    /// another header without a prefix. It is sent to the backend. Default: `Authorization`; `X-Api-Key` for ApiKey.
    pub header: Setting<String>,
    /// JwtBearer, ApiKey. The query parameter that carries the credentials if the header is absent; it is removed
    /// before the request is sent to the backend. Default: none.
    pub query_parameter: Setting<String>,
    /// JwtBearer, ApiKey. Whether the `QueryParameter` is sent to the backend, too. Default: false.
    pub keep_query_parameter: Setting<bool>,
    /// JwtBearer. The cookie that carries the token if header and query parameter are absent; it is sent to the backend.
    /// Default: none.
    pub cookie: Setting<String>,
    /// ApiKey. A JSON file `{ "Keys": [{ "Sha256": "64 hex digits", "Owner": "name", "Claims": { "scope": "read" } }]
    /// }`; an owner may have several keys. The owner is the claim `sub`. Required, unless `Keys` is set.
    pub keys_file: Setting<String>,
    /// ApiKey. The keys themselves, instead of a `KeysFile`. Default: none.
    pub keys: List<ApiKeyDocument>,
    /// Basic. A JSON file `{ "Users": [{ "Name": "ann", "Hash": "$2b$...", "Claims": {} }] }`, or lines `name:hash` in
    /// the format of htpasswd; hashes are bcrypt or argon2. The name is the claim `sub`. Required, unless `Users` is set.
    pub users_file: Setting<String>,
    /// Basic. The users themselves, instead of a `UsersFile`. Default: none.
    pub users: List<UserDocument>,
    /// Basic. The longest delay of the response to a wrong password, after several from one client address; unknown names
    /// from that address are not hashed then. 0s to 30s; `0s`: no delay, and every name is hashed. Default: `2s`.
    pub max_wrong_password_delay: Setting<DurationText>,
}

/// An API key, stored as a hash.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct ApiKeyDocument {
    /// The SHA-256 hash of the key, 64 hexadecimal digits. Required.
    pub sha256: Setting<String>,
    /// The owner, which is the claim `sub`; an owner may have several keys. Required.
    pub owner: Setting<String>,
    /// Claims of the owner: claim → its value, or a list of values. Default: `{}`.
    pub claims: ListMap,
}

/// A user with a password.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct UserDocument {
    /// The name, which is the claim `sub`. Required.
    pub name: Setting<String>,
    /// The bcrypt or argon2 hash of the password. Required.
    pub hash: Setting<Secret>,
    /// Claims of the user: claim → its value, or a list of values. Default: `{}`.
    pub claims: ListMap,
}
