//! A gateway that serves internal services only, each on a listener with its name: the administration address, and the
//! sample services of `margay demo`. It is the ordinary gateway with a generated configuration, its own plan and its
//! own counters, and runs on its own worker, so that it and the traffic cannot starve each other.

use super::Gateway;
use crate::{
    config::{Environment, InMemoryFiles},
    pipeline::internal::ServiceRegistry,
    plan::{ProcessState, build, compile_with_stages, document::load_texts},
    stages::custom::StageRegistry,
    telemetry::Metrics,
};
use serde_json::{Value, json};
use std::sync::Arc;

/// Builds the gateway; beyond `max_connections`, clients receive 503. The error is a sentence for the operator.
pub fn internal_gateway(services: ServiceRegistry, max_connections: usize) -> Result<Arc<Gateway>, String> {
    let document = document(&services.names()).to_string();
    let files = [("gateway.json", document.as_str())];
    let files = InMemoryFiles { files: &files, ..InMemoryFiles::default() };
    let mut loaded = load_texts(&files, Environment::of_process());
    let blueprint = compile_with_stages(&mut loaded, &StageRegistry::default(), &services.names());
    let blueprint = blueprint.ok_or_else(|| {
        let first = loaded.diagnostics.list.first().map_or("unknown error", |first| first.message.as_str());
        format!("the internal services have no valid configuration: {first}")
    })?;
    let state = ProcessState::new(Metrics::new(1), max_connections).with_services(services);
    let plan = build(&blueprint, "internal".to_owned(), &state)?;
    Ok(Gateway::new(plan, state))
}

/// One route per service. The addresses are placeholders: the caller binds the sockets.
fn document(names: &[&str]) -> Value {
    let listeners = names
        .iter()
        .zip(1..)
        .map(|(name, port)| json!({ "Name": name, "Address": format!("127.0.0.1:{port}") }));
    let routes = names.iter().map(|name| {
        json!({
            "UpstreamPathTemplate": "/{everything}", "DownstreamPathTemplate": "/{everything}",
            "Listeners": [name], "DownstreamService": name,
        })
    });
    json!({
        "TraceContext": "Off",
        "ForwardedHeaders": { "AddToRequest": false, "AllowFromClients": ["*"] },
        "Listeners": listeners.collect::<Value>(),
        "Routes": routes.collect::<Value>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::internal::InternalService;
    use axum::Router;

    #[test]
    fn each_service_has_a_route_on_the_listener_of_its_name() {
        let mut services = ServiceRegistry::default();
        services.add(InternalService::new("a", Router::new()));
        services.add(InternalService::new("b", Router::new()));
        let gateway = internal_gateway(services, 7).unwrap();
        let plan = gateway.plan.load();
        assert_eq!((plan.routes.len(), plan.limits.connections), (2, Some(7)));
        assert!(plan.uses_listener_names);
    }
}
