use super::*;
use crate::{
    backend::health::tasks::ProbedCluster,
    config::{Environment, InMemoryFiles},
    control::gateway_handle::GatewayHandle,
    pipeline::{client_certificate::ClientCertificate, problem},
    plan::{Plan, ProcessState, build, compile, document::load_texts},
    server::Gateway,
    telemetry::Metrics,
};
use bytes::Bytes;
use serde_json::{Value, json};
use std::sync::Arc;
use tower::ServiceExt;

mod matrix;

/// A cluster of two endpoints; the health check of the first one failed.
fn plan(state: &ProcessState, administration: &Value) -> Plan {
    let text = json!({
        "Administration": administration,
        "Routes": [{ "UpstreamPathTemplate": "/", "DownstreamPathTemplate": "/", "DownstreamCluster": "shop" }],
        "Clusters": { "shop": {
            "DownstreamScheme": "http",
            "Endpoints": [{ "Host": "127.0.0.1", "Port": 1 }, { "Host": "127.0.0.1", "Port": 2, "Weight": 3 }],
            "LoadBalancerOptions": { "Type": "LeastConnection" },
            "HealthCheckOptions": { "Active": {} },
        } },
    });
    let (text, environment) = (text.to_string(), Environment::of_process());
    let files = [("gateway.json", text.as_str())];
    let mut loaded = load_texts(&InMemoryFiles { files: &files, ..InMemoryFiles::default() }, environment);
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
    certificate: Option<Arc<ClientCertificate>>,
}

/// Status, the headers `Content-Type` and `Allow`, and the body.
pub(super) type PageResponse = (u16, String, String, String);

impl Pages {
    pub(super) fn new(access: Access, administration: &Value) -> Pages {
        let state = ProcessState::new(Metrics::new(1), 64);
        let plan = plan(&state, administration);
        let (gateway, handle) = (Gateway::new(plan, state), GatewayHandle::default());
        handle.set(&gateway);
        let context = AdminContext { gateway: handle, access, shared: AdminState::new(Arc::default()) };
        Pages { gateway, router: router(context), certificate: None }
    }

    /// The pages of a local address without credentials.
    pub(super) fn local() -> Pages {
        Pages::new(Access::Local, &json!({ "AllowedHosts": ["admin.test"] }))
    }

    pub(super) fn request(&self, method: &str, target: &str, fields: &[(&str, &str)]) -> PageResponse {
        self.request_with_body(method, target, fields, Vec::new())
    }

    fn request_with_body(
        &self,
        method: &str,
        target: &str,
        fields: &[(&str, &str)],
        body: Vec<u8>,
    ) -> PageResponse {
        let mut request = http::Request::builder().method(method).uri(target);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let mut request = request.body(axum::body::Body::from(body)).unwrap();
        request.extensions_mut().extend(self.certificate.iter().fold(
            http::Extensions::new(),
            |mut all, one| {
                all.insert(one.clone());
                all
            },
        ));
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let response = self.router.clone().oneshot(request).await.unwrap();
            let field = |name| {
                let value = response.headers().get(name).map(|value| value.to_str().unwrap());
                value.unwrap_or_default().to_owned()
            };
            let (kind, allow, status) = (field("content-type"), field("allow"), response.status().as_u16());
            // A stream of events does not end.
            let body = match kind.as_str() {
                "text/event-stream" => Bytes::new(),
                _ => axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap(),
            };
            (status, kind, allow, String::from_utf8(body.to_vec()).unwrap())
        })
    }

    fn get(&self, target: &str) -> PageResponse {
        self.request("GET", target, &[])
    }
}

#[test]
fn a_live_process_is_ready_until_it_drains() {
    let pages = Pages::local();
    assert_eq!((pages.get("/live").0, pages.get("/ready?verbose").0), (200, 200));
    pages.gateway.drain.begin();
    assert_eq!((pages.get("/live").0, pages.get("/ready").0), (200, 503));
}

#[test]
fn metrics_are_prometheus_text() {
    let (_, kind, _, body) = Pages::local().get("/metrics");
    assert_eq!(kind, health::METRICS);
    assert!(body.contains("# TYPE margay_config_reloads_total counter"));
}

