//! `docs/configuration.md` below its marker is generated from the document types, and `docs/telemetry.md` lists exactly
//! the exported metrics. `UPDATE=1 cargo test --test documentation reference` regenerates the reference.

use margay::plan::document::{Document, PolicyDocument, apis::ApiDocument};
use margay::telemetry::export::names;
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;

const MARKER: &str = "<!-- From here on generated from the types in src/plan/document and src/stages. -->\n";

/// Definition name → section title, in the order of the page.
const SECTIONS: &[(&str, &str)] = &[
    ("RouteDocument", "Routes[]"),
    ("HostAndPort", "DownstreamHostAndPorts[], Clusters.NAME.Endpoints[]"),
    ("ClusterDocument", "Clusters.NAME"),
    ("HeaderForm", "Header transforms"),
    ("AccessLogForm", "AccessLog"),
    ("AccessLogOptions", "AccessLogOptions"),
    ("TracingDocument", "Tracing"),
    ("MetricsDocument", "Metrics"),
    ("OtlpDocument", "Otlp"),
    ("LoadBalancerOptions", "LoadBalancerOptions"),
    ("HealthCheckOptions", "HealthCheckOptions"),
    ("ActiveHealthDocument", "HealthCheckOptions.Active"),
    ("PassiveHealthDocument", "HealthCheckOptions.Passive"),
    ("HttpHandlerOptions", "HttpHandlerOptions"),
    ("BufferingOptions", "Buffering"),
    ("DataRateOptions", "MinRequestBodyDataRate, MinResponseDataRate"),
    ("TlsOptions", "TlsOptions"),
    ("QosOptions", "QoSOptions"),
    ("RetryOptions", "RetryOptions"),
    ("FallbackOptions", "FallbackOptions"),
    ("StaticResponseDocument", "FallbackOptions.Reply"),
    ("AuthenticationOptions", "AuthenticationOptions"),
    ("RateLimitOptions", "RateLimitOptions"),
    ("RateLimitDocument", "RateLimitOptions.Limits[]"),
    ("ConcurrencyLimitOptions", "ConcurrencyLimitOptions"),
    ("ConcurrencyLimitDocument", "ConcurrencyLimitOptions.Limits[]"),
    ("CorsOptions", "CorsOptions"),
    ("CompressionOptions", "CompressionOptions"),
    ("RequestSizeOptions", "RequestSizeOptions"),
    ("CacheOptions", "CacheOptions"),
    ("SignalROptions", "SignalROptions"),
    ("SecurityOptions", "SecurityOptions"),
    ("GlobalDocument", "GlobalConfiguration"),
    ("TransportRouteDocument", "TransportRoutes[]"),
    ("TransportOptions", "TransportOptions"),
    ("AccessRuleDocument", "AccessRules[]"),
    ("RoleDocument", "Roles.NAME"),
    ("RoleInstanceDocument", "Roles.NAME.Instances[]"),
    ("RoleIdentityDocument", "Roles.NAME.Instances[].Identity"),
    ("RoleEndpointDocument", "Roles.NAME.Endpoints.NAME"),
    ("RoleOptionsDocument", "RoleOptions"),
    ("InternalListenerDocument", "RoleOptions.InternalListener"),
    ("TrafficRulesDocument", "TrafficRules"),
    ("TrafficRuleDocument", "TrafficRules.Rules[]"),
    ("ListenerDocument", "Listeners[]"),
    ("ProxyProtocolDocument", "Listeners[].ProxyProtocol"),
    ("ListenerTlsDocument", "Listeners[].Tls"),
    ("ListenerCertificateDocument", "Listeners[].Tls.Certificates[]"),
    ("ClientCertificatesDocument", "Listeners[].Tls.ClientCertificates"),
    ("StrictTransportSecurityDocument", "Listeners[].Tls.StrictTransportSecurity"),
    ("AdministrationDocument", "Administration"),
    ("AdminTokenDocument", "Administration.Tokens[]"),
    ("HealthDocument", "Health"),
    ("LimitsDocument", "Limits"),
    ("CacheDocument", "Cache"),
    ("SharedStateDocument", "SharedState"),
    ("CacheRegionDocument", "Cache.Regions.NAME"),
    ("DnsDocument", "Dns"),
    ("ForwardedHeadersDocument", "ForwardedHeaders"),
    ("TestDocument", "Tests[]"),
    ("ExpectDocument", "Tests[].Expect"),
    ("ExpectedRequestDocument", "Tests[].Expect.Downstream"),
    ("AuthenticationSchemeDocument", "AuthenticationSchemes.NAME"),
    ("NamedValueDocument", "NamedValues.NAME"),
    ("TunnelsDocument", "Tunnels"),
    ("TunnelPolicyDocument", "Tunnels.Policies.NAME"),
    ("AgentDocument", "Tunnels.Agents.ID"),
    ("TunnelLimitsDocument", "Tunnels.Limits"),
    ("DeviceStreamsDocument", "Tunnels.DeviceStreams"),
    ("SessionDocument", "AuthenticationSchemes.NAME.Session"),
    ("DpopDocument", "AuthenticationSchemes.NAME.DPoP"),
    ("WafPolicyDocument", "WafPolicies.NAME"),
    ("WafManagedRulesDocument", "WafPolicies.NAME.ManagedRules"),
    ("WafRuleOverrideDocument", "WafPolicies.NAME.ManagedRules.Rules.ID"),
    ("WafExclusionDocument", "WafPolicies.NAME.Exclusions[]"),
    ("WafCustomRuleDocument", "WafPolicies.NAME.CustomRules[]"),
    ("WafConditionDocument", "WafPolicies.NAME.CustomRules[].Conditions[]"),
    ("WafRateLimitDocument", "WafPolicies.NAME.CustomRules[].RateLimit"),
    ("WafBotsDocument", "WafPolicies.NAME.Bots"),
    ("WafVerifiedBotDocument", "WafPolicies.NAME.Bots.VerifiedBots[]"),
    ("WafRequestBodyDocument", "WafPolicies.NAME.RequestBody"),
    ("WafResponseBodyDocument", "WafPolicies.NAME.ResponseBody"),
    ("WafReplyDocument", "WafPolicies.NAME.Reply"),
    ("WafScrubbingDocument", "WafPolicies.NAME.LogScrubbing[]"),
    ("WafEngineDocument", "WafEngine"),
    ("ApiKeyDocument", "AuthenticationSchemes.NAME.Keys[]"),
    ("UserDocument", "AuthenticationSchemes.NAME.Users[]"),
    ("NegotiateOptions", "NegotiateOptions"),
    ("RealtimeDocument", "Realtime"),
    ("RealtimeLimitsDocument", "Realtime.Limits"),
    ("HubServiceDocument", "HubServices.NAME"),
    ("HubDocument", "HubServices.NAME.Hubs.NAME"),
    ("HubLimitsDocument", "HubServices.NAME.Hubs.NAME.Limits"),
    ("EventHandlerDocument", "HubServices.NAME.Hubs.NAME.EventHandlers[]"),
    ("AggregateDocument", "Aggregates[]"),
    ("RouteKeyConfigDocument", "Aggregates[].RouteKeysConfig[]"),
    ("DynamicRouteDocument", "DynamicRoutes[]"),
    ("DiscoveryDocument", "ServiceDiscoveryProvider"),
    ("ApiManagementDocument", "ApiManagement"),
    ("CalloutsDocument", "ApiManagement.Callouts"),
    ("StoreDocument", "ApiManagement.Store"),
    ("ProductDocument", "Products.ID"),
    ("SubscriptionDocument", "Subscriptions.ID"),
    ("ApiUserDocument", "Users.ID"),
    ("GroupDocument", "Groups.ID"),
    ("VersionSetDocument", "VersionSets.ID"),
    ("NamedValueObject", "NamedValues.NAME"),
    ("BackendDocument", "Backends.ID"),
    ("CredentialsDocument", "Backends.ID.Credentials"),
    ("AuthorizationDocument", "Backends.ID.Credentials.Authorization"),
    ("BackendTlsDocument", "Backends.ID.Tls"),
    ("BreakerDocument", "Backends.ID.CircuitBreaker"),
    ("BreakerRuleDocument", "Backends.ID.CircuitBreaker.Rules[]"),
    ("FailureConditionDocument", "Backends.ID.CircuitBreaker.Rules[].FailureCondition"),
    ("StatusRangeDocument", "Backends.ID.CircuitBreaker.Rules[].FailureCondition.StatusCodeRanges[]"),
    ("PoolDocument", "Backends.ID.Pool"),
    ("PoolServiceDocument", "Backends.ID.Pool.Services[]"),
    ("SessionAffinityDocument", "Backends.ID.Pool.SessionAffinity"),
    ("SessionIdDocument", "Backends.ID.Pool.SessionAffinity.SessionId"),
    ("ServiceCertificateDocument", "Certificates.ID"),
    ("LoggerDocument", "Loggers.ID"),
    ("ServiceFabricDocument", "ServiceFabric"),
    ("ResolverDocument", "ServiceFabric.Resolvers.NAME"),
    ("ServiceFabricOptions", "ServiceFabricOptions"),
    ("ServiceCertificatesDocument", "ServiceFabricOptions.ServiceCertificates"),
    ("IdentityDocument", "Identities.ID"),
];

