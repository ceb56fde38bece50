//! Changes over the administration API: applied with a watch, rolled back, saved, recorded. `SOAK=1` runs each watch
//! twenty times.

use crate::support::client::{Client, Request, Response, once};
use crate::support::gateway::{Gateway, Setup};
use crate::support::origin::Origin;
use crate::support::stub_backend::StubResponse;
use crate::support::{StopGuard, announce, becomes_true, until};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

const WAIT_TIMEOUT: Duration = Duration::from_secs(20);

/// Routes `/a` and `/b` to one backend, which responds to `/fail` with 500 and to `/slow` after 100 ms.
pub fn document(port: u16, path_of_a: &str, more: &Value) -> Value {
    let route = |key: &str, path: &str| {
        json!({ "Key": key, "UpstreamPathTemplate": format!("/{key}"), "DownstreamPathTemplate": path,
            "DownstreamScheme": "http", "DownstreamHostAndPorts": [{ "Host": "127.0.0.1", "Port": port }] })
    };
    let mut document = json!({ "Routes": [route("a", path_of_a), route("b", "/ok")] });
    for (name, value) in more.as_object().expect("an object") {
        document[name] = value.clone();
    }
    document
}

/// The backend; `is_down` makes it fail on every path.
fn backend(is_down: &Arc<AtomicBool>) -> Origin {
    let is_down = is_down.clone();
    Origin::with(move |seen| match seen.path.as_str() {
        _ if is_down.load(Ordering::SeqCst) => StubResponse::new(500, "down"),
        "/fail" => StubResponse::new(500, "failed"),
        "/slow" => StubResponse::new(200, "slow").after(Duration::from_millis(100)),
        _ => StubResponse::new(200, "ok").after(Duration::from_millis(8)),
    })
}

struct Scene {
    gateway: Gateway,
    origin: Origin,
    is_down: Arc<AtomicBool>,
}

impl Scene {
    fn new() -> Scene {
        let is_down = Arc::default();
        let origin = backend(&is_down);
        let gateway = Gateway::start(&Setup::json(&document(origin.port(), "/ok", &json!({}))).threads(2));
        Scene { gateway, origin, is_down }
    }

    fn document(&self, path_of_a: &str) -> Value {
        document(self.origin.port(), path_of_a, &json!({}))
    }

    fn call(&self, request: &Request) -> Response {
        once(self.gateway.admin, request).unwrap_or_else(|fault| panic!("{}: {fault:?}", request.target))
    }

    fn put(&self, query: &str, document: &Value) -> Response {
        self.call(&Request::new("PUT", &format!("/v1/config{query}")).body(document.to_string()))
    }

    fn history(&self) -> Vec<Value> {
        self.gateway.admin("/v1/history").json()["entries"].as_array().cloned().unwrap_or_default()
    }

    /// The entry with this number.
    fn entry(&self, number: &Value) -> Value {
        self.history().into_iter().find(|entry| entry["number"] == *number).unwrap_or_default()
    }

    /// Applies a change and waits for the end of its watch; the entry of the history.
    fn watched(&self, window: &str, document: &Value) -> Value {
        let applied = self.put(&format!("?watch={window}"), document);
        assert_eq!(applied.status, 200, "{}", applied.text());
        let number = applied.json()["number"].clone();
        let ended = || Some(self.entry(&number)).filter(|entry| entry["outcome"] != "watching");
        until(WAIT_TIMEOUT, ended).expect("the watch ends")
    }

    fn metric(&self, line: &str) -> bool {
        self.gateway.admin("/metrics").text().lines().any(|known| known == line)
    }
}

/// Traffic on `/a` and `/b` while `run` runs; the number of requests of `/b` that failed.
fn under_load(scene: &Scene, pause_on_a: Duration, run: impl FnOnce()) -> u64 {
    let (stop, failed) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let _stop_guard = StopGuard(&stop);
        for (path, pause) in [("/a", pause_on_a), ("/b", Duration::ZERO)] {
            let (stop, failed) = (&stop, &failed);
            scope.spawn(move || {
                while !stop.load(Ordering::SeqCst) {
                    let mut client = Client::connect(scene.gateway.address);
                    for _ in 0..20 {
                        if stop.load(Ordering::SeqCst) {
                            break;
                        }
                        let response = client.get(path);
                        failed.fetch_add(u64::from(path == "/b" && response.status != 200), Ordering::SeqCst);
                        std::thread::sleep(pause);
                    }
                }
            });
        }
        std::thread::sleep(Duration::from_millis(1500));
        run();
    });
    failed.load(Ordering::SeqCst)
}

