//! `AuthenticationSchemes`: how callers are authenticated.

use crate::base::secret::Secret;
use crate::base::units::{DurationText, SizeText};
use crate::config::values::{List, ListMap, OneOrMany, Setting, StringList};
use schemars::JsonSchema;
use serde::Deserialize;

/// An authentication scheme. File names are relative to the configuration file; the files are watched, and changes are
/// applied.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct AuthenticationSchemeDocument {
    /// `JwtBearer`: signed tokens (RFC 7519); `Introspection`: tokens that the authorization server checks (RFC 7662);
    /// `ApiKey`: random keys; `Basic`: user name and password (RFC 7617); `ClientCertificate`: the client certificate that
    /// the listener verified, without further settings; `HmacSignature`: requests that their sender signs, such as
    /// webhooks; `External`: a service that authorizes requests in addition to the other schemes of a route;
    /// `OpenIdConnect`: sign-in sessions of browsers. Required.
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
    /// JwtBearer, and Introspection with `SignedResponses`. The URL of a JSON Web Key Set, http or https. It is fetched in the background, kept while the
    /// provider is unavailable, and refreshed when a token references a key that is not in the set.
    pub jwks_uri: Setting<String>,
    /// JwtBearer, Introspection, OpenIdConnect. The URL of an OpenID Connect provider; its discovery document
    /// (`/.well-known/openid-configuration`) contains the URL of the keys, the introspection endpoint and the `Issuer`.
    pub authority: Setting<String>,
    /// JwtBearer, Introspection, External, OpenIdConnect. A PEM file with the trusted certificate authorities for https. Default: the
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
    /// JwtBearer, Introspection. The accepted values of `iss`: a string or a list. A name in braces is the value of that claim of the
    /// same token, `{tenantid}` that of `tid`: `https://login.microsoftonline.com/{tenantid}/v2.0`. With it the discovery
    /// document of the `Authority` may name another issuer. Default: that of the `Authority`, else any.
    pub issuer: Setting<OneOrMany>,
    /// JwtBearer, Introspection. The accepted values of `aud`, of which a token must contain one: a string or a list. Default: any.
    pub audience: Setting<OneOrMany>,
    /// JwtBearer, Introspection, OpenIdConnect. Tolerated difference between the clocks of the issuer and the gateway. 0s to 1h. Default:
    /// `1m`; `5m` under `"Compatibility": "Ocelot"`, as in .NET.
    pub clock_skew: Setting<DurationText>,
    /// JwtBearer. The accepted values of `typ`; with this list a token without `typ` is rejected. Default: no `typ`,
    /// `JWT` or `at+jwt`.
    pub token_types: List<String>,
    /// JwtBearer. The number of keys that a token is tried with, if its `kid` does not select one. 1 to 64. Default: 3.
    pub max_keys_tried: Setting<i64>,
    /// JwtBearer, Introspection, ApiKey. The header that carries the credentials: in `Authorization` after `Bearer` or `ApiKey`, in
    /// another header without a prefix. It is sent to the backend. Default: `Authorization`; `X-Api-Key` for ApiKey.
    pub header: Setting<String>,
    /// JwtBearer, Introspection, ApiKey. The query parameter that carries the credentials if the header is absent; it is removed
    /// before the request is sent to the backend. Default: none.
    pub query_parameter: Setting<String>,
    /// JwtBearer, Introspection, ApiKey. Whether the `QueryParameter` is sent to the backend, too. Default: false.
    pub keep_query_parameter: Setting<bool>,
    /// JwtBearer, Introspection. The cookie that carries the token if header and query parameter are absent; it is sent to the backend.
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
    /// JwtBearer, Introspection. Proof of possession of the token by the client (DPoP, RFC 9449). Default: tokens that are
    /// bound to a key (`cnf.jkt`) require it; under `"Compatibility": "Ocelot"` none do.
    #[serde(rename = "DPoP")]
    pub dpop: Setting<DpopDocument>,
    /// JwtBearer, Introspection. Tokens bound to a client certificate (RFC 8705): `IfBound`, those with `cnf.x5t#S256`
    /// require the connection to have this certificate; `Required`, all tokens must be bound; `Off`. Default: `IfBound`;
    /// `Off` under `"Compatibility": "Ocelot"`.
    pub certificate_bound: Setting<String>,
    /// Introspection. The URL at which tokens are checked. Required, unless `Authority` is set.
    pub introspection_endpoint: Setting<String>,
    /// Introspection. Whether the endpoint must sign its responses (RFC 9701) with a key of the `Authority` or the `JwksUri`.
    /// Default: false.
    pub signed_responses: Setting<bool>,
    /// Introspection, OpenIdConnect. The ID with which the gateway is registered at the authorization server. Required.
    pub client_id: Setting<String>,
    /// Introspection, OpenIdConnect. The secret of the `ClientId`. Write it as `${NAME}` or `${file:/path}`. Required with the
    /// `ClientAuthentication` `Basic` or `Post`.
    pub client_secret: Setting<Secret>,
    /// Introspection, OpenIdConnect. How the gateway authenticates at the authorization server: `Basic` or `Post` with the
    /// `ClientSecret`, `PrivateKeyJwt` with the `ClientKeyFile`, `Certificate` (mutual TLS) with `ClientCertificateFile` and
    /// `ClientKeyFile`, `None`. Default: `Basic`.
    pub client_authentication: Setting<String>,
    /// Introspection, OpenIdConnect. With `PrivateKeyJwt` or `Certificate`, a PEM file with the private key: RSA, EC on P-256 or
    /// P-384, Ed25519.
    pub client_key_file: Setting<String>,
    /// Introspection, OpenIdConnect. With `PrivateKeyJwt`, the `kid` of the key at the authorization server. Default: none.
    pub client_key_id: Setting<String>,
    /// Introspection, OpenIdConnect. With `Certificate`, a PEM file with the client certificate of the gateway.
    pub client_certificate_file: Setting<String>,
    /// Introspection, External. The longest time for which a result is used again; a token is never used after its `exp`.
    /// 0s to 1h; `0s`: never. Default: `1m`; for External `10s`, if `CacheHeaders` is set.
    pub cache_ttl: Setting<DurationText>,
    /// Introspection, External, OpenIdConnect. How long a request waits for the service. 10ms to 1m. Default: `2s`.
    pub timeout: Setting<DurationText>,
    /// External. The URL of the authorizer: `http` or `https` for a request like that of nginx's `auth_request`, `grpc` or
    /// `grpcs` for Envoy's `ext_authz` version 3. Required.
    pub url: Setting<String>,
    /// External over HTTP. The method of the request to the authorizer: `GET`, `HEAD` or `POST`. Default: `GET`.
    pub method: Setting<String>,
    /// External. The fields of the request that the authorizer gets. Default: all but those of the connection.
    pub request_headers: List<String>,
    /// External. The fields that the backend gets from the response of the authorizer; those that a client sends are
    /// removed. Default: `[]`.
    pub response_headers: List<String>,
    /// External over HTTP. The fields that the client gets from a response that allows the request, such as `Set-Cookie`.
    /// Default: `[]`.
    pub client_response_headers: List<String>,
    /// External. Claims of the caller: claim → field of a response that allows the request. Default: `{}`.
    pub header_claims: StringList,
    /// External. What happens to requests if the authorizer does not respond: `Deny`, 503, or `Allow`. Default: `Deny`.
    pub on_failure: Setting<String>,
    /// External. The fields of the request on which a decision depends, in addition to method, URL and user: with them
    /// decisions are used again for `CacheTtl`. Default: `[]`, every request is sent to the authorizer.
    pub cache_headers: List<String>,
    /// HmacSignature. Who signs: `Bitbucket`, `Dropbox`, `GitHub`, `HubSpot`, `Linear`, `Meta`, `Paddle`, `PagerDuty`,
    /// `Shopify`, `Slack`, `Square`, `StandardWebhooks`, `Stripe`, `Svix` or `Zoom`; or `Custom`, with `SignatureHeader`.
    /// Required.
    pub sender: Setting<String>,
    /// HmacSignature. The secrets, of which any may have signed: during a rotation the old and the new one. Write them as
    /// `${NAME}` or `${file:/path}`. Required.
    pub secrets: List<Secret>,
    /// HmacSignature. The largest difference between the timestamp of a request and the clock, if the sender signs one. 1s to
    /// 1h. Default: `5m`.
    pub tolerance: Setting<DurationText>,
    /// HmacSignature. How long a signature is remembered and rejected when it is used again. 0s to 1d; `0s`: it may be used
    /// again. Default: twice the `Tolerance` if the sender signs a timestamp, else `0s`.
    pub replay_window: Setting<DurationText>,
    /// HmacSignature. The largest body, which is collected before the request continues. 1KiB to 64MiB. Default: `1MiB`.
    pub max_body_size: Setting<SizeText>,
    /// HmacSignature of a `Custom` sender. The field with the signature. Required for it.
    pub signature_header: Setting<String>,
    /// HmacSignature of a `Custom` sender. What precedes the signature in its field, such as `sha256=`. Default: nothing.
    pub signature_prefix: Setting<String>,
    /// HmacSignature of a `Custom` sender. `Hex` or `Base64`. Default: `Hex`.
    pub signature_encoding: Setting<String>,
    /// HmacSignature of a `Custom` sender. The hash function: `SHA256`, `SHA384`, `SHA512`, or `SHA1`. Default: `SHA256`.
    pub signature_algorithm: Setting<String>,
    /// HmacSignature of a `Custom` sender. What is signed, with `{body}` and optionally `{timestamp}`, `{id}`, `{method}` and
    /// `{url}`. Default: `{body}`.
    pub signed_content: Setting<String>,
    /// HmacSignature of a `Custom` sender. The field with the Unix time of the signature. Required for `{timestamp}`.
    pub timestamp_header: Setting<String>,
    /// HmacSignature of a `Custom` sender. The field with the ID of the message. Required for `{id}`.
    pub id_header: Setting<String>,
    /// OpenIdConnect. The scopes of a sign-in; `offline_access` for refresh tokens. Default: `["openid", "profile"]`.
    pub scopes: List<String>,
    /// OpenIdConnect. Further parameters of sign-ins: name → value, such as `prompt` or `resource`. Default: `{}`.
    pub authorization_parameters: StringList,
    /// OpenIdConnect. Whether sign-ins are pushed to the provider first (PAR, RFC 9126). Default: only if the provider
    /// requires it.
    pub pushed_requests: Setting<bool>,
    /// OpenIdConnect. The path of the endpoints `login`, `callback`, `logout`, `user`, `back-channel-logout`,
    /// `front-channel-logout` and `diagnostics`; a route with this scheme must match it. Default: `/bff`.
    pub path: Setting<String>,
    /// OpenIdConnect. The origin of the application in the browser, such as `https://shop.example`. Default: scheme and host of
    /// the request.
    pub public_url: Setting<String>,
    /// OpenIdConnect. Files with the keys that seal cookies, at least 32 bytes each, such as those of `openssl rand -base64
    /// 48`; the first one seals, all of them open. One or two. Default: a random key of this process.
    pub session_keys: List<String>,
    /// OpenIdConnect. Cookie, lifetimes and store of sessions.
    pub session: Setting<SessionDocument>,
    /// OpenIdConnect. The field that scripts send with requests that change something; it must not be empty. Default:
    /// `X-CSRF`.
    pub csrf_header: Setting<String>,
    /// OpenIdConnect. How the token for the `TokenAudience` of a route is requested: `TokenExchange` (RFC 8693), for the user,
    /// or `ClientCredentials`, for the gateway. Default: `TokenExchange`.
    pub audience_grant: Setting<String>,
    /// OpenIdConnect. Whether the endpoint `diagnostics` shows the session of the caller, without tokens. Default: false.
    pub diagnostics: Setting<bool>,
}