/// The settings of APIs: those of routes are merged with them, so that they are no part of the document's schema.
const API_SECTIONS: &[(&str, &str)] = &[
    ("OperationDocument", "Apis.ID.Operations.ID"),
    ("KeyNamesDocument", "Apis.ID.SubscriptionKeyParameterNames"),
];

fn schema<T: schemars::JsonSchema>() -> Value {
    schemars::schema_for!(T).to_value()
}

fn reference() -> String {
    let document = schema::<Document>();
    let mut page = String::new();
    section(&mut page, "The file", &document);
    for (definition, title) in SECTIONS {
        let of = &document["$defs"][definition];
        if of["properties"].is_object() {
            section(&mut page, title, of);
        }
    }
    let api = schema::<ApiDocument>();
    section(&mut page, "Apis.ID", &api);
    for (definition, title) in API_SECTIONS {
        section(&mut page, title, &api["$defs"][definition]);
    }
    let policy = schema::<PolicyDocument>();
    let settings: Vec<_> = properties(&policy).map(|(name, _)| format!("`{name}`")).collect();
    let intro = "The options of a route that several routes share by name. Each setting has the same meaning as on a route:";
    write!(page, "\n### policies/NAME.json\n\n{intro} {}.\n", settings.join(", ")).unwrap();
    page
}

