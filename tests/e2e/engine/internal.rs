//! Internal services as targets: `DownstreamService`, and the administration address, which is served the same way.

use crate::support::client::{Client, Request, once};
use crate::support::gateway::{Gateway, Setup};
use serde_json::json;

fn gateway() -> Gateway {
    Gateway::start(&Setup::json(&json!({
        "AccessLog": true,
        "Routes": [
            {
                "UpstreamPathTemplate": "/status/{page}", "DownstreamPathTemplate": "/{page}",
                "DownstreamService": "administration", "UpstreamHttpMethod": ["GET", "HEAD", "POST"],
            },
            {
                "UpstreamPathTemplate": "/guarded/{page}", "DownstreamPathTemplate": "/{page}",
                "DownstreamService": "administration", "SecurityOptions": { "IPBlockedList": ["127.0.0.1"] },
            },
        ],
    })))
}

#[test]
fn a_route_leads_to_an_internal_service() {
    let gateway = gateway();
    let live = gateway.get("/status/live");
    assert_eq!((live.status, live.text().as_str()), (200, "live\n"));
    assert!(live.header("date").is_some());
    let metrics = gateway.get("/status/metrics?x=y").text();
    assert!(metrics.contains("margay_requests_total"), "{metrics}");
    let problem = gateway.get("/status/nothing");
    assert_eq!((problem.status, &problem.json()["code"]), (404, &json!("admin.none")));
    let refused = gateway.ask(&Request::new("POST", "/status/live"));
    assert_eq!((refused.status, refused.header("allow")), (405, Some("GET,HEAD")));
    let head = gateway.ask(&Request::new("HEAD", "/status/live"));
    assert_eq!((head.status, head.header("content-length")), (200, Some("5")));
}

#[test]
fn stages_metrics_and_the_access_log_are_those_of_every_route() {
    let gateway = gateway();
    assert_eq!(gateway.get("/guarded/live").status, 403);
    gateway.get("/status/live");
    let logged = gateway.logged(|line| line["path"] == "/status/live").expect("a line of the access log");
    assert_eq!((&logged["status"], &logged["route"]), (&json!(200), &json!("/status/{page}")));
    let metrics = gateway.admin("/metrics").text();
    assert!(metrics.contains("route=\"/status/{page}\""), "{metrics}");
}

#[test]
fn pages_of_a_local_address_are_not_among_those_of_a_route() {
    let gateway = gateway();
    for (page, local) in [("live", 200), ("clusters", 200), ("cache", 200)] {
        assert_eq!(gateway.admin(&format!("/{page}")).status, local, "{page}");
    }
    for page in ["clusters", "cache"] {
        assert_eq!(gateway.get(&format!("/status/{page}")).status, 404, "{page}");
    }
}

#[test]
fn the_administration_address_keeps_connections_alive_and_is_not_counted_as_traffic() {
    let gateway = gateway();
    let mut client = Client::connect(gateway.admin);
    for page in ["/live", "/ready", "/metrics"] {
        assert_eq!(client.ask(&Request::get(page)).expect("a response").status, 200, "{page}");
    }
    let page = gateway.admin("/metrics").text();
    assert!(!page.lines().any(|line| !line.starts_with('#') && line.contains("administration")), "{page}");
    let refused = once(gateway.admin, &Request::new("POST", "/live")).expect("a response");
    assert_eq!((refused.status, refused.header("allow")), (405, Some("GET,HEAD")));
}
