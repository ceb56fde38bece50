//! The administration address: is it alive, is it ready, what are the numbers. A pure function from request to reply;
//! nothing here changes anything, so it needs no secret, and it binds loopback unless told otherwise.

use crate::telemetry::Metrics;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

/// Where the process is in its life.
#[derive(Debug, Default)]
pub struct Life(AtomicU8);

const STARTING: u8 = 0;
const SERVING: u8 = 1;
const DRAINING: u8 = 2;

impl Life {
    /// A plan serves.
    pub fn serving(&self) {
        let _ = self.0.compare_exchange(STARTING, SERVING, Relaxed, Relaxed);
    }

    /// No more connections are accepted; there is no way back.
    pub fn draining(&self) {
        self.0.store(DRAINING, Relaxed);
    }

    /// Why traffic should not come here; none when it may.
    pub fn not_ready(&self) -> Option<&'static str> {
        match self.0.load(Relaxed) {
            STARTING => Some("no plan serves yet"),
            SERVING => None,
            _ => Some("shutting down"),
        }
    }
}

/// What the administration address answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    pub status: u16,
    pub content_type: &'static str,
    /// The methods allowed, with a 405.
    pub allow: Option<&'static str>,
    /// A HEAD request gets the same head and none of this.
    pub body: String,
}

const TEXT: &str = "text/plain; charset=utf-8";
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";
const PROBLEM: &str = "application/problem+json";

/// Answers one request; the query does not matter.
pub fn answer(method: &[u8], target: &[u8], life: &Life, metrics: &Metrics) -> Reply {
    let path = target.split(|b| *b == b'?').next().unwrap_or_default();
    let reply = match path {
        b"/live" => text("live\n".into()),
        b"/ready" => ready(life),
        b"/metrics" => Reply { content_type: METRICS, ..text(metrics.render()) },
        _ => return problem(404, "admin.none", "Not Found", "here are /live, /ready and /metrics"),
    };
    if matches!(method, b"GET" | b"HEAD") {
        return reply;
    }
    Reply {
        allow: Some("GET, HEAD"),
        ..problem(405, "admin.method", "Method Not Allowed", "this is only read")
    }
}

fn ready(life: &Life) -> Reply {
    match life.not_ready() {
        None => text("ready\n".into()),
        Some(why) => problem(503, "admin.notReady", "Service Unavailable", why),
    }
}

fn text(body: String) -> Reply {
    Reply { status: 200, content_type: TEXT, allow: None, body }
}

/// RFC 9457.
fn problem(status: u16, why: &str, title: &str, detail: &str) -> Reply {
    let body = serde_json::json!({
        "type": format!("urn:margay:problem:{why}"), "title": title, "status": status, "detail": detail, "why": why,
    });
    Reply { status, content_type: PROBLEM, allow: None, body: format!("{body}\n") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(target: &str, life: &Life) -> Reply {
        answer(b"GET", target.as_bytes(), life, &Metrics::new(1))
    }

    #[test]
    fn a_live_process_is_ready_once_a_plan_serves_and_until_it_drains() {
        let life = Life::default();
        assert_eq!((get("/live", &life).status, get("/ready", &life).status), (200, 503));
        life.serving();
        assert_eq!(get("/ready?verbose", &life).status, 200);
        life.draining();
        life.serving();
        assert_eq!((get("/live", &life).status, get("/ready", &life).status), (200, 503));
        assert!(get("/ready", &life).body.contains("shutting down"));
    }

    #[test]
    fn metrics_are_prometheus_text() {
        let reply = get("/metrics", &Life::default());
        assert_eq!((reply.status, reply.content_type), (200, METRICS));
        assert!(reply.body.contains("# TYPE margay_reloads_total counter"));
    }

    #[test]
    fn what_is_not_there_is_a_404_problem_whatever_the_method() {
        for target in ["/", "/metrics/", "/LIVE", "*"] {
            let reply = answer(b"POST", target.as_bytes(), &Life::default(), &Metrics::new(1));
            assert_eq!((reply.status, reply.content_type), (404, PROBLEM));
        }
    }

    #[test]
    fn writing_is_a_405_that_says_what_is_allowed() {
        let reply = answer(b"POST", b"/live", &Life::default(), &Metrics::new(1));
        assert_eq!((reply.status, reply.allow), (405, Some("GET, HEAD")));
        assert!(serde_json::from_str::<serde_json::Value>(&reply.body).is_ok());
    }
}
