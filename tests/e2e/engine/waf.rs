//! The web application firewall on a socket, with the built-in rules.

use super::document;
use crate::support::client::{Body, Request};
use crate::support::gateway::Gateway;
use crate::support::origin::Origin;
use crate::support::stub_backend::StubResponse;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

pub const ATTACK: &str = "7%27%20UNION%20SELECT%20login%2C%20secret%20FROM%20accounts--%20-";

/// A gateway whose requests are inspected by this policy.
pub fn inspected(port: u16, policy: &Value) -> Gateway {
    let rest = json!({
        "GlobalConfiguration": { "Waf": "p" },
        "WafPolicies": { "p": policy },
        "WafEngine": { "Rules": "built-in", "Log": "waf.log" }
    });
    Gateway::with(&document(port, &json!({}), &rest))
}

pub fn prevention() -> Value {
    json!({ "Mode": "Prevention" })
}

pub fn echo() -> Origin {
    Origin::with(|seen| StubResponse::new(200, &seen.body))
}

/// A request of an ordinary client.
pub fn request(method: &str, target: &str) -> Request {
    Request::new(method, target)
        .header("Host", "shop.example")
        .header("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0")
        .header("Accept", "*/*")
}

/// The lines of the log, once there is one.
pub fn log_lines(gateway: &Gateway) -> Vec<String> {
    let path = gateway.config().with_file_name("waf.log");
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        if !text.is_empty() || Instant::now() > deadline {
            return text.lines().map(str::to_owned).collect();
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn an_attack_is_blocked_and_other_requests_pass() {
    let origin = echo();
    let gateway = inspected(origin.port(), &prevention());
    let blocked = gateway.ask(&request("GET", &format!("/search?id={ATTACK}")));
    assert_eq!((blocked.status, origin.calls()), (403, 0));
    assert!(blocked.text().contains("waf.blocked") && !blocked.text().contains("142"), "{}", blocked.text());
    assert_eq!(gateway.ask(&request("GET", "/search?id=7")).status, 200);
    let form = request("POST", "/form").header("Content-Type", "application/x-www-form-urlencoded");
    assert_eq!(gateway.ask(&form.clone().body("name=Ann")).text(), "name=Ann");
    assert_eq!(gateway.ask(&form.body(format!("id={ATTACK}"))).status, 403);
}

#[test]
fn a_keyword_that_is_split_over_chunks_is_found() {
    let origin = echo();
    let gateway = inspected(origin.port(), &prevention());
    let mut split = request("POST", "/api").header("Content-Type", "application/json");
    let body = r#"{"q": "<script>alert(1)</script>"}"#;
    split.body = Body::Chunks(body.bytes().map(|byte| vec![byte]).collect(), Vec::new());
    assert_eq!((gateway.ask(&split).status, origin.calls()), (403, 0));
}

pub fn multipart(file: &[u8], field: &str) -> Vec<u8> {
    let head = b"--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a.bin\"\r\nContent-Type: \
                 application/octet-stream\r\n\r\n";
    let tail = format!("\r\n--b\r\nContent-Disposition: form-data; name=\"q\"\r\n\r\n{field}\r\n--b--\r\n");
    [&head[..], file, tail.as_bytes()].concat()
}

#[test]
fn a_field_behind_a_large_file_is_inspected_and_the_upload_never_completes() {
    let origin = echo();
    let gateway = inspected(origin.port(), &prevention());
    let upload = request("POST", "/upload").header("Content-Type", "multipart/form-data; boundary=b");
    let file = vec![b'x'; 20 << 20];
    let benign = gateway.ask(&upload.clone().body(multipart(&file, "hello")));
    assert_eq!((benign.status, origin.seen()[0].length), (200, multipart(&file, "hello").len() as u64));
    origin.forget();
    let blocked = gateway.ask(&upload.body(multipart(&file, "<script>alert(1)</script>")));
    assert_eq!((blocked.status, origin.seen().len()), (403, 0));
}

#[test]
fn a_malformed_body_and_one_that_is_too_long_are_rejected() {
    let origin = echo();
    let gateway = inspected(origin.port(), &prevention());
    let json = request("POST", "/api").header("Content-Type", "application/json");
    assert_eq!(gateway.ask(&json.clone().body("{\"a\": ")).status, 400);
    assert_eq!(gateway.ask(&json.body(format!("\"{}\"", "x".repeat(200_000)))).status, 413);
    assert_eq!(origin.calls(), 0);
}

#[test]
fn detection_logs_and_forwards() {
    let origin = echo();
    let gateway = inspected(origin.port(), &json!({ "Mode": "Detection" }));
    assert_eq!(gateway.ask(&request("GET", &format!("/search?id={ATTACK}"))).status, 200);
    let lines = log_lines(&gateway);
    let line: Value = serde_json::from_str(&lines[0]).unwrap();
    assert_eq!((line["action"].as_str(), line["mode"].as_str()), (Some("detected"), Some("Detection")));
    assert!(line["matches"].as_array().unwrap().iter().any(|found| found["part"] == "query id"), "{line}");
}

#[test]
fn the_log_names_the_listener() {
    let origin = echo();
    let gateway = inspected(origin.port(), &json!({ "Mode": "Detection" }));
    gateway.ask(&request("GET", &format!("/search?id={ATTACK}")));
    let line: Value = serde_json::from_str(&log_lines(&gateway)[0]).unwrap();
    assert_eq!(line["listener"], "--listen 1");
}

#[test]
fn a_custom_rule_reads_a_field_behind_a_relayed_file() {
    let origin = echo();
    let rule = json!({
        "Name": "q", "Priority": 1, "Action": "Block", "Status": 404,
        "Conditions": [{ "Variables": ["PostArgs:q"], "Operator": "Equal", "Values": ["no"] }]
    });
    let gateway = inspected(origin.port(), &json!({ "Mode": "Prevention", "CustomRules": [rule] }));
    let upload = request("POST", "/upload").header("Content-Type", "multipart/form-data; boundary=b");
    let file = vec![b'x'; 1 << 20];
    assert_eq!(gateway.ask(&upload.clone().body(multipart(&file, "yes"))).status, 200);
    origin.forget();
    let blocked = gateway.ask(&upload.body(multipart(&file, "no")));
    assert_eq!((blocked.status, origin.seen().len()), (404, 0));
}

#[test]
fn secrets_are_not_logged() {
    let origin = echo();
    let gateway = inspected(origin.port(), &json!({ "Mode": "Detection" }));
    let attack = "x%27%20OR%201=1--%20hunter2";
    let sent = request("POST", &format!("/login?token={attack}"))
        .header("Cookie", "session=' OR 'hunter2'='hunter2")
        .header("Authorization", "Basic ' OR 'hunter2'='hunter2")
        .header("Content-Type", "application/x-www-form-urlencoded");
    gateway.ask(&sent.body(format!("password={attack}")));
    let lines = log_lines(&gateway);
    assert!(!lines.is_empty() && lines.iter().all(|line| !line.contains("hunter2")), "{lines:?}");
    let metrics = gateway.admin("/metrics").text();
    assert!(metrics.contains("margay_waf_requests_total") && !metrics.contains("hunter2"));
}

#[test]
fn a_long_request_is_evaluated_on_the_pool() {
    let origin = echo();
    let gateway = inspected(origin.port(), &prevention());
    let members: Vec<String> = (0..500).map(|n| format!("\"m{n}\":\"value {n}\"")).collect();
    let json = request("POST", "/api").header("Content-Type", "application/json");
    assert_eq!(gateway.ask(&json.clone().body(format!("{{{}}}", members.join(",")))).status, 200);
    let attack = format!("{{{},\"q\":\"<script>alert(1)</script>\"}}", members.join(","));
    assert_eq!(gateway.ask(&json.body(attack)).status, 403);
}

#[test]
fn a_response_with_an_error_message_of_a_database_is_replaced() {
    let origin = Origin::with(|seen| {
        let body = if seen.path == "/broken" { "ORA-00933: SQL command not properly ended" } else { "fine" };
        StubResponse::new(200, body).header("Content-Type", "text/plain")
    });
    let policy = json!({ "Mode": "Prevention", "ResponseBody": { "Inspect": true } });
    let gateway = inspected(origin.port(), &policy);
    let blocked = gateway.ask(&request("GET", "/broken"));
    assert!(blocked.status == 502 && blocked.text().contains("waf.response"), "{}", blocked.text());
    assert!(!blocked.text().contains("ORA-"));
    assert_eq!(gateway.ask(&request("GET", "/other")).text(), "fine");
    let without = inspected(origin.port(), &prevention());
    assert!(without.ask(&request("GET", "/broken")).text().contains("ORA-"));
}

#[test]
fn the_access_log_has_rule_and_part_of_each_match() {
    let origin = echo();
    let rest = json!({
        "AccessLog": { "File": "access.log" },
        "GlobalConfiguration": { "Waf": "Prevention" },
        "WafEngine": { "Rules": "built-in", "Log": "off" }
    });
    let gateway = Gateway::with(&document(origin.port(), &json!({}), &rest));
    gateway.ask(&request("GET", "/plain"));
    gateway.ask(&request("GET", &format!("/search?id={ATTACK}")));
    let path = gateway.config().with_file_name("access.log");
    let deadline = Instant::now() + Duration::from_secs(5);
    let lines = loop {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        if text.lines().count() >= 2 || Instant::now() > deadline {
            break text;
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    let entries: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(entries[0]["waf"], Value::Null);
    let found = &entries[1]["waf"];
    assert_eq!((&found["policy"], &found["action"]), (&"Prevention".into(), &"blocked".into()));
    let part = json!({ "rule": "142100", "part": "query id" });
    assert!(found["matches"].as_array().unwrap().contains(&part), "{found}");
}