fn rounds() -> u32 {
    if std::env::var_os("SOAK").is_some() { 20 } else { 1 }
}

#[test]
fn a_change_that_makes_a_route_answer_500_is_rolled_back() {
    let scene = Scene::new();
    for round in 1..=rounds() {
        let failed = under_load(&scene, Duration::ZERO, || {
            let entry = scene.watched("15s", &scene.document("/fail"));
            assert_eq!(entry["outcome"], "rolled_back", "{entry}");
            assert!(
                entry["reason"].as_str().is_some_and(|reason| reason.contains("route a: 5xx ratio")),
                "{entry}"
            );
            assert!(becomes_true(WAIT_TIMEOUT, || scene.gateway.get("/a").status == 200));
        });
        assert_eq!(failed, 0, "the other route loses nothing");
        assert!(scene.metric(&format!("margay_config_rollbacks_total{{reason=\"errors\"}} {round}")));
    }
    announce(&format!("safe change: {} changes with 500 rolled back", rounds()));
    assert!(
        scene.gateway.process.stderr().contains("is rolled back: route a"),
        "the log contains the reason"
    );
}

#[test]
fn a_change_that_makes_a_route_ten_times_slower_is_rolled_back() {
    let scene = Scene::new();
    for round in 1..=rounds() {
        under_load(&scene, Duration::ZERO, || {
            let entry = scene.watched("15s", &scene.document("/slow"));
            assert_eq!(entry["outcome"], "rolled_back", "{entry}");
            assert!(
                entry["reason"].as_str().is_some_and(|reason| reason.contains("route a: p99")),
                "{entry}"
            );
        });
        assert!(scene.metric(&format!("margay_config_rollbacks_total{{reason=\"latency\"}} {round}")));
    }
    announce(&format!("safe change: {} slow changes rolled back", rounds()));
}

#[test]
fn a_harmless_change_stays() {
    let scene = Scene::new();
    for round in 0..rounds() {
        let failed = under_load(&scene, Duration::ZERO, || {
            let entry = scene.watched("3s", &scene.document(&format!("/fine{round}")));
            assert_eq!(entry["outcome"], "kept", "{entry}");
        });
        assert_eq!(failed, 0);
    }
    announce(&format!("safe change: {} harmless changes kept", rounds()));
}

#[test]
fn a_change_with_one_request_a_second_is_not_judged() {
    let scene = Scene::new();
    for round in 0..rounds() {
        under_load(&scene, Duration::from_secs(1), || {
            let entry = scene.watched("3s", &scene.document(&format!("/fine{round}")));
            assert_eq!(entry["outcome"], "not_judged", "{entry}");
            assert!(entry["reason"].as_str().is_some_and(|reason| reason.contains("not judged")), "{entry}");
        });
    }
    announce(&format!("safe change: {} changes not judged", rounds()));
}

#[test]
fn a_backend_that_fails_on_all_routes_is_no_reason_to_roll_back() {
    let scene = Scene::new();
    for round in 0..rounds() {
        under_load(&scene, Duration::ZERO, || {
            scene.is_down.store(true, Ordering::SeqCst);
            let entry = scene.watched("3s", &scene.document(&format!("/fine{round}")));
            assert_eq!(entry["outcome"], "kept", "{entry}");
            scene.is_down.store(false, Ordering::SeqCst);
        });
    }
    announce(&format!("safe change: {} changes kept while the backend fails", rounds()));
}

