//! The keys under which the state of a route outlives plans.

use crate::config::Spanned;
use crate::config::values::{items, non_blank};
use crate::plan::blueprint::Match;
use crate::plan::check::unsupported::EffectiveOptions;
use crate::plan::document::{HostAndPort, RouteDocument};
use std::fmt::Write;

/// The key of the state of a named cluster.
pub fn cluster_key(name: &str) -> String {
    format!("cluster {name}")
}

/// Ocelot's LoadBalancerKey: methods, template, host, addresses, namespace, service, balancer and its key.
pub fn state_key(route: &RouteDocument, effective: &EffectiveOptions) -> String {
    fn or_inherit<'t>(set: Option<&'t Spanned<String>>, none: &'t str) -> &'t str {
        set.map_or(none, |text| text.as_str())
    }
    let mut key = String::with_capacity(160);
    for (at, method) in items(&route.methods).iter().enumerate() {
        key.push_str(if at == 0 { "" } else { "," });
        key.push_str(method);
    }
    for part in
        [or_inherit(route.client_path.as_ref(), ""), or_inherit(non_blank(&route.host), "no-host"), ""]
    {
        key.push('|');
        key.push_str(part);
    }
    if let Some(fabric) = &route.fabric {
        let resolver = or_inherit(non_blank(&fabric.resolver), "");
        let _ = write!(key, "fabric {resolver} {}", or_inherit(non_blank(&fabric.service_name), ""));
    }
    match (non_blank(&route.service), non_blank(&route.cluster)) {
        (Some(service), _) => {
            let _ = write!(key, "service {}", service.value);
        }
        (None, Some(name)) => key.push_str(&cluster_key(name)),
        (None, None) => addresses(items(&route.endpoints), &mut key),
    }
    let balancing = effective.clusters.load_balancer.as_ref();
    for part in [
        or_inherit(non_blank(&route.service_namespace), "no-svc-ns"),
        or_inherit(non_blank(&route.service_name), "no-svc-name"),
        or_inherit(balancing.and_then(|balancing| non_blank(&balancing.kind)), "NoLoadBalancer"),
        or_inherit(balancing.and_then(|balancing| non_blank(&balancing.key)), "no-lb-key"),
    ] {
        key.push('|');
        key.push_str(part);
    }
    key
}

fn addresses(entries: &[Spanned<HostAndPort>], key: &mut String) {
    if entries.is_empty() {
        key.push_str("no-host-and-port");
    }
    for (at, entry) in entries.iter().enumerate() {
        let host = entry.host.as_ref().map_or("", |host| host.as_str());
        let port = entry.port.as_ref().map_or(0, |port| port.value);
        let _ = write!(key, "{}{host}:{port}", if at == 0 { "" } else { "," });
    }
}

/// The key of the route's cached responses: changing it starts with an empty cache, changing the endpoints does not.
pub fn request_identity(matcher: &Match, backend_path: &str, backend_method: Option<&str>) -> String {
    let Match { client_path, case_sensitive, methods, host, header_templates, listeners, .. } = matcher;
    let requests = (&client_path.value, case_sensitive, methods, host, header_templates, listeners);
    format!("{requests:?} {:?}", (backend_path, backend_method))
}
