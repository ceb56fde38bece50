//! The configuration in Consul's KV store.

use super::{over, to};
use crate::support::becomes_true;
use crate::support::consul::Consul;
use crate::support::gateway::Gateway;
use crate::support::origin::Origin;
use crate::support::stub_backend::StubResponse;
use serde_json::{Value, json};
use std::time::Duration;

const WAIT_TIMEOUT: Duration = Duration::from_secs(10);
const KEY: &str = "InternalConfiguration";

/// A document whose backends receive `/{mark}/...`.
fn routes(port: u16, mark: &str) -> Value {
    json!({ "Routes": [over(to(port), &json!({ "DownstreamPathTemplate": format!("/{mark}/{{everything}}") }))] })
}

/// The file of a gateway that stores its configuration there.
fn file(consul: u16, rest: &Value) -> Value {
    let provider = json!({ "Host": "127.0.0.1", "Port": consul, "Token": "s3cret-t0ken" });
    over(
        json!({ "ConfigurationStore": "Consul", "GlobalConfiguration": { "ServiceDiscoveryProvider": provider } }),
        rest,
    )
}

fn naming_the_path() -> Origin {
    Origin::with(|seen| StubResponse::new(200, &seen.path))
}

#[test]
fn the_stored_document_is_served_and_changes_are_applied_or_rejected() {
    let (consul, origin) = (Consul::start(), naming_the_path());
    consul.put(KEY, &routes(origin.port(), "one").to_string());
    let gateway = Gateway::with(&file(consul.port(), &routes(origin.port(), "file")));
    assert_eq!(gateway.get("/x").text(), "/one/x");
    consul.put(KEY, &routes(origin.port(), "two").to_string());
    assert!(becomes_true(WAIT_TIMEOUT, || gateway.get("/x").text() == "/two/x"));
    consul.put(KEY, "{ \"Routes\": [ broken");
    let refused =
        || gateway.admin("/metrics").text().contains("margay_config_reloads_total{outcome=\"rejected\"} 1");
    assert!(becomes_true(WAIT_TIMEOUT, refused));
    assert_eq!(gateway.get("/x").text(), "/two/x");
    assert!(
        gateway.process.stderr().contains("consul:InternalConfiguration:1:"),
        "{}",
        gateway.process.stderr()
    );
    consul.break_down(Some(500));
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(gateway.get("/x").text(), "/two/x");
    consul.put(KEY, &routes(origin.port(), "three").to_string());
    consul.break_down(None);
    assert!(becomes_true(WAIT_TIMEOUT, || gateway.get("/x").text() == "/three/x"));
}

#[test]
fn an_empty_store_is_seeded_from_the_file_without_the_token() {
    let (consul, origin) = (Consul::start(), naming_the_path());
    let gateway = Gateway::with(&file(consul.port(), &routes(origin.port(), "file")));
    assert_eq!(gateway.get("/x").text(), "/file/x");
    let kept = consul.value(KEY).expect("it was written");
    assert!(kept.contains("/file/{everything}") && !kept.contains("s3cret"), "{kept}");
    consul.put(KEY, &kept.replace("/file/", "/edited/"));
    assert!(becomes_true(WAIT_TIMEOUT, || gateway.get("/x").text() == "/edited/x"));
}

#[test]
fn an_unreachable_or_invalid_store_at_startup_falls_back_to_the_files() {
    let (consul, origin) = (Consul::start(), naming_the_path());
    consul.break_down(Some(500));
    let gateway = Gateway::with(&file(consul.port(), &routes(origin.port(), "file")));
    assert_eq!(gateway.get("/x").text(), "/file/x");
    assert!(
        gateway.process.stderr().contains("using the configuration files until then"),
        "{}",
        gateway.process.stderr()
    );
    consul.put(KEY, &routes(origin.port(), "kept").to_string());
    consul.break_down(None);
    assert!(becomes_true(WAIT_TIMEOUT, || gateway.get("/x").text() == "/kept/x"));
    drop(gateway);
    consul.put(KEY, "[]");
    let gateway = Gateway::with(&file(consul.port(), &routes(origin.port(), "file")));
    assert_eq!(gateway.get("/x").text(), "/file/x");
    assert!(gateway.process.stderr().contains("has errors"), "{}", gateway.process.stderr());
    consul.put(KEY, &routes(origin.port(), "better").to_string());
    assert!(becomes_true(WAIT_TIMEOUT, || gateway.get("/x").text() == "/better/x"));
}
