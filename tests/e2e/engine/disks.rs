//! A full disk and a read-only one under load: no request fails, the history stays in memory, and nothing of it is lost once
//! there is room again. Both need root, for a small file system.

use super::safe_change::document;
use crate::support::client::{Request, Response, once};
use crate::support::gateway::{Gateway, Setup};
use crate::support::origin::Origin;
use crate::support::{StopGuard, announce, becomes_true};
use serde_json::{Value, json};
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::Duration;
use tempfile::TempDir;

const WAIT_TIMEOUT: Duration = Duration::from_secs(10);

/// A small file system.
struct Disk(TempDir);

impl Disk {
    /// `None`: the process may not mount.
    fn mount() -> Option<Disk> {
        let disk = Disk(tempfile::tempdir().expect("a directory"));
        let is_mounted = disk.run("mount", &["-t", "tmpfs", "-o", "size=64m", "tmpfs"]);
        if !is_mounted {
            announce("a full and a read-only disk: skipped, no permission to mount");
        }
        is_mounted.then_some(disk)
    }

    fn run(&self, program: &str, arguments: &[&str]) -> bool {
        let ended = Command::new(program).args(arguments).arg(self.0.path()).output();
        ended.is_ok_and(|ended| ended.status.success())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn set_writable(&self, is_writable: bool) {
        let mode = if is_writable { "remount,rw" } else { "remount,ro" };
        assert!(self.run("mount", &["-o", mode]), "{mode}");
    }

    /// Writes until nothing fits any more.
    fn fill(&self) {
        let mut file = File::create(self.path("filler")).expect("a file");
        for size in [64 << 10, 512] {
            let block = vec![b'x'; size];
            while file.write_all(&block).is_ok() {}
        }
    }

    fn free(&self) {
        std::fs::remove_file(self.path("filler")).expect("the filler");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.run("umount", &["--lazy"]);
    }
}

/// Requests of two clients while `run` runs: how many failed.
fn failed_requests(gateway: &Gateway, run: impl FnOnce()) -> u64 {
    let (stop, failed, served) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let _stop_guard = StopGuard(&stop);
        for _ in 0..2 {
            scope.spawn(|| {
                while !stop.load(SeqCst) {
                    let mut client = gateway.connect();
                    for _ in 0..50 {
                        let is_ok =
                            client.ask(&Request::get("/b")).is_ok_and(|response| response.status == 200);
                        if is_ok { &served } else { &failed }.fetch_add(1, SeqCst);
                        std::thread::sleep(Duration::from_millis(1));
                    }
                }
            });
        }
        run();
    });
    assert!(served.load(SeqCst) > 50, "{served:?}");
    failed.load(SeqCst)
}

fn history(gateway: &Gateway) -> (Option<bool>, Option<usize>) {
    let history = gateway.admin("/v1/history").json();
    (history["durable"].as_bool(), history["entries"].as_array().map(Vec::len))
}

/// A gateway whose history, and access log if asked, are on the disk; applies a change of the backend path.
struct Scene {
    gateway: Gateway,
    setup: Setup,
    new: Box<dyn Fn(&str) -> Value>,
}

impl Scene {
    fn new(origin: &Origin, more: Value) -> Scene {
        let port = origin.port();
        let setup = Setup::json(&document(port, "/ok", &more)).threads(2);
        let new = Box::new(move |path: &str| document(port, path, &more));
        Scene { gateway: Gateway::start(&setup), setup, new }
    }

    fn apply(&self, path: &str) -> Response {
        let request = Request::new("PUT", "/v1/config").body((self.new)(path).to_string());
        once(self.gateway.admin, &request).expect("a response")
    }
}

#[test]
fn a_full_disk_loses_neither_requests_nor_history() {
    let Some(disk) = Disk::mount() else { return };
    let (origin, log) = (Origin::hello(), disk.path("access.log"));
    let place = json!({ "DataDirectory": disk.path("data"), "AccessLog": { "File": &log } });
    let scene = Scene::new(&origin, place);
    let gateway = &scene.gateway;
    assert_eq!(history(gateway), (Some(true), Some(1)));
    let failed = failed_requests(gateway, || {
        disk.fill();
        assert_eq!(scene.apply("/one").status, 200);
        assert_eq!(history(gateway), (Some(false), Some(2)));
        for number in [1, 2] {
            let back = Request::new("POST", &format!("/v1/rollback/{number}"));
            let back = once(gateway.admin, &back).expect("a response");
            assert_eq!(back.status, 200, "{number}, from memory: {}", back.text());
        }
        let drops = || {
            let metrics = gateway.admin("/metrics").text();
            let dropped = metrics.lines().find(|line| line.starts_with("margay_access_log_dropped_total"));
            dropped.is_some_and(|line| !line.ends_with(" 0"))
        };
        assert!(becomes_true(WAIT_TIMEOUT, drops), "lines that do not fit are counted");
        disk.free();
        let length = || std::fs::metadata(&log).map_or(0, |file| file.len());
        let before = length();
        assert!(becomes_true(WAIT_TIMEOUT, || length() > before), "the log goes on");
        assert_eq!(scene.apply("/two").status, 200);
        assert_eq!(history(gateway).0, Some(true));
    });
    assert_eq!(failed, 0);
    let Scene { gateway, setup, .. } = scene;
    gateway.process.signal("KILL");
    drop(gateway);
    let gateway = Gateway::start(&setup);
    let again = once(gateway.admin, &Request::new("POST", "/v1/rollback/2")).expect("a response");
    assert_eq!(again.status, 200, "the texts of the full disk were written later: {}", again.text());
}

#[test]
fn a_read_only_disk_loses_neither_requests_nor_history() {
    let Some(disk) = Disk::mount() else { return };
    let origin = Origin::hello();
    let scene = Scene::new(&origin, json!({ "DataDirectory": disk.path("data") }));
    let failed = failed_requests(&scene.gateway, || {
        disk.set_writable(false);
        assert_eq!(scene.apply("/one").status, 200);
        assert_eq!(history(&scene.gateway), (Some(false), Some(2)));
        assert!(scene.gateway.process.stderr().contains("the history cannot be written"));
        disk.set_writable(true);
        assert_eq!(scene.apply("/two").status, 200);
        assert_eq!(history(&scene.gateway), (Some(true), Some(3)));
    });
    assert_eq!(failed, 0);
}