#[test]
fn a_stale_or_invalid_change_is_a_problem_and_changes_nothing() {
    let scene = Scene::new();
    let id = scene.gateway.admin("/v1/config").header("etag").expect("an ETag").to_owned();
    let stale = Request::new("PUT", "/v1/config").header("If-Match", "\"other\"");
    let stale = scene.call(&stale.body(scene.document("/new").to_string()));
    assert_eq!((stale.status, stale.json()["code"].as_str()), (412, Some("admin.stale")));
    let mut invalid = scene.document("/new");
    invalid["Routes"][0]["Timeoutt"] = json!(1);
    let check = scene.call(&Request::new("POST", "/v1/check").body(invalid.to_string()));
    assert_eq!((check.status, check.json()["valid"].as_bool()), (200, Some(false)));
    let put = scene.put("", &invalid);
    assert_eq!((put.status, put.json()["code"].as_str()), (422, Some("admin.config")));
    assert_eq!(put.json()["diagnostics"], check.json()["diagnostics"], "the diagnostics of a check");
    assert_eq!(scene.put("?watch=soon", &scene.document("/new")).status, 400);
    let large = scene.call(&Request::new("PUT", "/v1/config").body(vec![b' '; 33 << 20]));
    assert_eq!(large.status, 413);
    assert_eq!(scene.gateway.admin("/v1/config").header("etag"), Some(id.as_str()));
    assert_eq!(scene.history().len(), 1, "only the start");
    let current = Request::new("PUT", "/v1/config").header("If-Match", &id);
    let applied = scene.call(&current.body(scene.document("/new").to_string()));
    assert_eq!(applied.status, 200, "{}", applied.text());
    assert_eq!(applied.json()["changes"], json!(["route a: backend path /ok -> /new"]));
    assert!(becomes_true(WAIT_TIMEOUT, || scene.origin.seen().iter().any(|seen| seen.path == "/new")
        || scene.gateway.get("/a").status != 200));
}

#[test]
fn a_diff_is_in_words_and_applies_nothing() {
    let scene = Scene::new();
    let diff = scene.call(&Request::new("POST", "/v1/diff").body(scene.document("/new").to_string())).json();
    assert_eq!(diff["lines"], json!(["route a: backend path /ok -> /new"]));
    assert_eq!(diff["equal"], false);
    let same = scene.call(&Request::new("POST", "/v1/diff").body(scene.document("/ok").to_string())).json();
    assert_eq!((same["equal"].as_bool(), same["lines"].as_array().map(Vec::len)), (Some(true), Some(0)));
}

#[test]
fn a_second_change_during_a_watch_is_refused_and_a_rollback_ends_it() {
    let scene = Scene::new();
    let first = scene.put("?watch=60s", &scene.document("/one")).json();
    let second = scene.put("", &scene.document("/two"));
    assert_eq!((second.status, second.json()["code"].as_str()), (409, Some("admin.watching")));
    let start = scene.history().last().expect("the start")["number"].clone();
    let rolled_back = scene.call(&Request::new("POST", &format!("/v1/rollback/{start}")));
    assert_eq!(rolled_back.status, 200, "{}", rolled_back.text());
    assert_eq!(scene.entry(&first["number"])["outcome"], "superseded");
    assert!(scene.metric("margay_config_watching 0"));
    assert_eq!(scene.call(&Request::new("POST", "/v1/rollback/99")).status, 404);
    assert_eq!(scene.put("", &scene.document("/two")).status, 200);
}

#[test]
fn a_change_is_unsaved_until_it_is_written_to_the_file() {
    let scene = Scene::new();
    let config = scene.gateway.config().to_owned();
    std::fs::set_permissions(&config, std::fs::Permissions::from_mode(0o640)).expect("permissions");
    let before = std::fs::read_to_string(&config).expect("read");
    assert_eq!(scene.put("", &scene.document("/one")).status, 200);
    assert_eq!(scene.gateway.admin("/v1/status").json()["config"]["unsaved"], true);
    assert!(scene.metric("margay_config_unsaved 1"));
    let new = scene.document("/two");
    assert_eq!(scene.put("?save=true", &new).status, 200);
    assert_eq!(std::fs::read_to_string(&config).expect("read"), new.to_string());
    assert_eq!(std::fs::read_to_string(config.with_extension("json.bak")).expect("read"), before);
    assert_eq!(std::fs::metadata(&config).expect("metadata").permissions().mode() & 0o777, 0o640);
    assert_eq!(scene.gateway.admin("/v1/status").json()["config"]["unsaved"], false);
    assert_eq!(scene.put("", &scene.document("/three")).status, 200);
    scene.gateway.write(&scene.document("/four").to_string());
    assert!(becomes_true(WAIT_TIMEOUT, || scene.gateway.process.stderr().contains("was not saved")));
    assert!(becomes_true(WAIT_TIMEOUT, || scene.history()[0]["origin"] == "files"));
}

#[test]
fn a_file_that_changed_in_the_meantime_is_not_overwritten() {
    let is_down = Arc::default();
    let origin = backend(&is_down);
    let with = |path: &str| document(origin.port(), path, &json!({ "ReloadOnChange": false })).to_string();
    let gateway = Gateway::start(&Setup::text(with("/ok")));
    std::fs::write(gateway.config(), with("/edited")).expect("write");
    let put = Request::new("PUT", "/v1/config?save=true").body(with("/mine"));
    let put = once(gateway.admin, &put).expect("a response");
    assert_eq!((put.status, put.json()["code"].as_str()), (409, Some("admin.save")));
    assert_eq!(std::fs::read_to_string(gateway.config()).expect("read"), with("/edited"));
    assert_eq!(gateway.admin("/v1/status").json()["config"]["unsaved"], false);
}