fn section(page: &mut String, title: &str, of: &Value) {
    let about = of["description"].as_str().unwrap_or_default().replace('\n', " ");
    write!(page, "\n### {title}\n\n{about}\n\n| setting | type | description |\n|---|---|---|\n").unwrap();
    for (name, property) in properties(of) {
        let meaning =
            property["description"].as_str().unwrap_or_default().replace('\n', " ").replace('|', "\\|");
        writeln!(page, "| `{name}` | {} | {meaning} |", kind(property)).unwrap();
    }
}

fn properties(of: &Value) -> impl Iterator<Item = (&String, &Value)> {
    of["properties"].as_object().into_iter().flat_map(Map::iter)
}

/// The type of a setting, in a few words.
fn kind(of: &Value) -> String {
    if let Some(reference) = of["$ref"].as_str() {
        let name = reference.rsplit('/').next().unwrap();
        let known = SECTIONS.iter().chain(API_SECTIONS).find(|(definition, _)| *definition == name);
        return known.map_or("object".to_owned(), |(_, title)| {
            format!("[{}]({})", title.replace("[]", ""), anchor(title))
        });
    }
    let alternatives = of["anyOf"].as_array().or(of["oneOf"].as_array());
    if let Some(alternatives) = alternatives {
        let kinds: Vec<_> = alternatives.iter().filter(|a| a["type"] != "null").map(kind).collect();
        return kinds.join(" or ");
    }
    let kinds = match &of["type"] {
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).filter(|k| *k != "null").collect(),
        Value::String(kind) => vec![kind.as_str()],
        _ => vec![],
    };
    let spelled = |k: &&str| match *k {
        "array" => format!("list of {}", kind(&of["items"])),
        "object" if of["additionalProperties"].is_object() => {
            format!("map to {}", kind(&of["additionalProperties"]))
        }
        other => other.to_owned(),
    };
    if kinds.is_empty() {
        "any".to_owned()
    } else {
        kinds.iter().map(spelled).collect::<Vec<_>>().join(" or ")
    }
}

