//! The rules of option objects: those that Ocelot checks before it starts, and those of what lived in C#.

use super::aggregates::quote_json;
use super::{CheckContext, OcelotBehavior, OcelotTolerated, add, items, non_blank};
use crate::base::ip_set::IpRange;
use crate::config::document::*;
use crate::config::{Diagnostics, Node, Spanned, codes, de, suggest};
use crate::stages::custom::{CustomStage, StageRegistry, StageRequest};
use std::collections::HashSet;

/// The rules that hold for `GlobalConfiguration`.
pub fn check_global(scope: &CheckContext, diagnostics: &mut Diagnostics) {
    let global = scope.global;
    if let Some(options) = &global.authentication {
        authentication(scope, &options.options(), diagnostics);
    }
    let keys: HashSet<&str> =
        scope.routes().iter().filter_map(|route| route.key.as_ref()).map(|key| key.as_str()).collect();
    let dynamic = items(&scope.check_document.dynamic_routes).iter().filter_map(|route| route.key.as_ref());
    let keys: HashSet<&str> = dynamic.map(|key| key.as_str()).chain(keys).collect();
    check_route_keys(&global.authentication, &keys, diagnostics);
    check_route_keys(&global.cache, &keys, diagnostics);
    check_route_keys(&global.http_handler, &keys, diagnostics);
    check_route_keys(&global.load_balancer, &keys, diagnostics);
    check_route_keys(&global.health, &keys, diagnostics);
    check_route_keys(&global.qos, &keys, diagnostics);
    check_route_keys(&global.retry, &keys, diagnostics);
    check_route_keys(&global.fallback, &keys, diagnostics);
    check_route_keys(&global.rate_limit, &keys, diagnostics);
    check_route_keys(&global.concurrency, &keys, diagnostics);
    check_route_keys(&global.cors, &keys, diagnostics);
    check_route_keys(&global.compression, &keys, diagnostics);
    check_route_keys(&global.request_size, &keys, diagnostics);
    address_lists(scope, &global.security, diagnostics);
}

/// A group that names a route nobody has is most likely a typing mistake.
fn check_route_keys<G: GlobalOptions>(
    options: &Setting<G>,
    keys: &HashSet<&str>,
    diagnostics: &mut Diagnostics,
) {
    let Some(options) = options else { return };
    for key in items(options.route_keys()).iter().filter(|key| !keys.contains(key.as_str())) {
        let said = diagnostics.warning(
            codes::UNKNOWN_ROUTE_KEY,
            key.span,
            format!("no route has the Key \"{}\"", key.value),
        );
        if let Some(meant) = suggest::closest_match(key, keys.iter().copied()) {
            add(said, format!("did you mean \"{meant}\"?"));
        }
    }
}

/// Every scheme that is named is there. If the old single key is set, only that one is looked at, as in Ocelot.
pub fn authentication(scope: &CheckContext, options: &AuthenticationOptions, diagnostics: &mut Diagnostics) {
    match non_blank(&options.authentication_provider_key) {
        Some(primary) => scheme(scope, primary, diagnostics),
        None => items(&options.authentication_provider_keys)
            .iter()
            .for_each(|name| scheme(scope, name, diagnostics)),
    }
}

fn scheme(scope: &CheckContext, name: &Spanned<String>, diagnostics: &mut Diagnostics) {
    if scope.schemes.contains(name.as_str()) {
        return;
    }
    let message = format!("there is no authentication scheme \"{}\"", name.value);
    let said = diagnostics.error(codes::UNKNOWN_AUTHENTICATION_SCHEME, name.span, message);
    if let Some(meant) = suggest::closest_match(name, scope.schemes.iter().copied()) {
        add(said, format!("did you mean \"{meant}\"?"));
    }
    let variable: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect();
    add(
        said,
        format!(
            "schemes stand at the top level, beside Routes:\n\
             \"AuthenticationSchemes\": {{\n  {}: {{\n    \"Type\": \"JwtBearer\",\n    \
             \"Issuer\": \"https://issuer.example\",\n    \"Audience\": \"api\",\n    \
             \"SigningKey\": \"${{{variable}_SIGNING_KEY}}\"\n  }}\n}}",
            quote_json(name)
        ),
    );
}

