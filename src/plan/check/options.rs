//! The rules of option objects: those that Ocelot checks before it starts, and those of former C# code.

use super::{CheckContext, OcelotBehavior, OcelotTolerated, items, non_blank};
use crate::config::{Diagnostics, Node, Spanned, codes, de};
use crate::plan::document::*;
use crate::plan::{clusters, stage_options};
use crate::stages::custom::{CustomStage, StageRegistry, StageRequest};
use std::collections::HashSet;

/// Checks `GlobalConfiguration`.
pub fn check_global(scope: &CheckContext, diagnostics: &mut Diagnostics) {
    let global = scope.global;
    let keys: HashSet<&str> =
        scope.routes().iter().filter_map(|route| route.key.as_ref()).map(|key| key.as_str()).collect();
    let dynamic = items(&scope.document.dynamic_routes).iter().filter_map(|route| route.key.as_ref());
    let keys: HashSet<&str> = dynamic.map(|key| key.as_str()).chain(keys).collect();
    clusters::check_global(global, &keys, diagnostics);
    stage_options::check_global(global, &keys, &scope.gateway, diagnostics);
}

/// The custom stages that a route names, built with their settings; unknown names are reported.
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
            format!("unknown stage \"{}\": handlers written in C# are not available", name.value)
        }
        false => format!("unknown stage \"{}\"; known stages: {}", name.value, known.join(", ")),
    };
    OcelotTolerated::new(codes::UNKNOWN_HANDLER, OcelotBehavior::Effect("the name is ignored"), message)
        .help("add a stage of that name in Rust (docs/custom-stages.md), or replace it with settings of the route and remove the name:\n\"DelegatingHandlers\": []")
        .report(diagnostics, scope.ocelot, name.span);
}

/// Settings of a stage that the route does not name would be ignored.
fn unused_settings(settings: Option<&Node>, names: &[Spanned<String>], diagnostics: &mut Diagnostics) {
    for member in settings.into_iter().flat_map(Node::members) {
        if !names.iter().any(|name| name.eq_ignore_ascii_case(&member.key)) {
            let message = format!("settings of \"{}\", which the route does not name", &*member.key.value);
            diagnostics
                .error(codes::BAD_HANDLER_SETTINGS, member.key.span, message)
                .help("name the stage in DelegatingHandlers, or remove its settings");
        }
    }
}

/// A route with `DownstreamCluster` must not set what belongs to the cluster. `scheme` is the scheme that it may repeat.
pub fn check_cluster_conflicts(route: &RouteDocument, scheme: Option<&str>, diagnostics: &mut Diagnostics) {
    let repeats = |set: &&Spanned<String>| scheme.is_some_and(|same| set.trim().eq_ignore_ascii_case(same));
    let mut settings = vec![
        ("DownstreamHostAndPorts", route.endpoints.as_ref().filter(|list| !list.is_empty()).map(|s| s.span)),
        ("ServiceName", non_blank(&route.service_name).map(|s| s.span)),
        ("DownstreamScheme", non_blank(&route.scheme).filter(|set| !repeats(set)).map(|s| s.span)),
    ];
    clusters::set_on_route(route, |setting, span| settings.push((setting, span)));
    let accept_any = route.accept_any_certificate.as_ref().map(|s| s.span);
    settings.push(("DangerousAcceptAnyServerCertificateValidator", accept_any));
    for (setting, span) in settings {
        let Some(span) = span else { continue };
        let message =
            format!("the route has a DownstreamCluster and {setting}, which belongs to the cluster");
        diagnostics
            .error(codes::CLUSTER_AND_OWN, span, message)
            .help(format!("move {setting} to the cluster, or remove DownstreamCluster"));
    }
}
