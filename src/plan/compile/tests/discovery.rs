//! Service discovery: how providers are compiled, and their diagnostics.

use super::{always, document, reported, route, valid};
use crate::backend::discovery::{ProviderSettings, file::FileSettings};
use crate::plan::blueprint::Blueprint;

/// The blueprint of a valid document.
fn compiled(text: &str) -> Blueprint {
    valid(text, false)
}

fn with(settings: &str, provider: &str) -> String {
    let route = route(settings).replace("\"DownstreamHostAndPorts\"", "\"x-addresses\"");
    document(&route, &format!("{{ \"ServiceDiscoveryProvider\": {provider} }}"))
}

#[test]
fn a_service_name_requires_a_registry_and_excludes_addresses() {
    always(r#""ServiceName": "s", "DownstreamHostAndPorts": []"#, r#"MG0702 "s""#);
    let valid = with(r#""ServiceName": "s""#, r#"{ "Type": "pollconsul", "Port": 8500 }"#);
    assert_eq!(reported(&valid, false), [] as [&str; 0]);
    let both =
        document(&route(r#""ServiceName": "s""#), r#"{ "ServiceDiscoveryProvider": { "Type": "Consul" } }"#);
    assert!(reported(&both, false)[0].starts_with("MG0706"), "{:?}", reported(&both, false));
    assert!(reported(&both, true)[0].starts_with("(MG0706)"), "{:?}", reported(&both, true));
}

#[test]
fn all_errors_of_a_provider_are_reported_together() {
    let text = with(
        r#""ServiceName": "a b""#,
        r#"{ "Type": "Kube", "Scheme": "ftp", "Host": "a/b", "Port": 70000, "PollingInterval": 5, "Tags": ["x"] }"#,
    );
    let reported = reported(&text, false);
    for code in ["MG0703", "MG0704 \"ftp\"", "MG0704 \"a/b\"", "MG0704 70000", "MG0704 5", "MG0709 \"a b\""] {
        assert!(reported.iter().any(|one| one.starts_with(code)), "{code}: {reported:?}");
    }
}

#[test]
fn an_unknown_type_suggests_the_closest_one() {
    let text = with(r#""ServiceName": "s""#, r#"{ "Type": "Konsul" }"#);
    assert_eq!(reported(&text, true), [r#"MG0701 "Konsul""#]);
}

#[test]
fn the_settings_of_a_registry_are_resolved() {
    let blueprint = compiled(&with(
        r#""ServiceName": "s", "ServiceNamespace": "n", "DownstreamScheme": "HTTP""#,
        r#"{ "Type": "CONSUL", "Host": "10.0.0.1", "Token": "t", "PollingInterval": 250, "Datacenter": "dc", "Tags": ["a"],
            "ServiceMetadata": { "k": "v" }, "UseNodeName": true, "Stale": true, "Scheme": "https" }"#,
    ));
    let found = blueprint.routes[0].cluster.discovery.as_ref().unwrap();
    let ProviderSettings::Consul(consul) = &*found.registry else { panic!("{:?}", found.registry) };
    assert_eq!(
        (consul.kind_name(), consul.server.tls, consul.interval.unwrap().as_millis()),
        ("Consul", true, 250)
    );
    assert_eq!(consul.metadata, [("k".to_owned(), "v".to_owned())]);
    assert!(consul.node_name && consul.allow_stale && !consul.ocelot);
    assert_eq!((&*found.service.name, &*found.service.namespace, &*found.service.scheme), ("s", "n", "http"));
}

#[test]
fn a_cluster_may_have_its_own_registry() {
    let text = r#"{ "Routes": [{ "UpstreamPathTemplate": "/", "DownstreamPathTemplate": "/", "DownstreamCluster": "c" }],
        "Clusters": { "c": { "ServiceName": "s", "Discovery": { "Type": "File", "File": "f.json" } } } }"#;
    let blueprint = compiled(text);
    let found = blueprint.routes[0].cluster.discovery.as_ref().unwrap();
    let expected = FileSettings { path: "f.json".into(), interval: None };
    assert_eq!(*found.registry, ProviderSettings::File(expected));
    let without = text.replace("\"ServiceName\": \"s\", ", "");
    let reported = reported(&without, false);
    assert!(reported.iter().any(|one| one.starts_with("MG0702")), "{reported:?}");
}

#[test]
fn dynamic_routing_is_on_without_routes_and_its_options_are_checked() {
    const PROVIDER: &str = r#""GlobalConfiguration": { "DownstreamScheme": "https", "RequestIdKey": "Id",
        "ServiceDiscoveryProvider": { "Type": "Consul", "Port": 8500 } }"#;
    let dynamic = |entries: &str| format!("{{ \"DynamicRoutes\": [{entries}], {PROVIDER} }}");
    let blueprint = compiled(&dynamic(
        r#"{ "ServiceName": "a", "Timeout": 3 }, { "ServiceName": "a", "ServiceNamespace": "n" }"#,
    ));
    let read = blueprint.dynamic.as_ref().unwrap();
    assert_eq!(read.of("", "a").unwrap().route.timeout.value.as_secs(), 3);
    assert_eq!(read.of("n", "a").unwrap().namespace, "n");
    assert!(read.of("m", "a").is_none() && read.defaults.stages.request_id.is_some());
    assert_eq!(format!("{:?}", read.defaults.cluster.scheme), "Https");
    let duplicates = dynamic(r#"{ "ServiceName": "a" }, { "ServiceName": "a" }, {}"#);
    assert_eq!(reported(&duplicates, false).iter().filter(|one| one.starts_with("MG0708")).count(), 2);
    let with_addresses = format!(
        "{{ \"Routes\": [{}], \"DynamicRoutes\": [{{ \"ServiceName\": \"a\" }}], {PROVIDER} }}",
        route("")
    );
    assert!(
        reported(&with_addresses, false)[0].starts_with("MG0707")
            && reported(&with_addresses, true)[0].starts_with("(MG0707)")
    );
    let loaded =
        compiled(&dynamic("").replace("\"RequestIdKey\"", "\"Compatibility\": \"Ocelot\", \"RequestIdKey\""));
    assert!(loaded.dynamic.unwrap().defaults.stages.request_id.is_none(), "Ocelot has none there");
}

#[test]
fn service_fabric_has_the_service_name_in_the_path() {
    let provider = r#"{ "Type": "ServiceFabric" }"#;
    let blueprint = compiled(&with(r#""ServiceName": "/App/Service""#, provider));
    let route = &blueprint.routes[0];
    assert_eq!(route.service_fabric_path.as_ref().unwrap().value, "App/Service");
    assert_eq!((route.cluster.endpoints[0].port, route.cluster.discovery.is_none()), (Some(19081), true));
    for (name, code) in
        [("a//b", "MG0709"), ("a/../b", "MG0709"), ("a?b", "MG0709"), ("a{unknown}", "MG0307")]
    {
        let reported = reported(&with(&format!("\"ServiceName\": \"{name}\""), provider), false);
        assert!(reported.iter().any(|one| one.starts_with(code)), "{name}: {reported:?}");
    }
}

#[test]
fn a_configuration_store_is_a_consul_with_an_address() {
    let store = |name: &str, provider: &str| {
        format!("{{ \"ConfigurationStore\": \"{name}\", \"GlobalConfiguration\": {{ {provider} }} }}")
    };
    let consul = r#""ServiceDiscoveryProvider": { "Port": 8500, "ConfigurationKey": "/a/b/" }"#;
    let blueprint = compiled(&store("consul", consul));
    assert_eq!(blueprint.store.as_ref().unwrap().key, "a/b");
    assert_eq!(reported(&store("etcd", consul), false), [r#"MG0710 "etcd""#]);
    assert_eq!(reported(&store("Consul", ""), false), [r#"MG0702 "Consul""#]);
    let kube = r#""ServiceDiscoveryProvider": { "Type": "Kube" }"#;
    assert_eq!(reported(&store("Consul", kube), false), [r#"MG0702 "Consul""#]);
    let alone = store("", consul);
    assert!(
        reported(&alone, false)[0].starts_with("MG0703") && reported(&alone, true)[0].starts_with("(MG0703)")
    );
}

#[test]
fn settings_of_another_provider_type_are_refused() {
    let reported = |provider: &str, ocelot| reported(&with(r#""ServiceName": "s""#, provider), ocelot);
    let file = r#"{ "Type": "File", "File": "a.json", "Host": "h", "Port": 1, "Path": "/x" }"#;
    assert_eq!(reported(file, false), [r#"MG0703 "h""#, "MG0703 1", r#"MG0703 "/x""#]);
    assert_eq!(reported(file, true), [r#"(MG0703) "h""#, "(MG0703) 1", r#"MG0703 "/x""#]);
    assert_eq!(
        reported(r#"{ "Type": "DnsSrv", "Namespace": "b.example", "Port": 0 }"#, false),
        [] as [&str; 0]
    );
    assert_eq!(reported(r#"{ "Type": "Eureka", "Path": "x" }"#, false), [r#"MG0704 "x""#]);
    assert!(reported(r#"{ "Type": "File" }"#, false)[0].starts_with("MG0704 {"));
}

#[test]
fn trust_anchors_of_a_registry_are_read_and_require_tls() {
    let folder = tempfile::tempdir().unwrap();
    let own = rcgen::generate_simple_self_signed(["consul".to_owned()]).unwrap();
    let path = folder.path().join("ca.pem");
    std::fs::write(&path, own.cert.pem()).unwrap();
    let provider = |scheme: &str, path: &str| {
        with(
            r#""ServiceName": "s""#,
            &format!(r#"{{ "Type": "Consul", "Scheme": "{scheme}", "CaFile": "{path}" }}"#),
        )
    };
    let path = path.to_str().unwrap();
    let blueprint = compiled(&provider("https", path));
    let registry = &blueprint.routes[0].cluster.discovery.as_ref().unwrap().registry;
    let ProviderSettings::Consul(consul) = &**registry else { panic!("{registry:?}") };
    assert_eq!(
        consul.server.trust,
        crate::net::tls::trust::TrustAnchors::Custom(own.cert.pem().into_bytes().into())
    );
    assert_eq!(reported(&provider("http", path), false), [format!("MG0703 \"{path}\"")]);
    assert_eq!(reported(&provider("https", "/nowhere"), false), [r#"MG0704 "/nowhere""#]);
}

#[test]
fn a_kubernetes_provider_without_a_host_uses_the_cluster_of_the_pod() {
    let in_pod = |provider: &str| {
        let blueprint = compiled(&with(r#""ServiceName": "s""#, provider));
        let registry = &blueprint.routes[0].cluster.discovery.as_ref().unwrap().registry;
        matches!(&**registry, ProviderSettings::Kubernetes(settings) if settings.use_service_account)
    };
    assert!(in_pod(r#"{ "Type": "Kube", "Namespace": "a" }"#));
    assert!(!in_pod(r#"{ "Type": "WatchKube", "Host": "k", "Scheme": "https", "Token": "t" }"#));
}
