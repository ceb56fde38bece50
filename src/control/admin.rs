//! The administration address: is it alive, is it ready, what are the numbers. A function from request to answer. What
//! tells of the insides, or changes anything (`desk`), is there on an address of this machine only, for nobody is asked who
//! they are.

use super::desk;
use crate::pipeline::{head::Head, response::Response};
use crate::plan::Plan;
use crate::stages::cache::CacheRegistry;
use crate::telemetry::Metrics;
use std::time::Instant;

pub(super) const TEXT: &str = "text/plain; charset=utf-8";
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";
const PROBLEM: &str = "application/problem+json";

/// What the address speaks of.
pub struct AdminContext<'d> {
    pub draining: bool,
    pub metrics: &'d Metrics,
    /// What only an address of this machine speaks of.
    pub is_local: Option<(&'d Plan, &'d CacheRegistry)>,
}

/// Answers one request. The address is served as soon as a plan is, so the process is ready unless it drains.
pub fn handle(request: &Head, of: &AdminContext) -> Response {
    let mut parts = request.target().splitn(2, |b| *b == b'?');
    let (path, query) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    if let Some(answer) = of.is_local.and_then(|(_, cache)| desk::handle(request, path, query, cache)) {
        return answer;
    }
    let kind: fn(&AdminContext) -> Option<Response> = match path {
        b"/live" => |_| Some(Response::local(200, TEXT, "live\n")),
        b"/ready" => |of| Some(ready(of.draining)),
        b"/metrics" => |of| Some(Response::local(200, METRICS, of.metrics.render())),
        b"/clusters" => |of| of.is_local.map(|(plan, _)| clusters(plan)),
        _ => return not_found(of),
    };
    if !matches!(request.method(), b"GET" | b"HEAD") {
        let mut refused = problem(405, "admin.method", "Method Not Allowed", "this can only be read");
        refused.head.append(b"Allow", b"GET, HEAD");
        return refused;
    }
    kind(of).unwrap_or_else(|| not_found(of))
}

/// What an address has to show; one of this machine has more.
pub fn endpoint_list(inside: bool) -> &'static str {
    match inside {
        true => "/live, /ready, /metrics, /clusters, /cache and /cache/purge",
        false => "/live, /ready and /metrics",
    }
}

/// What is here, in words.
fn not_found(of: &AdminContext) -> Response {
    let inside = of.is_local.is_some();
    let more = if inside { "" } else { "; an address of this machine tells more" };
    problem(404, "admin.none", "Not Found", &format!("here are {}{more}", endpoint_list(inside)))
}

/// The clusters that the plan leads to, with what is known of their endpoints.
fn clusters(plan: &Plan) -> Response {
    let now = Instant::now();
    let all: Vec<_> = plan.all_clusters().map(|cluster| cluster.status_json(now)).collect();
    Response::local(200, "application/json", format!("{}\n", serde_json::json!({ "clusters": all })))
}

fn ready(draining: bool) -> Response {
    match draining {
        false => Response::local(200, TEXT, "ready\n"),
        true => problem(503, "admin.draining", "Service Unavailable", "shutting down"),
    }
}

