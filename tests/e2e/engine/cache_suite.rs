//! The public suite of cache tests from npm (`http-cache-tests`), against a route with `"Mode": "Http"`. It is
//! installed once, below `target/`; `tests/cache-suite.toml` contains the minimum of passing tests.

use super::document;
use crate::support::gateway::{Gateway, Setup};
use crate::support::{announce, ports};
use serde::Deserialize;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// The required number of passing tests.
#[derive(Deserialize)]
struct MinimumCounts {
    version: String,
    required: u64,
    optimal: u64,
}

/// Prints how many tests of each kind exist and pass, and the failing ones.
const COUNT: &str = r"
import fs from 'fs'
const { default: suites } = await import(process.argv[1] + '/tests/index.mjs')
const { determineTestResult } = await import(process.argv[1] + '/lib/display.mjs')
const results = JSON.parse(fs.readFileSync(process.argv[2], 'utf8'))
const counts = { required: [0, 0, []], optimal: [0, 0, []], check: [0, 0, []] }
for (const test of suites.flatMap(suite => suite.tests).filter(test => !test.browser_only)) {
  const kind = counts[test.kind || 'required']
  const passes = ['\u2705', 'Y'].includes(determineTestResult(suites, test.id, results)[2])
  kind[0] += passes
  kind[1] += 1
  if (!passes) kind[2].push(test.id)
}
console.log(JSON.stringify(counts))
";

/// Kills the child process when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The folder of the installed suite.
fn suite(version: &str) -> PathBuf {
    let home =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("target").join(format!("http-cache-tests-{version}"));
    let package = home.join("node_modules/http-cache-tests");
    if !package.join("cli.mjs").exists() {
        std::fs::create_dir_all(&home).expect("a directory below target");
        let package = format!("http-cache-tests@{version}");
        let arguments = ["install", "--no-audit", "--no-fund", "--ignore-scripts", "--omit=dev", &package];
        let installed = Command::new("npm").args(arguments).current_dir(&home).output();
        let installed = installed.expect("npm is there: .ci/need npm");
        assert!(installed.status.success(), "{}", String::from_utf8_lossy(&installed.stderr));
    }
    package
}

fn node(package: &Path, script: &str, port: u16, base: &str) -> Command {
    let mut command = Command::new("node");
    command.args(["--no-warnings", script]).current_dir(package);
    let pid = package.join(format!("server-{port}.pid"));
    command.env("npm_config_pidfile", pid).env("npm_config_port", port.to_string());
    command.env("npm_config_protocol", "http").env("npm_config_base", base);
    command.env("npm_config_id", "").env("npm_package_config_id", "");
    command
}

fn run(package: &Path) -> Value {
    let port = ports::free();
    let server =
        node(package, "server/server.mjs", port, "").stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let _server = Running(server.expect("node is there: .ci/need node"));
    let wait = || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok();
    assert!(crate::support::becomes_true(Duration::from_secs(20), wait), "the suite's server does not start");
    let route = document(port, &json!({ "CacheOptions": { "Mode": "Http" } }), &json!({}));
    let gateway = Gateway::start(&Setup::json(&route).threads(2));
    let results_json =
        node(package, "cli.mjs", port, &format!("http://{}", gateway.address)).output().expect("node runs");
    let results = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(results.path(), &results_json.stdout).expect("write the results");
    let count = Command::new("node")
        .args(["--no-warnings", "--input-type=module", "-e", COUNT])
        .args([package, results.path()])
        .output()
        .expect("node runs");
    let counts = serde_json::from_slice(&count.stdout);
    counts.unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&count.stderr)))
}

#[test]
fn the_public_cache_test_suite_has_no_new_failures() {
    let text = include_str!("../../cache-suite.toml");
    let minimum: MinimumCounts = toml::from_str(text).expect("tests/cache-suite.toml");
    let package = suite(&minimum.version);
    let passed = |counts: &Value, kind: &str| counts[kind][0].as_u64().unwrap_or(0);
    let is_enough = |counts: &Value| {
        passed(counts, "required") >= minimum.required && passed(counts, "optimal") >= minimum.optimal
    };
    let mut counts = run(&package);
    if !is_enough(&counts) {
        // Its tests wait for seconds of age; on a loaded machine some of them come too late.
        announce(&format!("cache suite: again, after {counts}"));
        counts = run(&package);
    }
    announce(&format!(
        "cache suite: {} of {} required, {} of {} optimal pass; not: {} {}",
        counts["required"][0],
        counts["required"][1],
        counts["optimal"][0],
        counts["optimal"][1],
        counts["required"][2],
        counts["optimal"][2],
    ));
    assert!(is_enough(&counts), "{counts}");
}