/// Sessions of browsers.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct SessionDocument {
    /// The name of the cookie. Names that begin with `__Host-` cannot be set by other hosts. Default: `__Host-session`.
    pub cookie: Setting<String>,
    /// When browsers send the cookie with requests of other sites: `Lax`, `Strict` or `None`. Default: `Lax`.
    pub same_site: Setting<String>,
    /// How long a session may be unused. 1m to 30d. Default: `1h`.
    pub idle_timeout: Setting<DurationText>,
    /// How long a session may last. 1m to 90d. Default: `8h`.
    pub absolute_timeout: Setting<DurationText>,
    /// Where sessions are: `Cookie`, in the cookie itself, or `Shared`, on `SharedState`. Default: `Shared` with `SharedState`,
    /// else `Cookie`.
    pub store: Setting<String>,
    /// The sessions of one user; the oldest one ends when another begins. Requires the store `Shared`. Default: no limit.
    pub max_per_user: Setting<i64>,
}

/// Proof of possession of tokens (RFC 9449).
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct DpopDocument {
    /// `IfBound`: tokens with `cnf.jkt` require a proof; `Required`: all tokens must be bound to a key; `Off`: bindings are
    /// ignored. Default: `IfBound`; `Off` under `"Compatibility": "Ocelot"`.
    pub mode: Setting<String>,
    /// The largest age of a proof; it is accepted once. 5s to 10m. Default: `1m`.
    pub proof_lifetime: Setting<DurationText>,
    /// Whether a proof must contain a nonce, which the gateway sends in `DPoP-Nonce`. Default: false.
    pub require_nonce: Setting<bool>,
    /// The key of nonces, at least 32 bytes, the same on all gateways. Default: a random one of this process.
    pub nonce_secret: Setting<Secret>,
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