/// The rules of a route's own `RateLimitOptions`, before anything is inherited; `{}` is absent.
pub fn rate_limit(options: &BoxedSetting<RateLimitOptions>, diagnostics: &mut Diagnostics) {
    let Some(written) = options.as_ref().filter(|options| !options.is_empty()) else { return };
    if written.enable_rate_limiting.as_ref().is_some_and(|on| !on.value) {
        return;
    }
    if let Some(limit) = written.limit.as_ref().filter(|limit| limit.value <= 0) {
        let message = format!("RateLimitOptions.Limit is {}; it must be greater than zero", limit.value);
        add(
            diagnostics.error(codes::RATE_LIMIT_WITHOUT_CALLS, limit.span, message),
            "to switch the limit off, set \"EnableRateLimiting\": false".to_owned(),
        );
    }
    let several = !items(&written.limits).is_empty() && written.limit.is_none();
    match non_blank(&written.period) {
        None if several => {}
        None => {
            let place = written.period.as_ref().map_or(written.span, |period| period.span);
            let said =
                diagnostics.error(codes::RATE_LIMIT_WITHOUT_PERIOD, place, "RateLimitOptions has no Period");
            add(
                said,
                "a route that sets any of these options sets its own Period, such as \"1m\"".to_owned(),
            );
        }
        Some(period) if !has_period_prefix(period.trim()) => {
            let message = format!("RateLimitOptions.Period \"{}\" is not a period", period.value);
            let said = diagnostics.error(codes::BAD_PERIOD, period.span, message);
            add(said, "write a number and ms, s, m, h or d, such as \"1m\" for one minute".to_owned());
        }
        Some(_) => {}
    }
}

/// `^\d+(\.\d+)?(ms|s|m|h|d)`: like Ocelot, only the beginning is looked at.
fn has_period_prefix(text: &str) -> bool {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let whole = digits(text);
    let rest = &text[whole..];
    let rest = match rest.strip_prefix('.').map(|fraction| (digits(fraction), fraction)) {
        Some((length, fraction)) if length > 0 => &fraction[length..],
        _ => rest,
    };
    whole > 0 && rest.starts_with(['m', 's', 'h', 'd'])
}

/// The stages of the user's own that a route names, made with their settings; unknown names are told.
pub fn handlers(
    scope: &CheckContext,
    route: &RouteDocument,
    index: usize,
    diagnostics: &mut Diagnostics,
) -> Vec<CustomStage> {
    let Some((stages, root)) = scope.handlers else { return Vec::new() };
    let settings = root
        .get_ignore_case("Routes")
        .and_then(|routes| routes.items().get(index))
        .and_then(|route| route.get_ignore_case("HandlerSettings"));
    let names = items(&route.handlers);
    unused_settings(settings, names, diagnostics);
    let options = de::Options { ocelot: scope.ocelot };
    let make = |name: &Spanned<String>| {
        if !stages.contains(name) {
            unknown_handler(scope, stages, name, diagnostics);
            return None;
        }
        let settings = settings.and_then(|settings| settings.get_ignore_case(name));
        stages.build(name, &StageRequest { settings, stage_name: name.span, options }, diagnostics)
    };
    names.iter().filter_map(make).collect()
}

fn unknown_handler(
    scope: &CheckContext,
    stages: &StageRegistry,
    name: &Spanned<String>,
    diagnostics: &mut Diagnostics,
) {
    let known: Vec<&str> = stages.names().collect();
    let message = match known.is_empty() {
        true => {
            format!("there is no stage \"{}\": handlers written in C# are not part of the file", name.value)
        }
        false => format!("there is no stage \"{}\"; there are {}", name.value, known.join(", ")),
    };
    OcelotTolerated::new(codes::UNKNOWN_HANDLER, OcelotBehavior::Effect("the name is ignored"), message)
        .help("add a stage of that name in Rust (docs/custom-stages.md), or say what it did in settings of the route and leave the name out:\n\"DelegatingHandlers\": []")
        .report(diagnostics, scope.ocelot, name.span);
}

