//! `AuthenticationSchemes`: the ways in which callers prove who they are.

use super::values::{List, OneOrMany, Setting};
use crate::base::secret::Secret;
use crate::base::units::DurationText;
use schemars::JsonSchema;
use serde::Deserialize;

/// A way for callers to prove who they are. Names of files are relative to the configuration file; the files are
/// watched as it is.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct AuthenticationSchemeDocument {
    /// `JwtBearer`: signed tokens (RFC 7519); `ApiKey`: long random keys; `Basic`: name and password (RFC 7617);
    /// `ClientCertificate`: the certificate of the connection, which a listener verified; no other setting.
    /// Required.
    #[serde(rename = "Type")]
    pub kind: Setting<String>,
    /// JwtBearer. The secret of at least 32 bytes that tokens are signed with (HS256; HS384 from 48 bytes, HS512 from
    /// 64). Write it as `${NAME}` or `${file:/path}`. One of `SigningKey`, `PublicKeyFile`, `JwksFile`, `JwksUri` and
    /// `Authority` is required.
    pub signing_key: Setting<Secret>,
    /// JwtBearer. A PEM file with one or more public keys: RSA of 2048 to 4096 bits, EC on P-256 or P-384, Ed25519.
    pub public_key_file: Setting<String>,
    /// JwtBearer. A file with a key set (RFC 7517).
    pub jwks_file: Setting<String>,
    /// JwtBearer. The address of a key set, http or https. It is fetched in the background, kept while the provider is
    /// away, and fetched anew when a token names a key that is not in it.
    pub jwks_uri: Setting<String>,
    /// JwtBearer. The address of an OpenID Connect provider, which says where its keys are
    /// (`/.well-known/openid-configuration`) and which `Issuer` it is.
    pub authority: Setting<String>,
    /// JwtBearer. PEM certificates of the authorities that are believed when keys are fetched over https. Default: those
    /// of the system.
    pub ca_file: Setting<String>,
    /// JwtBearer. How often keys are fetched anew. 10s to 1d. Default: `5m`.
    pub refresh_interval: Setting<DurationText>,
    /// JwtBearer. The shortest time between two fetches, whatever tokens come in; a request with an unknown key waits
    /// about so long at most. 1s to 10m. Default: `2s`.
    pub minimum_refresh_interval: Setting<DurationText>,
    /// JwtBearer. The algorithms that signatures may be made with: `HS256`, `HS384`, `HS512`, `RS256`, `RS384`, `RS512`,
    /// `PS256`, `PS384`, `PS512`, `ES256`, `ES384`, `EdDSA`. Default: all that are safe with the kind of the key.
    pub algorithms: List<String>,
    /// JwtBearer. The `iss` that a token must carry. Default: that of the `Authority`, else any.
    pub issuer: Setting<String>,
    /// JwtBearer. The `aud` of which a token must carry one: a text or a list. Default: any.
    pub audience: Setting<OneOrMany>,
    /// JwtBearer. How far the clocks of the issuer and of the gateway may be apart. 0s to 1h. Default: `1m`; `5m` under
    /// `"Compatibility": "Ocelot"`, as in .NET.
    pub clock_skew: Setting<DurationText>,
    /// JwtBearer. The `typ` that tokens must have; with this list a token without `typ` is refused. Default: none, `JWT`
    /// or `at+jwt`.
    pub token_types: List<String>,
    /// JwtBearer, ApiKey. The header that carries the credentials: in `Authorization` after `Bearer` or `ApiKey`, in
    /// another header alone. It is passed on to the service. Default: `Authorization`; `X-Api-Key` for ApiKey.
    pub header: Setting<String>,
    /// JwtBearer, ApiKey. The query parameter that carries them when the header does not; it is taken out before the
    /// request goes on. Default: none.
    pub query_parameter: Setting<String>,
    /// JwtBearer. The cookie that carries the token when header and query do not. Default: none.
    pub cookie: Setting<String>,
    /// ApiKey. A JSON file `{ "Keys": [{ "Sha256": "64 hex digits", "Owner": "name", "Claims": { "scope": "read" } }] }`;
    /// an owner may have several keys. The owner is the claim `sub`. Required.
    pub keys_file: Setting<String>,
    /// Basic. A JSON file `{ "Users": [{ "Name": "ann", "Hash": "$2b$...", "Claims": {} }] }`, or lines `name:hash` as
    /// htpasswd writes them; hashes are bcrypt's or argon2's. The name is the claim `sub`. Required.
    pub users_file: Setting<String>,
}
