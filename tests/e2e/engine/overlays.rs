//! `ocelot.ENVIRONMENT.json` and environment variables laid over `ocelot.json`, encodings and `Metadata`, with the binary.

use super::{over, to};
use crate::support::becomes_true;
use crate::support::gateway::{Gateway, Setup, binary};
use crate::support::origin::Origin;
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;

const WAIT_TIMEOUT: Duration = Duration::from_secs(5);
/// A port on which nothing listens.
const UNUSED_PORT: u16 = 9;

/// `ocelot.json` with the routes `/a` and `/b`, and other files.
fn ocelot(port: u16, files: &[(&str, &Value)]) -> Setup {
    let route =
        |path: &str| over(to(port), &json!({ "UpstreamPathTemplate": path, "DownstreamPathTemplate": path }));
    let base = json!({ "Routes": [route("/a"), route("/b")], "GlobalConfiguration": {} });
    let files = files.iter().map(|(name, value)| ((*name).to_owned(), value.to_string()));
    let all = std::iter::once(("ocelot.json".to_owned(), base.to_string())).chain(files).collect();
    Setup::directory(all).at(Path::new("ocelot.json"))
}

fn endpoint(port: u16) -> Value {
    json!({ "DownstreamHostAndPorts": [{ "Port": port }] })
}

fn statuses(gateway: &Gateway) -> (u16, u16) {
    (gateway.get("/a").status, gateway.get("/b").status)
}

#[test]
fn a_file_of_the_environment_is_laid_over_and_reloaded() {
    let origin = Origin::hello();
    let upper = json!({ "Routes": [{}, endpoint(origin.port())] });
    let setup =
        ocelot(UNUSED_PORT, &[("ocelot.Staging.json", &upper)]).env("ASPNETCORE_ENVIRONMENT", "Staging");
    let gateway = Gateway::start(&setup);
    assert_eq!(statuses(&gateway), (502, 200));
    gateway.write_file("ocelot.Staging.json", &json!({ "Routes": [endpoint(origin.port())] }).to_string());
    assert!(becomes_true(WAIT_TIMEOUT, || statuses(&gateway) == (200, 502)));
    gateway.write_file("ocelot.Staging.json", "{ \"Routes\": [ ");
    assert!(becomes_true(WAIT_TIMEOUT, || gateway.process.stderr().contains("ocelot.Staging.json:1:")));
    assert_eq!(statuses(&gateway), (200, 502), "a broken file keeps the active configuration");
}

#[test]
fn a_file_of_the_environment_that_appears_is_loaded() {
    let origin = Origin::hello();
    let gateway = Gateway::start(&ocelot(UNUSED_PORT, &[]));
    assert_eq!(statuses(&gateway), (502, 502));
    gateway.write_file("ocelot.Production.json", &json!({ "Routes": [endpoint(origin.port())] }).to_string());
    assert!(becomes_true(WAIT_TIMEOUT, || statuses(&gateway) == (200, 502)));
}

#[test]
fn variables_are_laid_over_the_files_and_survive_a_reload() {
    let (first, second) = (Origin::hello(), Origin::hello());
    let upper = json!({ "Routes": [endpoint(second.port()), endpoint(second.port())] });
    let setup = ocelot(UNUSED_PORT, &[("ocelot.Production.json", &upper)])
        .env("Routes__0__DownstreamHostAndPorts__0__Port", &first.port().to_string())
        .env("GlobalConfiguration__RequestIdKey", "X-Request-From-Variable");
    let gateway = Gateway::start(&setup);
    assert_eq!(statuses(&gateway), (200, 200));
    assert_eq!((first.calls(), second.calls()), (1, 1));
    assert!(first.last().header("x-request-from-variable").is_some());
    let stderr = gateway.process.stderr();
    let expected = "2 settings from environment variables: GlobalConfiguration__RequestIdKey, \
                    Routes__0__DownstreamHostAndPorts__0__Port";
    assert!(stderr.contains(expected), "{stderr}");
    gateway
        .write_file("ocelot.Production.json", &json!({ "Routes": [{}, endpoint(UNUSED_PORT)] }).to_string());
    assert!(becomes_true(WAIT_TIMEOUT, || statuses(&gateway) == (200, 502)));
}

#[test]
fn check_lists_the_files_and_variables_and_points_to_an_invalid_variable() {
    let folder = tempfile::tempdir().expect("a directory");
    let file = |name: &str, value: &Value| {
        std::fs::write(folder.path().join(name), value.to_string()).expect("write the configuration");
    };
    file("ocelot.json", &json!({ "Routes": [to(1)] }));
    file("ocelot.Production.json", &json!({ "GlobalConfiguration": { "BaseUrl": "http://upper" } }));
    let check = |port: &str| {
        let output = std::process::Command::new(binary())
            .args(["check", "--json", "ocelot.json"])
            .env("Routes__0__DownstreamHostAndPorts__0__Port", port)
            .current_dir(folder.path())
            .output()
            .expect("margay check");
        serde_json::from_slice::<Value>(&output.stdout).expect("JSON")
    };
    let valid = check("81");
    assert_eq!(valid["valid"], true);
    assert_eq!(valid["files"], json!(["ocelot.json", "ocelot.Production.json"]));
    assert_eq!(valid["environmentVariables"], json!(["Routes__0__DownstreamHostAndPorts__0__Port"]));
    let invalid = &check("hunter2")["diagnostics"][0];
    assert_eq!(invalid["file"], "environment variables");
    assert_eq!(invalid["pointer"], "/Routes/0/DownstreamHostAndPorts/0/Port");
    assert_eq!((&invalid["line"], &invalid["column"]), (&json!(1), &json!(1)));
    assert!(!invalid.to_string().contains("hunter2"), "{invalid}");
}

#[test]
fn a_utf_16_file_and_nested_metadata_are_loaded() {
    let origin = Origin::hello();
    let route = over(to(origin.port()), &json!({ "Metadata": { "place": { "deep": [1] }, "list": ["a"] } }));
    let text = json!({ "Routes": [route] }).to_string();
    let bytes: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let home = tempfile::tempdir().expect("a directory");
    let config = home.path().join("ocelot.json");
    std::fs::write(&config, [&[0xff, 0xfe], bytes.as_slice()].concat()).expect("write the configuration");
    let gateway = Gateway::start(&Setup::text("{}").at(&config));
    assert_eq!(gateway.get("/x").status, 200);
}
