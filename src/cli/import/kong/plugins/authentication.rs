//! Authentication and authorization.

use super::context::{PluginContext, RouteEffects};
use crate::cli::import::report::Report;
use crate::cli::import::schemes;
use crate::cli::import::values::{boolean, get, strings, text};
use serde_json::{Map, Value, json};

/// Adds a scheme to the route, unless an anonymous consumer makes authentication optional.
fn require(
    name: &str,
    scheme: Value,
    config: &Value,
    effects: &mut RouteEffects,
    context: &mut PluginContext,
    report: &mut Report,
) {
    if text(config, "anonymous").is_some() {
        report.change(
            &context.position,
            "anonymous consumer: the gateway does not authenticate, every caller is accepted",
        );
        return;
    }
    let key = context.scheme(name, scheme);
    effects.add_scheme(&key);
}

/// `key-auth`: the keys of all consumers, as hashes.
pub fn key_auth(
    config: &Value,
    effects: &mut RouteEffects,
    context: &mut PluginContext,
    report: &mut Report,
) {
    let names = strings(config, "key_names");
    let name = names.first().cloned().unwrap_or_else(|| "apikey".to_owned());
    if names.len() > 1 {
        report.change(&context.position, format!("several key names: only `{name}` is accepted"));
    }
    let keys: Vec<Value> = context.consumers.iter().flat_map(keys_of).collect();
    if keys.is_empty() {
        report.incomplete(&context.position, "the file has no keys: add them to `Keys` of the ApiKey scheme");
    }
    let mut scheme = json!({ "Type": "ApiKey", "Header": name });
    if boolean(config, "key_in_query") != Some(false) {
        scheme["QueryParameter"] = name.into();
        if boolean(config, "hide_credentials") != Some(true) {
            scheme["KeepQueryParameter"] = true.into();
        }
    }
    if boolean(config, "hide_credentials") == Some(true) {
        report.change(&context.position, "hide_credentials: a key in the header is sent to the backend");
    }
    if boolean(config, "key_in_body") == Some(true) {
        report.change(&context.position, "key_in_body: keys in bodies are not accepted");
    }
    scheme["Keys"] = keys.into();
    require("key-auth", scheme, config, effects, context, report);
}

fn keys_of(consumer: &crate::cli::import::kong::consumers::Consumer) -> Vec<Value> {
    let mut claims = Map::new();
    if !consumer.groups.is_empty() {
        claims.insert("groups".to_owned(), consumer.groups.clone().into());
    }
    let key = |hash: &String| match claims.is_empty() {
        true => json!({ "Sha256": hash, "Owner": consumer.name }),
        false => json!({ "Sha256": hash, "Owner": consumer.name, "Claims": claims }),
    };
    consumer.key_hashes.iter().map(key).collect()
}

/// `jwt`: the secrets of consumers are not written into the result.
pub fn jwt(config: &Value, effects: &mut RouteEffects, context: &mut PluginContext, report: &mut Report) {
    let mut scheme = schemes::bearer("jwt", &context.position, report);
    if context.consumers.iter().any(|consumer| consumer.has_tokens) {
        report.incomplete(
            &context.position,
            "keys of consumers (jwt_secrets): one scheme for each issuer, with its Issuer and key",
        );
    }
    if let Some(name) =
        strings(config, "header_names").into_iter().find(|name| !name.eq_ignore_ascii_case("authorization"))
    {
        scheme["Header"] = name.into();
    }
    if let Some(name) = strings(config, "uri_param_names").into_iter().next() {
        scheme["QueryParameter"] = name.into();
    }
    if let Some(name) = strings(config, "cookie_names").into_iter().next() {
        scheme["Cookie"] = name.into();
    }
    require("jwt", scheme, config, effects, context, report);
}

/// `basic-auth`: Kong's hashes cannot be verified by margay.
pub fn basic(config: &Value, effects: &mut RouteEffects, context: &mut PluginContext, report: &mut Report) {
    let count = context.consumers.iter().filter(|consumer| consumer.has_passwords).count();
    let message = format!(
        "`Users` of the Basic scheme is empty: add the {count} consumers with passwords, with bcrypt or argon2 hashes"
    );
    report.incomplete(&context.position, message);
    require("basic-auth", json!({ "Type": "Basic", "Users": [] }), config, effects, context, report);
}

/// `openid-connect`: tokens of the issuer.
pub fn openid_connect(
    config: &Value,
    effects: &mut RouteEffects,
    context: &mut PluginContext,
    report: &mut Report,
) {
    let Some(issuer) = text(config, "issuer") else {
        return unsupported("openid-connect", effects, context, report);
    };
    let mut scheme = json!({ "Type": "JwtBearer", "Authority": schemes::authority(&issuer) });
    let audience = strings(config, "audience_required");
    if !audience.is_empty() {
        scheme["Audience"] = audience.into();
    }
    report.change(
        &context.position,
        "bearer tokens are verified; sessions, introspection and login are not taken over",
    );
    require("openid-connect", scheme, config, effects, context, report);
    let scopes = strings(config, "scopes_required");
    for scope in &scopes {
        effects.add_condition(&format!("{} in scopes", quote(scope)));
    }
}

/// `mtls-auth`: the listener verifies certificates.
pub fn client_certificate(
    config: &Value,
    effects: &mut RouteEffects,
    context: &mut PluginContext,
    report: &mut Report,
) {
    report.incomplete(
        &context.position,
        "a listener has to verify client certificates: set Tls.ClientCertificates",
    );
    require("mtls-auth", json!({ "Type": "ClientCertificate" }), config, effects, context, report);
}

/// A guard without a counterpart: the route rejects every caller.
pub fn unsupported(name: &str, effects: &mut RouteEffects, context: &mut PluginContext, report: &mut Report) {
    let message = format!(
        "plugin {name} has no counterpart: its routes reject every caller until you configure a scheme"
    );
    report.incomplete(&context.position, message);
    let key = context.scheme("not-imported", schemes::jwt_without_keys());
    effects.add_scheme(&key);
}

/// `acl`: groups of consumers are the claim `groups`.
pub fn acl(config: &Value, effects: &mut RouteEffects, context: &mut PluginContext, report: &mut Report) {
    let list =
        |names: [&str; 2]| names.into_iter().map(|name| strings(config, name)).find(|list| !list.is_empty());
    let quoted = |groups: &[String]| groups.iter().map(|group| quote(group)).collect::<Vec<_>>().join(", ");
    if let Some(groups) = list(["allow", "whitelist"]) {
        effects.settings.insert("RouteClaimsRequirement".to_owned(), json!({ "groups": groups }));
    }
    if let Some(groups) = list(["deny", "blacklist"]) {
        let condition = format!(
            "!(has(claim_values.groups) && claim_values.groups.exists(g, g in [{}]))",
            quoted(&groups)
        );
        effects.add_condition(&condition);
    }
    if get(config, "include_consumer_groups").is_some() {
        report.skip(&context.position, "include_consumer_groups");
    }
}

/// A string literal of CEL.
fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}
