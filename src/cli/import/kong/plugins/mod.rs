//! Plugins of Kong → settings of routes. A plugin that protects a route never becomes an open route: what cannot be
//! converted rejects every caller until the operator completes it.

mod authentication;
mod context;
mod limits;
mod other;
mod transform;

pub use context::{PluginContext, RouteEffects};

use super::entities::{KongPlugin, KongRoute, PluginScope};
use crate::cli::import::report::Report;
use serde_json::Value;

/// Converts one plugin.
type Converter = fn(&Value, &mut RouteEffects, &mut PluginContext, &mut Report);

/// The plugins with a counterpart.
const CONVERTERS: &[(&str, Converter)] = &[
    ("rate-limiting", limits::rate_limiting),
    ("rate-limiting-advanced", limits::rate_limiting_advanced),
    ("request-size-limiting", limits::request_size),
    ("ip-restriction", limits::ip_restriction),
    ("key-auth", authentication::key_auth),
    ("key-auth-enc", authentication::key_auth),
    ("jwt", authentication::jwt),
    ("basic-auth", authentication::basic),
    ("openid-connect", authentication::openid_connect),
    ("mtls-auth", authentication::client_certificate),
    ("acl", authentication::acl),
    ("cors", other::cors),
    ("proxy-cache", other::proxy_cache),
    ("proxy-cache-advanced", other::proxy_cache),
    ("correlation-id", other::correlation_id),
    ("request-transformer", transform::request),
    ("request-transformer-advanced", transform::request),
    ("response-transformer", transform::response),
    ("response-transformer-advanced", transform::response),
];

/// Plugins that authenticate and have a counterpart.
const AUTHENTICATORS: [&str; 6] =
    ["key-auth", "key-auth-enc", "jwt", "basic-auth", "openid-connect", "mtls-auth"];

/// Plugins that authenticate or authorize and have no counterpart.
const GUARDS: [&str; 12] = [
    "oauth2",
    "oauth2-introspection",
    "ldap-auth",
    "ldap-auth-advanced",
    "hmac-auth",
    "jwt-signer",
    "jwe-decrypt",
    "opa",
    "vault-auth",
    "session",
    "saml",
    "header-cert-auth",
];

/// Plugins that respond themselves: their routes have no backend.
const RESPONDERS: [&str; 6] =
    ["request-termination", "redirect", "aws-lambda", "azure-functions", "mocking", "degraphql"];

/// Plugins for logs, metrics and traces, which margay has for all routes.
const TELEMETRY: [&str; 13] = [
    "prometheus",
    "file-log",
    "http-log",
    "tcp-log",
    "udp-log",
    "syslog",
    "loggly",
    "statsd",
    "statsd-advanced",
    "datadog",
    "zipkin",
    "opentelemetry",
    "kafka-log",
];

/// Whether a plugin authenticates.
fn is_guard(name: &str) -> bool {
    AUTHENTICATORS.contains(&name) || GUARDS.contains(&name)
}

/// The effects of the plugins of a route.
pub fn apply(
    plugins: &[&KongPlugin],
    route: &KongRoute,
    context: &mut PluginContext,
    report: &mut Report,
) -> RouteEffects {
    let mut effects = RouteEffects::default();
    // Limits by caller depend on whether the route authenticates.
    let (guards, others): (Vec<&KongPlugin>, Vec<&KongPlugin>) =
        plugins.iter().copied().partition(|plugin| is_guard(&plugin.name));
    for plugin in guards.into_iter().chain(others) {
        let scope = match &plugin.scope {
            PluginScope::Global => "global".to_owned(),
            PluginScope::Service(name) => format!("services.{name}"),
            PluginScope::Route(_) => format!("routes.{}", route.name),
        };
        context.position = format!("{scope}.plugins.{}", plugin.name);
        context.scope = scope;
        let name = plugin.name.as_str();
        match CONVERTERS.iter().find(|(known, _)| *known == name) {
            Some((_, convert)) => convert(plugin.config, &mut effects, context, report),
            None if GUARDS.contains(&name) => {
                authentication::unsupported(name, &mut effects, context, report);
            }
            None if RESPONDERS.contains(&name) => {
                effects.reason_to_omit =
                    Some(format!("the plugin {name} responds itself, and has no counterpart"));
            }
            None if TELEMETRY.contains(&name) => {
                report.skip(
                    &context.position,
                    "telemetry: margay's access log, metrics and traces apply to all routes",
                );
            }
            None => report.skip(&context.position, format!("plugin {name} has no counterpart")),
        }
    }
    effects
}
