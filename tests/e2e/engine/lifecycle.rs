//! The life cycle of the process: startup, administration address, signals, exit codes.

use super::{document, gateway};
use crate::support::client::{Client, RESPONSE_TIMEOUT, Request, once};
use crate::support::gateway::{Gateway, Setup, binary};
use crate::support::origin::Origin;
use crate::support::process::Process;
use crate::support::stub_backend::StubResponse;
use crate::support::{becomes_true, ports};
use serde_json::json;
use std::process::Command;
use std::time::{Duration, Instant};

#[test]
fn the_administration_serves_live_ready_and_metrics() {
    let origin = Origin::hello();
    let gateway = gateway(origin.port());
    gateway.get("/");
    assert_eq!((gateway.admin("/live").status, gateway.admin("/ready").status), (200, 200));
    let metrics = gateway.admin("/metrics");
    assert!(
        metrics.header("content-type").is_some_and(|t| t.starts_with("text/plain")),
        "{:?}",
        metrics.head.headers
    );
    for name in [
        "margay_requests_total",
        "margay_request_duration_seconds",
        "margay_requests_in_flight",
        "margay_config_reloads_total",
    ] {
        let has = || gateway.admin("/metrics").text().contains(name);
        assert!(becomes_true(RESPONSE_TIMEOUT, has), "{name} is missing");
    }
    assert_eq!(gateway.admin("/nothing").status, 404);
}

#[test]
fn sigterm_finishes_active_requests_and_exits_with_0() {
    let origin = Origin::with(|_| StubResponse::new(200, "finished").after(Duration::from_millis(700)));
    let mut gateway = gateway(origin.port());
    let address = gateway.address;
    let asking = std::thread::spawn(move || once(address, &Request::get("/")));
    assert!(becomes_true(RESPONSE_TIMEOUT, || origin.calls() == 1));
    gateway.process.signal("TERM");
    let answer = asking.join().expect("no panic").expect("a response");
    assert_eq!(answer.text(), "finished");
    assert!(answer.head.lists("connection", "close"), "{:?}", answer.head.headers);
    let ended = gateway.process.ends_within(Duration::from_secs(5)).expect("it ends");
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
}

#[test]
fn sigterm_closes_listeners_and_idle_connections() {
    let origin = Origin::with(|_| StubResponse::new(200, "").after(Duration::from_secs(1)));
    let gateway = gateway(origin.port());
    let mut idle = gateway.connect();
    let (address, mut busy) = (gateway.address, gateway.connect());
    busy.send(Request::get("/").bytes("gw"));
    assert!(becomes_true(RESPONSE_TIMEOUT, || origin.calls() == 1));
    gateway.process.signal("TERM");
    assert!(becomes_true(Duration::from_secs(5), || Client::try_connect(address).is_err()), "still accepts");
    assert!(idle.closes_within(Duration::from_secs(5)));
    assert_eq!(busy.answer("GET").map(|a| a.status), Ok(200));
}

#[test]
fn draining_ends_at_its_deadline() {
    let origin = Origin::with(|_| StubResponse::new(200, "").after(Duration::from_secs(8)));
    let mut gateway = super::limited(origin.port(), &json!({ "DrainTimeout": "500ms" }));
    let mut client = gateway.connect();
    client.send(Request::get("/").bytes("gw"));
    assert!(becomes_true(RESPONSE_TIMEOUT, || origin.calls() == 1));
    let start = Instant::now();
    gateway.process.signal("TERM");
    let ended = gateway.process.ends_within(Duration::from_secs(5)).expect("it ends");
    assert!(
        start.elapsed() > Duration::from_millis(400) && start.elapsed() < Duration::from_secs(3),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(ended.code, Some(0));
}

fn margay(args: &[&str]) -> crate::support::process::Ended {
    let mut process = Process::start(Command::new(binary()).args(args).env("NO_COLOR", "1"));
    process.ends_within(Duration::from_secs(10)).unwrap_or_else(|| panic!("margay {args:?} does not end"))
}

#[test]
fn a_port_in_use_is_exit_code_1_and_names_the_flag() {
    let taken = ports::listener();
    let address = taken.local_addr().expect("an address").to_string();
    let directory = tempfile::tempdir().expect("a directory");
    let config = directory.path().join("gateway.json");
    std::fs::write(&config, document(1, &json!({}), &json!({})).to_string()).expect("write");
    let config = config.to_str().expect("UTF-8");
    let admin = format!("127.0.0.1:{}", ports::free());
    let ended = margay(&["run", "--config", config, "--listen", &address, "--admin", &admin]);
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains(&address) && ended.stderr.contains("--listen"), "{}", ended.stderr);
    let free = format!("127.0.0.1:{}", ports::free());
    let ended = margay(&["run", "--config", config, "--listen", &free, "--admin", &address]);
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains("--admin"), "{}", ended.stderr);
}