#[test]
fn the_history_survives_a_restart_and_contains_who_and_from_where() {
    let is_down = Arc::default();
    let origin = backend(&is_down);
    let data = tempfile::tempdir().expect("a directory");
    let place = json!({ "DataDirectory": data.path().join("kept") });
    let setup = Setup::json(&document(origin.port(), "/ok", &place));
    let gateway = Gateway::start(&setup);
    let new = document(origin.port(), "/new", &place).to_string();
    let applied = once(gateway.admin, &Request::new("PUT", "/v1/config").body(new)).expect("a response");
    assert_eq!(applied.status, 200, "{}", applied.text());
    gateway.process.signal("KILL");
    drop(gateway);
    let mode = std::fs::metadata(data.path().join("kept")).expect("metadata").permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    let gateway = Gateway::start(&setup);
    let entries = gateway.admin("/v1/history").json()["entries"].clone();
    assert_eq!(entries[1]["origin"], "api");
    assert_eq!(entries[1]["who"], "local");
    assert!(entries[1]["from"].as_str().is_some_and(|from| from.starts_with("127.0.0.1")), "{entries}");
    assert_eq!(entries[1]["changes"], json!(["route a: backend path /ok -> /new"]));
    assert!(gateway.process.stderr().contains("was not saved"), "the restart lost the change");
    let number = &entries[1]["number"];
    let again =
        once(gateway.admin, &Request::new("POST", &format!("/v1/rollback/{number}"))).expect("a response");
    assert_eq!(again.status, 200, "{}", again.text());
    gateway.get("/a");
    assert_eq!(origin.last().path, "/new");
}

#[test]
fn without_a_data_directory_the_history_is_in_memory_with_a_warning() {
    let is_down = Arc::default();
    let origin = backend(&is_down);
    let file = tempfile::NamedTempFile::new().expect("a file");
    let place = json!({ "DataDirectory": file.path() });
    let gateway = Gateway::start(&Setup::json(&document(origin.port(), "/ok", &place)));
    let history = gateway.admin("/v1/history").json();
    assert_eq!(
        (history["durable"].as_bool(), history["entries"].as_array().map(Vec::len)),
        (Some(false), Some(1))
    );
    assert!(gateway.process.stderr().contains("the history cannot be written"));
    assert!(gateway.admin("/metrics").text().contains("margay_config_history_errors_total"));
    let new = document(origin.port(), "/new", &place).to_string();
    assert_eq!(
        once(gateway.admin, &Request::new("PUT", "/v1/config").body(new)).expect("a response").status,
        200
    );
    let back = once(gateway.admin, &Request::new("POST", "/v1/rollback/1")).expect("a response");
    assert_eq!(back.status, 200, "from memory: {}", back.text());
}

#[test]
fn failing_tests_reject_a_change_a_reload_and_a_start() {
    let is_down = Arc::default();
    let origin = backend(&is_down);
    let with_tests = |status: u16| {
        let tests = json!([{ "Name": "unknown paths", "Request": "GET /c", "Expect": { "Status": status } }]);
        document(origin.port(), "/ok", &json!({ "TestsBeforeApply": true, "Tests": tests }))
    };
    let gateway = Gateway::with(&with_tests(404));
    let put = Request::new("PUT", "/v1/config").body(with_tests(200).to_string());
    let put = once(gateway.admin, &put).expect("a response");
    assert_eq!((put.status, put.json()["code"].as_str()), (422, Some("admin.tests")));
    assert_eq!(put.json()["tests"][0]["differences"][0]["found"], "404", "{}", put.text());
    let results = gateway.admin("/v1/tests").json();
    assert_eq!(
        (results["passed"].as_bool(), results["tests"].as_array().map(Vec::len)),
        (Some(true), Some(1))
    );
    gateway.write(&with_tests(200).to_string());
    assert!(becomes_true(WAIT_TIMEOUT, || gateway.process.stderr().contains("fails its tests")));
    let ended = Gateway::try_start(&Setup::json(&with_tests(200))).err().expect("the start is refused");
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    assert!(ended.stderr.contains("FAILED unknown paths"), "{}", ended.stderr);
}
