//! From Detection to Prevention with the OWASP Core Rule Set: what `margay waf replay` proposes lets the benign requests of
//! the cases pass, and nothing on other paths.

use super::waf::{ATTACK, echo, log_lines, request};
use super::{document, over};
use crate::cli::margay;
use crate::support::client::Request;
use crate::support::gateway::{Gateway, Setup};
use crate::support::{announce, until};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

/// The directory of the rule set; a test without it reports that it skips.
fn rule_set() -> Option<String> {
    let rules = crate::cases::firewall_rules();
    if rules.is_none() {
        announce("skipped: no rule set at MARGAY_CRS or ../shared/crs-4.28.0");
    }
    rules
}

/// The different requests of the cases whose notes begin with `kind`.
fn requests(kind: &str) -> Vec<Request> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/waf.jsonl");
    let text = std::fs::read_to_string(path).expect("the cases");
    let cases = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let cases = cases.filter(|case| case["notes"].as_str().is_some_and(|notes| notes.starts_with(kind)));
    let (mut seen, mut found) = (BTreeSet::new(), Vec::new());
    for case in cases {
        for step in case["steps"].as_array().into_iter().flatten() {
            let description = &step["request"];
            if seen.insert(description.to_string()) {
                found.extend(read_request(description));
            }
        }
    }
    found
}

fn read_request(description: &Value) -> Option<Request> {
    let mut request = Request::new(description["method"].as_str()?, description["path"].as_str()?);
    for field in description["headers"].as_array()? {
        request = request.header(field[0].as_str()?, field[1].as_str()?);
    }
    match (&description["body"], &description["body_base64"]) {
        (Value::String(body), _) => Some(request.body(body)),
        (_, Value::String(encoded)) => Some(request.body(BASE64_STANDARD.decode(encoded).ok()?)),
        _ => description.get("chunks").is_none().then_some(request),
    }
}

fn gateway(port: u16, rules: &str, policy: &Value) -> Gateway {
    let rest = json!({
        "GlobalConfiguration": { "Waf": "p" },
        "WafPolicies": { "p": policy },
        "WafEngine": { "Rules": rules, "Log": "waf.log" }
    });
    Gateway::start(&Setup::json(&document(port, &json!({}), &rest)).threads(2))
}

/// The exclusions that are proposed for the log of a gateway.
fn proposals(gateway: &Gateway, arguments: &[&str]) -> Vec<Value> {
    let folder = gateway.config().parent().expect("a directory");
    let result = margay(folder, &[&["waf", "replay", "waf.log", "--json"], arguments].concat());
    assert_eq!(result.code, Some(0), "{}", result.stderr);
    serde_json::from_str(&result.stdout).expect("a list of exclusions")
}

/// Waits until no more lines are written.
fn wait_for_log(gateway: &Gateway) {
    let mut count = usize::MAX;
    until(Duration::from_secs(10), || {
        std::thread::sleep(Duration::from_millis(300));
        let now = log_lines(gateway).len();
        let is_stable = now == count;
        count = now;
        is_stable.then_some(())
    });
}

#[test]
fn the_proposed_exclusions_let_benign_requests_pass_and_nothing_elsewhere() {
    let Some(rules) = rule_set() else { return };
    let (origin, benign) = (echo(), requests("benign"));
    assert!(benign.len() >= 80, "{}", benign.len());
    let detection = gateway(origin.port(), &rules, &json!({ "Mode": "Detection" }));
    for request in &benign {
        assert_eq!(detection.ask(request).status, 200, "{} {}", request.method, request.target);
    }
    wait_for_log(&detection);
    assert_eq!(proposals(&detection, &[]), [] as [Value; 0], "one client proposes nothing");
    let exclusions = proposals(&detection, &["--min-clients", "1", "--min-requests", "1"]);
    let prevention = json!({ "Mode": "Prevention" });
    let stock = gateway(origin.port(), &rules, &prevention);
    let tuned = gateway(origin.port(), &rules, &over(prevention, &json!({ "Exclusions": exclusions })));
    let is_blocked = |gateway: &Gateway, request: &Request| gateway.ask(request).status != 200;
    let blocked = benign.iter().filter(|request| is_blocked(&stock, request)).count();
    announce(&format!(
        "firewall: {blocked} of {} benign requests blocked, {} exclusions",
        benign.len(),
        exclusions.len()
    ));
    assert!(blocked > 5, "the stock rules block some of them");
    let still: Vec<_> = benign.iter().filter(|request| is_blocked(&tuned, request)).collect();
    assert!(still.is_empty(), "{still:#?}");
    let mut compared = 0;
    for mut attack in requests("attack") {
        let (_, query) = attack.target.split_once('?').unwrap_or((&attack.target, ""));
        attack.target =
            if query.is_empty() { "/elsewhere".to_owned() } else { format!("/elsewhere?{query}") };
        if is_blocked(&stock, &attack) {
            compared += 1;
            assert!(is_blocked(&tuned, &attack), "{} {}", attack.method, attack.target);
        }
    }
    assert!(compared > 80, "{compared}");
}

