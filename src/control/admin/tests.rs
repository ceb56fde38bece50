use super::*;
use crate::{
    backend::health::tasks::ProbedCluster,
    config::{Environment, InMemoryFiles},
    control::gateway_handle::GatewayHandle,
    pipeline::problem,
    plan::{Plan, ProcessState, build, compile, document::load_texts},
    server::Gateway,
    telemetry::{AccessLog, Metrics},
};
use std::sync::Arc;
use tower::ServiceExt;

/// A cluster of two endpoints; the health check of the first one failed.
fn plan(state: &ProcessState) -> Plan {
    let text = r#"{ "Administration": { "AllowedHosts": ["admin.test"] }, "Routes": [{ "UpstreamPathTemplate": "/", "DownstreamPathTemplate": "/", "DownstreamCluster": "shop" }],
        "Clusters": { "shop": { "DownstreamScheme": "http",
            "Endpoints": [{ "Host": "127.0.0.1", "Port": 1 }, { "Host": "127.0.0.1", "Port": 2, "Weight": 3 }],
            "LoadBalancerOptions": { "Type": "LeastConnection" }, "HealthCheckOptions": { "Active": {} } } } }"#;
    let files = [("gateway.json", text)];
    let files = InMemoryFiles { files: &files, ..InMemoryFiles::default() };
    let mut loaded = load_texts(&files, Environment::of_process());
    let blueprint = compile(&mut loaded).expect("a valid document");
    let plan = build(&blueprint, "id".into(), state).expect("a plan");
    let cluster = &plan.clusters[0];
    ProbedCluster::record_probe(&**cluster, &cluster.members().endpoints[0], Err("no response".into()));
    plan
}

/// The pages of a gateway, as an HTTP service.
pub(super) struct Pages {
    gateway: Arc<Gateway>,
    router: Router,
}

/// Status, the headers `Content-Type` and `Allow`, and the body.
pub(super) type PageResponse = (u16, String, String, String);

impl Pages {
    pub(super) fn new(is_local: bool) -> Pages {
        let state = ProcessState::new(Metrics::new(1), 64);
        let plan = plan(&state);
        let log = AccessLog::new(1, 0, Arc::default(), std::io::sink()).unwrap();
        let (gateway, handle) = (Gateway::new(plan, state, log), GatewayHandle::default());
        handle.set(&gateway);
        Pages { gateway, router: router(AdminContext { gateway: handle, is_local }) }
    }

    pub(super) fn request(&self, method: &str, target: &str, fields: &[(&str, &str)]) -> PageResponse {
        let mut request = http::Request::builder().method(method).uri(target);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let request = request.body(axum::body::Body::empty()).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let response = self.router.clone().oneshot(request).await.unwrap();
            let field = |name| {
                let value = response.headers().get(name).map(|value| value.to_str().unwrap());
                value.unwrap_or_default().to_owned()
            };
            let (kind, allow, status) = (field("content-type"), field("allow"), response.status().as_u16());
            let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
            (status, kind, allow, String::from_utf8(body.to_vec()).unwrap())
        })
    }

    fn get(&self, target: &str) -> PageResponse {
        self.request("GET", target, &[])
    }
}

#[test]
fn exactly_the_listed_pages_exist() {
    for is_local in [true, false] {
        let pages = Pages::new(is_local);
        let is_listed = |page: &str| endpoint_list(is_local).split([',', ' ']).any(|listed| listed == page);
        for page in endpoint_list(true).split([',', ' ']).filter(|page| page.starts_with('/')) {
            let (status, _, _, body) = pages.get(page);
            assert_eq!(status == 404, !is_listed(page), "{page}: {body}");
        }
    }
}

#[test]
fn a_live_process_is_ready_until_it_drains() {
    let pages = Pages::new(true);
    assert_eq!((pages.get("/live").0, pages.get("/ready?verbose").0), (200, 200));
    pages.gateway.drain.begin();
    assert_eq!((pages.get("/live").0, pages.get("/ready").0), (200, 503));
}

#[test]
fn metrics_are_prometheus_text() {
    let (_, kind, _, body) = Pages::new(true).get("/metrics");
    assert_eq!(kind, METRICS);
    assert!(body.contains("# TYPE margay_config_reloads_total counter"));
}

#[test]
fn clusters_show_the_state_of_their_endpoints() {
    let (_, kind, _, body) = Pages::new(true).get("/clusters");
    assert_eq!(kind, "application/json");
    let clusters: serde_json::Value = serde_json::from_str(&body).unwrap();
    let shop = &clusters["clusters"][0];
    assert_eq!((&shop["cluster"], &shop["balancer"]), (&"shop".into(), &"LeastConnection".into()));
    let first = serde_json::json!({ "endpoint": "127.0.0.1:1", "weight": 1, "health": "unhealthy", "eligible": false,
        "reason": "no response", "in_flight": 0 });
    assert_eq!(shop["endpoints"][0], first);
    let second = &shop["endpoints"][1];
    assert_eq!((&second["health"], &second["weight"]), (&"unknown".into(), &3.into()));
}

#[test]
fn a_web_page_cannot_read_a_local_address_by_a_name_of_its_own() {
    let pages = Pages::new(true);
    let status = |host: &str| pages.request("GET", "/clusters", &[("Host", host)]).0;
    for host in ["localhost:8081", "LOCALHOST", "127.0.0.1:8081", "127.9.9.9", "[::1]:8081", "admin.test:1"] {
        assert_eq!(status(host), 200, "{host}");
    }
    for host in ["evil.example", "evil.example:8081", "localhost.evil.example", "192.0.2.1:8081", ""] {
        assert_eq!(status(host), 403, "{host}");
    }
    assert!(pages.get("/metrics").3.contains("admin.host"));
    let pages = Pages::new(true);
    for page in ["/live", "/ready", "/metrics"] {
        assert_eq!(pages.request("GET", page, &[("Host", "gw.monitoring.svc")]).0, 200, "{page}");
    }
}

#[test]
fn an_unknown_path_is_a_404_problem_for_every_method() {
    let pages = Pages::new(false);
    for target in ["/", "/metrics/", "/LIVE", "*", "/cache", "/cache/purge?all"] {
        let (status, kind, _, body) = pages.request("POST", target, &[]);
        assert_eq!((status, kind.as_str()), (404, problem::MEDIA_TYPE), "{target}");
        assert!(serde_json::from_str::<serde_json::Value>(&body).is_ok());
    }
}

#[test]
fn a_non_local_address_does_not_expose_internals() {
    let pages = Pages::new(false);
    for target in ["/clusters", "/cache", "/cache?all"] {
        assert_eq!(pages.get(target).0, 404, "{target}");
    }
    for target in ["/live", "/ready", "/metrics"] {
        assert_eq!(pages.get(target).0, 200, "{target}");
    }
}

#[test]
fn other_methods_receive_405_with_the_allowed_ones() {
    let (status, _, allow, _) = Pages::new(true).request("POST", "/live", &[]);
    assert_eq!((status, allow.as_str()), (405, "GET, HEAD"));
}

#[test]
fn head_has_no_body() {
    let (status, _, _, body) = Pages::new(true).request("HEAD", "/metrics", &[]);
    assert_eq!((status, body.as_str()), (200, ""));
}