/// The anchor that GitHub generates for a heading.
fn anchor(title: &str) -> String {
    let kept = title.chars().filter(|c| c.is_alphanumeric() || *c == '-').collect::<String>();
    format!("#{}", kept.to_lowercase())
}

#[test]
fn the_reference_lists_every_setting() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (written, generated) = page.split_once(MARKER).expect("the marker");
    let fresh = reference();
    if std::env::var_os("UPDATE").is_some() {
        return std::fs::write(&path, format!("{written}{MARKER}{fresh}")).unwrap();
    }
    assert!(
        generated == fresh,
        "docs/configuration.md is out of date: UPDATE=1 cargo test --test documentation reference"
    );
}

#[test]
fn every_document_type_has_a_section_in_the_reference() {
    let document = schema::<Document>();
    let unlisted = ["MetadataOptions"];
    let global = |name: &str| name.starts_with("Global") && name != "GlobalDocument";
    for name in document["$defs"].as_object().unwrap().keys() {
        let listed = SECTIONS.iter().any(|(definition, _)| definition == name);
        assert!(listed || global(name) || unlisted.contains(&name.as_str()), "{name} is missing");
    }
}

/// The names of metrics in a text; a histogram has several series.
fn metrics_in(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let names = words.filter(|word| word.starts_with("margay_"));
    let base = |name: &str| {
        let suffix = ["_bucket", "_sum", "_count"].into_iter().find(|suffix| name.ends_with(suffix));
        name.strip_suffix(suffix.unwrap_or("")).unwrap_or(name).to_owned()
    };
    names.map(base).collect()
}

#[test]
fn the_dashboard_and_the_alert_rules_use_exported_metrics() {
    let exported: BTreeSet<String> =
        names().map(|name| name.split('{').next().unwrap_or_default().to_owned()).collect();
    for page in ["deploy/grafana/margay.json", "deploy/prometheus/alerts.yml"] {
        let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(page)).unwrap();
        let used = metrics_in(&text);
        let unknown: Vec<_> = used.difference(&exported).collect();
        assert!(unknown.is_empty() && used.len() > 5, "{page} uses {unknown:?}");
    }
}

#[test]
fn the_documented_metrics_are_those_exported() {
    let page =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/telemetry.md")).unwrap();
    let rows: Vec<_> = page.lines().filter_map(|l| l.strip_prefix("| `margay_")?.split('`').next()).collect();
    let exported: Vec<_> = names().collect();
    let documented: Vec<_> = rows.iter().map(|row| format!("margay_{row}")).collect();
    let missing: Vec<_> = exported.iter().filter(|name| !documented.contains(name)).collect();
    let stale: Vec<_> = documented.iter().filter(|name| !exported.contains(name)).collect();
    assert!(missing.is_empty() && stale.is_empty(), "docs/telemetry.md lacks {missing:?}, and has {stale:?}");
}