/// RFC 9457.
pub(super) fn problem(status: u16, why: &str, title: &str, detail: &str) -> Response {
    let body = serde_json::json!({
        "type": format!("urn:margay:problem:{why}"), "title": title, "status": status, "detail": detail, "code": why,
    });
    Response::local(status, PROBLEM, format!("{body}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::health::tasks::ProbedCluster;
    use crate::{
        config::{Environment, InMemoryFiles},
        pipeline::body::Body,
        plan::{ProcessState, build, compile, document::load_texts},
    };

    /// Two addresses in a cluster, one of them probed in vain.
    fn plan() -> Plan {
        let text = r#"{ "Routes": [{ "UpstreamPathTemplate": "/", "DownstreamPathTemplate": "/", "DownstreamCluster": "shop" }],
            "Clusters": { "shop": { "DownstreamScheme": "http",
                "Endpoints": [{ "Host": "127.0.0.1", "Port": 1 }, { "Host": "127.0.0.1", "Port": 2, "Weight": 3 }],
                "LoadBalancerOptions": { "Type": "LeastConnection" }, "HealthCheckOptions": { "Active": {} } } } }"#;
        let files = [("gateway.json", text)];
        let mut loaded = load_texts(
            &InMemoryFiles { files: &files, ..InMemoryFiles::default() },
            Environment::of_process(),
        );
        let blueprint = compile(&mut loaded).expect("sound");
        let plan = build(&blueprint, "id".into(), &ProcessState::new(Metrics::new(1), 64)).expect("a plan");
        let cluster = &plan.clusters[0];
        ProbedCluster::record_probe(&**cluster, &cluster.members().endpoints[0], Err("no answer".into()));
        plan
    }

    fn ask(method: &[u8], target: &[u8], draining: bool) -> (Response, String) {
        ask_at(method, target, draining, true)
    }

    fn ask_at(method: &[u8], target: &[u8], draining: bool, inside: bool) -> (Response, String) {
        let request = Head::request(method, target);
        let (metrics, plan, kept) = (Metrics::new(1), plan(), CacheRegistry::default());
        let of = AdminContext { draining, metrics: &metrics, is_local: inside.then_some((&plan, &kept)) };
        let answer = handle(&request, &of);
        let Body::Bytes(body) = &answer.body else { panic!("a body") };
        let body = String::from_utf8(body.to_vec()).unwrap();
        (answer, body)
    }

    #[test]
    fn every_page_that_is_named_is_there_and_no_other() {
        for inside in [true, false] {
            let named = |page: &str| endpoint_list(inside).split([',', ' ']).any(|named| named == page);
            for page in endpoint_list(true).split([',', ' ']).filter(|word| word.starts_with('/')) {
                let (answer, body) = ask_at(b"GET", page.as_bytes(), false, inside);
                assert_eq!(answer.head.status == 404, !named(page), "{page}: {body}");
            }
        }
    }

    #[test]
    fn a_live_process_is_ready_until_it_drains() {
        for (target, draining, status) in [
            ("/live", false, 200),
            ("/ready?verbose", false, 200),
            ("/live", true, 200),
            ("/ready", true, 503),
        ] {
            assert_eq!(ask(b"GET", target.as_bytes(), draining).0.status(), status, "{target} {draining}");
        }
    }

    #[test]
    fn metrics_are_prometheus_text() {
        let (answer, body) = ask(b"GET", b"/metrics", false);
        assert_eq!(answer.head.get(b"content-type"), Some(METRICS.as_bytes()));
        assert!(body.contains("# TYPE margay_config_reloads_total counter"));
    }

    #[test]
    fn clusters_tell_how_their_endpoints_are() {
        let (answer, body) = ask(b"GET", b"/clusters", false);
        assert_eq!(answer.head.get(b"content-type"), Some(&b"application/json"[..]));
        let told: serde_json::Value = serde_json::from_str(&body).unwrap();
        let shop = &told["clusters"][0];
        assert_eq!((&shop["cluster"], &shop["balancer"]), (&"shop".into(), &"LeastConnection".into()));
        let first = serde_json::json!({ "endpoint": "127.0.0.1:1", "weight": 1, "health": "unhealthy", "eligible": false,
            "reason": "no answer", "in_flight": 0 });
        assert_eq!(shop["endpoints"][0], first);
        assert_eq!(
            (&shop["endpoints"][1]["health"], &shop["endpoints"][1]["weight"]),
            (&"unknown".into(), &3.into())
        );
    }

    #[test]
    fn what_is_not_there_is_a_404_problem_whatever_the_method() {
        for target in ["/", "/metrics/", "/LIVE", "*", "/cache", "/cache/purge?all"] {
            let (answer, body) = ask_at(b"POST", target.as_bytes(), false, false);
            assert_eq!((answer.status(), answer.head.get(b"content-type")), (404, Some(PROBLEM.as_bytes())));
            assert!(serde_json::from_str::<serde_json::Value>(&body).is_ok());
        }
    }

    #[test]
    fn on_another_address_nothing_is_told_of_the_insides() {
        for target in ["/clusters", "/cache", "/cache?all"] {
            assert_eq!(ask_at(b"GET", target.as_bytes(), false, false).0.status(), 404, "{target}");
        }
        for target in ["/live", "/ready", "/metrics"] {
            assert_eq!(ask_at(b"GET", target.as_bytes(), false, false).0.status(), 200, "{target}");
        }
    }

    #[test]
    fn writing_is_a_405_that_says_what_is_allowed() {
        let (answer, _) = ask(b"POST", b"/live", false);
        assert_eq!((answer.status(), answer.head.get(b"allow")), (405, Some(&b"GET, HEAD"[..])));
    }
}