#[test]
fn clusters_show_the_state_of_their_endpoints() {
    let (_, kind, _, body) = Pages::local().get("/clusters");
    assert_eq!(kind, "application/json");
    let clusters: Value = serde_json::from_str(&body).unwrap();
    let shop = &clusters["clusters"][0];
    assert_eq!((&shop["cluster"], &shop["balancer"]), (&"shop".into(), &"LeastConnection".into()));
    let first = json!({ "endpoint": "127.0.0.1:1", "weight": 1, "health": "unhealthy", "eligible": false,
        "reason": "no response", "in_flight": 0 });
    assert_eq!(shop["endpoints"][0], first);
    let second = &shop["endpoints"][1];
    assert_eq!((&second["health"], &second["weight"]), (&"unknown".into(), &3.into()));
    assert_eq!(Pages::local().get("/v1/clusters").3, body);
}

#[test]
fn the_status_shows_the_configuration_and_the_process() {
    let pages = Pages::local();
    pages.gateway.metrics().accepted(0);
    let status: Value = serde_json::from_str(&pages.get("/v1/status").3).unwrap();
    assert_eq!((&status["state"], &status["workers"]), (&json!("ready"), &json!(1)));
    assert_eq!((&status["config"]["id"], &status["config"]["routes"]), (&json!("id"), &json!(1)));
    assert_eq!(status["connections"], json!({ "open": 1, "accepted_total": 1, "max": 64 }));
    assert_eq!(status["listeners"][0]["address"], "127.0.0.1:8080");
}

#[test]
fn a_web_page_cannot_read_a_local_address_by_a_name_of_its_own() {
    let pages = Pages::local();
    let status = |host: &str| pages.request("GET", "/clusters", &[("Host", host)]).0;
    for host in ["localhost:8081", "LOCALHOST", "127.0.0.1:8081", "127.9.9.9", "[::1]:8081", "admin.test:1"] {
        assert_eq!(status(host), 200, "{host}");
    }
    for host in ["evil.example", "evil.example:8081", "localhost.evil.example", "192.0.2.1:8081", ""] {
        assert_eq!(status(host), 403, "{host}");
    }
    assert!(pages.get("/metrics").3.contains("admin.host"));
    let pages = Pages::local();
    for page in ["/live", "/ready", "/metrics"] {
        assert_eq!(pages.request("GET", page, &[("Host", "gw.monitoring.svc")]).0, 200, "{page}");
    }
}

#[test]
fn an_unknown_path_is_a_404_problem_for_every_method() {
    let pages = Pages::new(Access::Health, &json!({}));
    for target in
        ["/", "/metrics/", "/LIVE", "*", "/cache", "/cache/purge?all", "/openapi.json", "/v1/status"]
    {
        let (status, kind, _, body) = pages.request("POST", target, &[]);
        assert_eq!((status, kind.as_str()), (404, problem::MEDIA_TYPE), "{target}");
        assert!(serde_json::from_str::<Value>(&body).is_ok());
    }
}

#[test]
fn an_address_for_probes_has_the_health_pages_alone_and_needs_no_credentials() {
    let token = json!({ "Name": "a", "Hash": format!("sha256:{}", "0".repeat(64)) });
    let pages = Pages::new(Access::Health, &json!({ "Tokens": [token] }));
    for target in ["/clusters", "/cache", "/cache?all", "/v1/status", "/openapi.json"] {
        assert_eq!(pages.get(target).0, 404, "{target}");
    }
    for target in ["/live", "/ready", "/metrics"] {
        assert_eq!(pages.request("GET", target, &[("Host", "10.0.0.9:8082")]).0, 200, "{target}");
    }
}

#[test]
fn other_methods_receive_405_with_the_allowed_ones() {
    let pages = Pages::local();
    let (status, kind, allow, body) = pages.request("POST", "/live", &[("Host", "localhost")]);
    assert_eq!((status, allow.as_str(), kind.as_str()), (405, "GET,HEAD", problem::MEDIA_TYPE), "{body}");
    assert!(pages.get("/metrics").3.contains("margay_errors_total{code=\"admin.method\"} 1"));
}

#[test]
fn head_has_no_body() {
    let (status, _, _, body) = Pages::local().request("HEAD", "/metrics", &[]);
    assert_eq!((status, body.as_str()), (200, ""));
}

#[test]
fn a_body_over_the_limit_is_rejected() {
    let pages = Pages::local();
    let body = vec![b' '; MAX_BODY_BYTES + 1];
    let fields = [("Host", "localhost"), ("Content-Type", "application/json")];
    let (status, _, _, text) = pages.request_with_body("POST", "/v1/explain", &fields, body);
    assert_eq!(status, 413, "{text}");
    assert!(text.contains("admin.size"), "{text}");
}