/// Settings of a stage that the route does not name would be ignored.
fn unused_settings(settings: Option<&Node>, names: &[Spanned<String>], diagnostics: &mut Diagnostics) {
    for member in settings.into_iter().flat_map(Node::members) {
        if !names.iter().any(|name| name.eq_ignore_ascii_case(&member.key)) {
            let message = format!("settings of \"{}\", which the route does not name", &*member.key.value);
            diagnostics
                .error(codes::BAD_HANDLER_SETTINGS, member.key.span, message)
                .help("name the stage in DelegatingHandlers, or leave its settings out");
        }
    }
}

/// Entries of address lists that are no addresses.
pub fn address_lists(
    scope: &CheckContext,
    security: &BoxedSetting<SecurityOptions>,
    diagnostics: &mut Diagnostics,
) {
    let Some(security) = security else { return };
    for entry in items(&security.allowed).iter().chain(items(&security.blocked)) {
        if IpRange::parse(entry).is_some() {
            continue;
        }
        let message = format!("\"{}\" is not an address, a range or a network", entry.value);
        OcelotTolerated::new(
            codes::BAD_ADDRESS_RANGE,
            OcelotBehavior::Effect("the entry is ignored"),
            message,
        )
        .help("write 10.0.0.1, 10.0.0.1-9, 10.0.0.1-10.0.1.9 or 10.0.0.0/8")
        .report(diagnostics, scope.ocelot, entry.span);
    }
}

/// Settings of the HTTP client that this gateway will not have.
pub fn check_http_handler(
    scope: &CheckContext,
    client: &crate::plan::inherit::ResolvedHttpHandler,
    diagnostics: &mut Diagnostics,
) {
    let rows = [
        (&client.follow_redirects, "AllowAutoRedirect", "follow redirects; the client gets them"),
        (&client.cookies, "UseCookieContainer", "keep cookies of services, which all clients would share"),
        (&client.proxy, "UseProxy", "use the proxy of the system"),
        (&client.tracing, "UseTracing", "send traces to Butterfly or OpenTracing"),
    ];
    for (set, name, what) in rows {
        let Some(set) = set else { continue };
        let message = format!("\"{name}\": true has no effect: this gateway does not {what}");
        let said =
            diagnostics.error_or_ocelot_warning(scope.ocelot, codes::NEVER_SUPPORTED, set.span, message);
        add(said, format!("leave it out, or write \"{name}\": false"));
    }
}

/// A route that leads to a cluster says nothing of what the cluster says.
pub fn check_cluster_conflicts(route: &RouteDocument, diagnostics: &mut Diagnostics) {
    let written = [
        ("DownstreamHostAndPorts", route.endpoints.as_ref().filter(|list| !list.is_empty()).map(|s| s.span)),
        ("ServiceName", non_blank(&route.service_name).map(|s| s.span)),
        ("DownstreamScheme", non_blank(&route.scheme).map(|s| s.span)),
        ("LoadBalancerOptions", route.load_balancer.as_ref().map(|s| s.span)),
        ("HealthCheckOptions", route.health.as_ref().map(|s| s.span)),
        ("HttpHandlerOptions", route.http_handler.as_ref().map(|s| s.span)),
        ("TlsOptions", route.tls.as_ref().map(|s| s.span)),
        (
            "DangerousAcceptAnyServerCertificateValidator",
            route.accept_any_certificate.as_ref().map(|s| s.span),
        ),
    ];
    for (setting, span) in written {
        let Some(span) = span else { continue };
        let message =
            format!("the route has a DownstreamCluster and {setting}, which is the cluster's to say");
        diagnostics
            .error(codes::CLUSTER_AND_OWN, span, message)
            .help(format!("write {setting} in the cluster, or leave DownstreamCluster out"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_begins_with_a_number_and_a_unit() {
        for text in ["1s", "10ms", "1.5h", "2d", "1month"] {
            assert!(has_period_prefix(text), "{text}");
        }
        for text in ["s", "bad", "1", "1 s", "-1s", "1.s", ".5s", "1x"] {
            assert!(!has_period_prefix(text), "{text}");
        }
    }
}