#[test]
fn an_invalid_configuration_is_exit_code_2_and_prints_every_mistake() {
    let text =
        r#"{ "Routes": [ { "UpstreamPathTemplate": "a", "DownstreamPathTemplate": "b", "Nonsense": 1 } ] }"#;
    let ended = Gateway::try_start(&Setup::text(text)).err().expect("it does not start");
    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.matches("error[MG").count() >= 3, "{}", ended.stderr);
    assert!(ended.stderr.contains("gateway.json:1:"), "{}", ended.stderr);
}

#[test]
fn a_wrong_command_line_is_exit_code_64() {
    assert_eq!(margay(&["run", "--no-such-flag"]).code, Some(64));
    assert_eq!(margay(&["no-such-command"]).code, Some(64));
}

#[test]
fn check_reports_what_run_reports() {
    let directory = tempfile::tempdir().expect("a directory");
    let good = directory.path().join("gateway.json");
    std::fs::write(&good, document(1, &json!({}), &json!({})).to_string()).expect("write");
    assert_eq!(margay(&["check", "--config", good.to_str().expect("UTF-8")]).code, Some(0));
    std::fs::write(&good, "{ \"Routes\": [ {} ] }").expect("write");
    assert_eq!(margay(&["check", "--config", good.to_str().expect("UTF-8")]).code, Some(2));
}

#[test]
fn several_files_are_one_configuration() {
    let origin = Origin::with(|seen| StubResponse::new(200, &seen.path));
    let at = |path: &str| {
        document(
            origin.port(),
            &json!({ "UpstreamPathTemplate": path, "DownstreamPathTemplate": path }),
            &json!({}),
        )
    };
    let gateway = Gateway::start(&Setup::json(&at("/one")).and("other.json", &at("/two").to_string()));
    assert_eq!(
        (gateway.get("/one").text(), gateway.get("/two").text()),
        ("/one".to_owned(), "/two".to_owned())
    );
}

#[test]
fn environment_variables_set_addresses_unless_flags_do() {
    let origin = Origin::hello();
    let (listen, flag) = (format!("127.0.0.1:{}", ports::free()), format!("127.0.0.1:{}", ports::free()));
    let setup = Setup::json(&document(origin.port(), &json!({}), &json!({}))).env("MARGAY_LISTEN", &listen);
    let gateway = Gateway::start(&setup.env("MARGAY_ADMIN", &flag).own_listeners());
    assert_eq!(
        once(listen.parse().expect("an address"), &Request::get("/")).map(|a| a.text()),
        Ok("hello".into())
    );
    assert_eq!(gateway.admin("/ready").status, 200, "the flag wins over MARGAY_ADMIN");
}

#[test]
fn values_come_from_the_environment_and_from_files() {
    let origin = Origin::with(|seen| StubResponse::new(200, &seen.path));
    let text = document(1, &json!({ "DownstreamPathTemplate": "/${MARK:-none}/{everything}" }), &json!({}));
    let text = text.to_string().replace("\"Port\":1", "\"Port\":\"${SERVICE_PORT}\"");
    let port = origin.port().to_string();
    let setup = Setup::text(text).env("SERVICE_PORT", &port);
    assert_eq!(Gateway::start(&setup).get("/x").text(), "/none/x");
    assert_eq!(Gateway::start(&setup.env("MARK", "here")).get("/x").text(), "/here/x");
}
