//! Hot reload: complete or not at all, without a failed request. `RELOADS=1000` soaks.

use super::{document, over, to};
use crate::support::client::{Client, Request};
use crate::support::gateway::{Gateway, Setup};
use crate::support::origin::Origin;
use crate::support::stub_backend::StubResponse;
use crate::support::{StopGuard, announce, becomes_true, ports};
use serde_json::{Value, json};
use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

const WAIT_TIMEOUT: Duration = Duration::from_secs(5);

/// A document whose backend receives `/{mark}/...`.
fn marked(port: u16, mark: &str) -> Value {
    document(port, &json!({ "DownstreamPathTemplate": format!("/{mark}/{{everything}}") }), &json!({}))
}

fn naming_the_path() -> Origin {
    Origin::with(|seen| StubResponse::new(200, &seen.path))
}

#[test]
fn a_renamed_file_is_reloaded() {
    let origin = naming_the_path();
    let gateway = Gateway::with(&marked(origin.port(), "one"));
    assert_eq!(gateway.get("/x").text(), "/one/x");
    gateway.write(&marked(origin.port(), "two").to_string());
    assert!(becomes_true(WAIT_TIMEOUT, || gateway.get("/x").text() == "/two/x"));
}

#[test]
fn a_file_written_in_place_is_reloaded() {
    let origin = naming_the_path();
    let gateway = Gateway::with(&marked(origin.port(), "one"));
    std::fs::write(gateway.config(), marked(origin.port(), "two").to_string()).expect("write");
    assert!(becomes_true(WAIT_TIMEOUT, || gateway.get("/x").text() == "/two/x"));
}

#[test]
fn a_swapped_symbolic_link_is_reloaded() {
    let origin = naming_the_path();
    let home = tempfile::tempdir().expect("a directory");
    for (name, mark) in [("..one", "one"), ("..two", "two")] {
        std::fs::create_dir(home.path().join(name)).expect("a directory");
        std::fs::write(home.path().join(name).join("gateway.json"), marked(origin.port(), mark).to_string())
            .expect("write");
    }
    symlink("..one", home.path().join("..data")).expect("a link");
    symlink("..data/gateway.json", home.path().join("gateway.json")).expect("a link");
    let config = home.path().join("gateway.json");
    let setup = Setup::text(marked(origin.port(), "zero").to_string()).at(&config);
    let gateway = Gateway::start(&setup);
    assert_eq!(gateway.get("/x").text(), "/one/x");
    symlink("..two", home.path().join("..data.new")).expect("a link");
    std::fs::rename(home.path().join("..data.new"), home.path().join("..data")).expect("a swap");
    assert!(becomes_true(WAIT_TIMEOUT, || gateway.get("/x").text() == "/two/x"));
}

#[test]
fn a_broken_file_keeps_the_old_plan_and_reports_diagnostics() {
    let origin = naming_the_path();
    let gateway = Gateway::with(&marked(origin.port(), "one"));
    gateway.write("{ \"Routes\": [ { \"UpstreamPathTemplate\" \"/\" } ] }");
    assert!(
        becomes_true(WAIT_TIMEOUT, || gateway.process.stderr().contains("error[MG")),
        "{}",
        gateway.process.stderr()
    );
    assert!(gateway.process.stderr().contains("gateway.json:1:"), "{}", gateway.process.stderr());
    assert_eq!(gateway.get("/x").text(), "/one/x");
    assert_eq!(gateway.admin("/ready").status, 200);
    gateway.write(&marked(origin.port(), "two").to_string());
    assert!(becomes_true(WAIT_TIMEOUT, || gateway.get("/x").text() == "/two/x"));
}

#[test]
fn sighup_reloads_where_files_are_not_watched() {
    let origin = naming_the_path();
    let still = json!({ "ReloadOnChange": false });
    let gateway = Gateway::with(&over(marked(origin.port(), "one"), &still));
    gateway.write(&over(marked(origin.port(), "two"), &still).to_string());
    std::thread::sleep(Duration::from_millis(1200));
    assert_eq!(gateway.get("/x").text(), "/one/x");
    gateway.process.signal("HUP");
    assert!(becomes_true(WAIT_TIMEOUT, || gateway.get("/x").text() == "/two/x"));
}

#[test]
fn an_edited_policy_changes_its_routes() {
    let origin = Origin::with(|seen| StubResponse::new(200, seen.header("host").unwrap_or_default()));
    let document = document(origin.port(), &json!({ "Policies": ["edge"] }), &json!({}));
    let policy = |keep: bool| json!({ "PreserveHost": keep }).to_string();
    let gateway = Gateway::start(&Setup::json(&document).file("policies/edge.json", &policy(true)));
    let host = || gateway.ask(&Request::get("/").header("Host", "kept.example")).text();
    assert_eq!(host(), "kept.example");
    gateway.write_file("policies/edge.json", &policy(false));
    assert!(becomes_true(WAIT_TIMEOUT, || host() != "kept.example"));
    gateway.write_file("policies/edge.json", &policy(true));
    assert!(becomes_true(WAIT_TIMEOUT, || host() == "kept.example"));
}