#[test]
fn explain_marks_the_matched_text_and_has_the_exclusion() {
    let (origin, folder) = (echo(), tempfile::tempdir().expect("a directory"));
    let rest =
        json!({ "GlobalConfiguration": { "Waf": "Prevention" }, "WafEngine": { "Rules": "built-in" } });
    let text = document(origin.port(), &json!({}), &rest).to_string();
    std::fs::write(folder.path().join("gateway.json"), text).expect("write");
    let url = format!("http://shop.example/search?id={ATTACK}");
    let explained = margay(folder.path(), &["explain", "GET", &url]).stdout;
    assert!(explained.contains('«') && explained.contains('»'), "{explained}");
    assert!(explained.contains(r#""Variable":"RequestArgValues","Selector":"id""#), "{explained}");
    let body = [
        "--data",
        "password=x' OR 'hunter2'='hunter2",
        "-H",
        "Content-Type: application/x-www-form-urlencoded",
    ];
    let login =
        margay(folder.path(), &[&["explain", "POST", "http://shop.example/login"], &body[..]].concat());
    assert!(login.stdout.contains("matches form password \"***\""), "{}", login.stdout);
    assert!(!login.stdout.contains("hunter2") && !login.stderr.contains("hunter2"), "{}", login.stdout);
}

#[test]
fn a_rule_set_is_tried_and_installed() {
    let folder = tempfile::tempdir().expect("a directory");
    let built_in = margay(folder.path(), &["waf", "rules"]);
    assert!(built_in.code == Some(0) && !built_in.stdout.contains("decisions"), "{}", built_in.stdout);
    std::fs::create_dir_all(folder.path().join("weak/rules")).expect("a directory");
    let weak = "SecRule ARGS \"@contains evil\" \"id:942100,phase:2,deny\"\n";
    std::fs::write(folder.path().join("weak/rules/a.conf"), weak).expect("write");
    let tried = margay(folder.path(), &["waf", "rules", "--check", "weak"]);
    assert!(tried.code == Some(1) && tried.stdout.contains("passes, expected: blocked"), "{}", tried.stdout);
    let unknown = margay(folder.path(), &["waf", "fetch", "--release", "4.99.0", "--to", "crs"]);
    assert!(unknown.code == Some(1) && unknown.stderr.contains("pass --sha256"), "{}", unknown.stderr);
    let Some(rules) = rule_set() else { return };
    let tried = margay(folder.path(), &["waf", "rules", "--check", &rules]);
    assert_eq!(tried.code, Some(0), "{}", tried.stdout);
    // The rules of the release, packed as its project does.
    let packed = std::process::Command::new("tar")
        .args(["--transform", "s,^,coreruleset-4.28.0/,", "-C", &rules, "-czf"])
        .arg(folder.path().join("crs.tar.gz"))
        .args(["rules", "LICENSE"])
        .status();
    assert!(packed.expect("tar").success());
    let fetch = |release: &str| {
        margay(folder.path(), &["waf", "fetch", "--from", "crs.tar.gz", "--release", release, "--to", "crs"])
    };
    let other = fetch("4.27.0");
    assert!(other.stderr.contains("contains release 4.28.0, expected 4.27.0"), "{}", other.stderr);
    let installed = fetch("4.28.0");
    assert!(
        installed.code == Some(0) && installed.stdout.contains("installed: OWASP_CRS/4.28.0"),
        "{}",
        installed.stderr
    );
    assert!(fetch("4.28.0").stdout.contains("previous rules"));
}

#[test]
fn a_recorded_session_is_evaluated() {
    let (origin, folder) = (echo(), tempfile::tempdir().expect("a directory"));
    let rest =
        json!({ "GlobalConfiguration": { "Waf": "Prevention" }, "WafEngine": { "Rules": "built-in" } });
    let text = document(origin.port(), &json!({}), &rest).to_string();
    std::fs::write(folder.path().join("gateway.json"), text).expect("write");
    let entry = |target: &str| {
        let sent = request("GET", target);
        let headers: Vec<Value> =
            sent.headers.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect();
        json!({ "request": { "method": "GET", "url": format!("https://shop.example{target}"), "headers": headers } })
    };
    let session = json!({ "log": { "entries": [entry("/a"), entry(&format!("/search?id={ATTACK}"))] } });
    std::fs::write(folder.path().join("session.har"), session.to_string()).expect("write");
    let found = margay(folder.path(), &["waf", "replay", "--har", "session.har"]);
    assert_eq!(found.code, Some(1), "{}", found.stderr);
    assert!(
        found.stdout.contains("waf.blocked: 142") && found.stdout.ends_with("2 requests, 1 blocked\n"),
        "{}",
        found.stdout
    );
}
