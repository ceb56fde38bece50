//! Prometheus itself: `promtool` checks a scrape with traffic, and a server scrapes the gateway.

use super::document;
use crate::support::client::{Request, once};
use crate::support::gateway::Gateway;
use crate::support::origin::Origin;
use crate::support::{announce, becomes_true, ports};
use serde_json::{Value, json};
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

fn is_installed(program: &str) -> bool {
    let found = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if found.is_err() {
        announce(&format!("{program} is not installed (Debian package prometheus)"));
    }
    found.is_ok()
}

fn with_traffic(origin: &Origin, more: &Value) -> Gateway {
    let route =
        json!({ "Key": "shop", "RetryOptions": {}, "CacheOptions": { "TtlSeconds": 10, "Region": "shop" } });
    let gateway = Gateway::with(&document(origin.port(), &route, more));
    ["/a", "/a", "/b", "/%zz"].into_iter().for_each(|target| drop(gateway.get(target)));
    gateway
}

#[test]
fn promtool_accepts_a_scrape_with_traffic() {
    if !is_installed("promtool") {
        return;
    }
    let origin = Origin::hello();
    let scrape = with_traffic(&origin, &json!({})).admin("/metrics").text();
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    promtool.stdin.take().unwrap().write_all(scrape.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    assert!(output.status.success(), "{}\n{scrape}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn promtool_accepts_the_alert_rules() {
    if !is_installed("promtool") {
        return;
    }
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/prometheus/alerts.yml");
    let output = Command::new("promtool").args(["check", "rules"]).arg(rules).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A server that scrapes the gateway.
struct Prometheus {
    child: Child,
    address: std::net::SocketAddr,
    _folder: tempfile::TempDir,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Prometheus {
    fn start(gateway: &Gateway, features: &str) -> Prometheus {
        let (folder, address) = (tempfile::tempdir().unwrap(), ports::free_address());
        let config = format!(
            "global: {{ scrape_interval: 200ms, scrape_timeout: 200ms }}\nscrape_configs:\n  - job_name: margay\n    \
             static_configs: [{{ targets: ['{}'] }}]\n",
            gateway.admin
        );
        let file = folder.path().join("prometheus.yml");
        std::fs::write(&file, config).unwrap();
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .arg(format!("--enable-feature={features}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Prometheus { child, address, _folder: folder }
    }

    fn get(&self, target: &str) -> String {
        once(self.address, &Request::get(target)).map(|response| response.text()).unwrap_or_default()
    }

    fn query(&self, expression: &str) -> String {
        self.get(&format!("/api/v1/query?query={expression}"))
    }

    fn returns(&self, expression: &str, expected: &str) -> bool {
        becomes_true(Duration::from_secs(20), || self.query(expression).contains(expected))
    }
}

#[test]
fn a_prometheus_server_scrapes_the_gateway_without_a_failure() {
    if !is_installed("prometheus") {
        return;
    }
    let origin = Origin::hello();
    let gateway = with_traffic(&origin, &json!({}));
    let prometheus = Prometheus::start(&gateway, "exemplar-storage");
    assert!(
        prometheus.returns("margay_requests_total", "\"route\":\"shop\""),
        "{}",
        prometheus.get("/api/v1/targets")
    );
    std::thread::sleep(Duration::from_secs(2));
    assert!(prometheus.returns("min_over_time(up[1m])", ",\"1\"]"), "{}", prometheus.get("/api/v1/targets"));
}

#[test]
fn a_prometheus_server_reads_native_histograms() {
    if !is_installed("prometheus") {
        return;
    }
    let origin = Origin::hello();
    let gateway = with_traffic(&origin, &json!({ "Metrics": { "NativeHistograms": true } }));
    let prometheus = Prometheus::start(&gateway, "native-histograms");
    let count = "histogram_count(margay_request_duration_seconds)";
    assert!(prometheus.returns(count, "\"route\":\"shop\""), "{}", prometheus.get("/api/v1/targets"));
    assert!(prometheus.returns(count, ",\"4\"]"), "{}", prometheus.query(count));
    let median = prometheus.query("histogram_quantile(0.5,margay_request_duration_seconds)");
    assert!(median.contains("\"route\":\"shop\"") && !median.contains("NaN"), "{median}");
}