#[test]
fn a_directory_is_watched_for_new_files() {
    let origin = naming_the_path();
    let file = |path: &str| {
        json!({ "Routes": [over(to(origin.port()), &json!({ "UpstreamPathTemplate": path, "DownstreamPathTemplate": path }))] }).to_string()
    };
    let gateway = Gateway::start(&Setup::directory(vec![("gateway.a.json".into(), file("/a"))]));
    assert_eq!((gateway.get("/a").status, gateway.get("/b").status), (200, 404));
    gateway.write_file("gateway.b.json", &file("/b"));
    assert!(becomes_true(WAIT_TIMEOUT, || gateway.get("/b").status == 200));
    assert_eq!(gateway.get("/a").status, 200);
}

#[test]
fn a_reload_adds_and_removes_listeners() {
    let origin = naming_the_path();
    let (one, two) = (ports::free(), ports::free());
    let on = |list: &[u16]| {
        let listeners: Vec<Value> =
            list.iter().map(|p| json!({ "Address": format!("127.0.0.1:{p}") })).collect();
        over(marked(origin.port(), "one"), &json!({ "Listeners": listeners }))
    };
    let gateway = Gateway::start(&Setup::json(&on(&[one])).own_listeners());
    let serves = |port: u16| {
        let address = std::net::SocketAddr::from(([127, 0, 0, 1], port));
        Client::try_connect(address)
            .is_ok_and(|mut c| c.ask(&Request::get("/")).is_ok_and(|a| a.status == 200))
    };
    assert!(serves(one) && !serves(two));
    gateway.write(&on(&[one, two]).to_string());
    assert!(becomes_true(WAIT_TIMEOUT, || serves(two)) && serves(one));
    gateway.write(&on(&[two]).to_string());
    assert!(becomes_true(WAIT_TIMEOUT, || !serves(one)) && serves(two));
}

#[test]
fn a_request_keeps_its_plan_and_backend_connections_survive() {
    let origin = Origin::with(|seen| StubResponse::new(200, &seen.path).after(Duration::from_millis(800)));
    let gateway = Gateway::with(&marked(origin.port(), "one"));
    let mut client = gateway.connect();
    client.get("/warm");
    let address = gateway.address;
    client.send(Request::get("/x").bytes("gw"));
    std::thread::sleep(Duration::from_millis(100));
    gateway.write(&over(marked(origin.port(), "one"), &json!({ "AccessLog": false })).to_string());
    assert_eq!(client.answer("GET").map(|a| a.text()), Ok("/one/x".into()));
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(Client::connect(address).get("/y").text(), "/one/y");
    assert_eq!(origin.connections(), 1, "the pool survives");
}

fn soak() -> Option<u64> {
    std::env::var("RELOADS").ok().and_then(|n| n.parse().ok())
}

/// Three files in turn, two valid and one invalid, under continuous load; each is applied or rejected before
/// the next one is written.
#[test]
fn reloads_under_load_cost_no_request() {
    let origin = naming_the_path();
    let good = |mark: &str| marked(origin.port(), mark).to_string();
    let documents = [good("two"), "{ broken".to_owned(), good("one")];
    let gateway = Gateway::start(&Setup::text(good("one")).threads(2));
    let (stop, asked) = (AtomicBool::new(false), AtomicU64::new(0));
    let rounds = soak().unwrap_or(30);
    let (mut early, mut late) = (0, 0);
    std::thread::scope(|scope| {
        let _stop_guard = StopGuard(&stop);
        for _ in 0..3 {
            scope.spawn(|| send_until(&gateway, &stop, &asked));
        }
        for round in 0..rounds {
            gateway.write(&documents[usize::try_from(round % 3).expect("fits")]);
            let seen = becomes_true(WAIT_TIMEOUT, || {
                reloads(&gateway, "applied") + reloads(&gateway, "rejected") > round
            });
            assert!(seen, "change {round} was not noticed");
            if round == 100 {
                early = gateway.process.rss();
            }
        }
        late = gateway.process.rss();
    });
    announce(&format!(
        "reloads: {rounds} under load, {} requests, none failed",
        asked.load(Ordering::SeqCst)
    ));
    assert_eq!(reloads(&gateway, "rejected"), (rounds + 1) / 3, "invalid files are rejected");
    assert_eq!(
        reloads(&gateway, "applied") + reloads(&gateway, "rejected"),
        rounds,
        "every change is noticed"
    );
    if rounds > 200 {
        announce(&format!("reloads: RSS {early} KiB at 100, {late} KiB at the end"));
        assert!(late < early + 8 * 1024, "grew from {early} to {late} KiB");
    }
}

/// The number of reloads with this outcome.
fn reloads(gateway: &Gateway, outcome: &str) -> u64 {
    let name = format!("margay_config_reloads_total{{outcome=\"{outcome}\"}} ");
    let text = gateway.admin("/metrics").text();
    text.lines().find_map(|l| l.strip_prefix(&name)?.parse().ok()).unwrap_or(0)
}

/// Sends requests on reused and new connections; any failure is a panic.
fn send_until(gateway: &Gateway, stop: &AtomicBool, asked: &AtomicU64) {
    while !stop.load(Ordering::SeqCst) {
        let mut client = gateway.connect();
        for _ in 0..50 {
            let answer = client.get("/x");
            assert!(
                matches!(answer.text().as_str(), "/one/x" | "/two/x"),
                "{} {}",
                answer.status,
                answer.text()
            );
            asked.fetch_add(1, Ordering::SeqCst);
        }
    }
}
