//! Every page of the OpenAPI document, with and without credentials, by role, method, host and origin. A new page is
//! covered without a change here.

use super::{super::*, Pages};
use crate::pipeline::client_certificate::{CertificateInfo, ClientCertificate};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::{fmt::Write, sync::Arc};

const METHODS: [&str; 7] = ["GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS", "PATCH"];

/// Every operation: the method and the path, with a value for each placeholder.
fn operations() -> Vec<(String, String)> {
    let document: Value = serde_json::from_str(openapi_document()).unwrap();
    let mut all = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        let target: String = path.split('/').skip(1).fold(String::new(), |mut target, segment| {
            let value = if segment.starts_with('{') { "1" } else { segment };
            let _ = write!(target, "/{value}");
            target
        });
        for method in
            item.as_object().unwrap().keys().filter(|key| METHODS.contains(&key.to_uppercase().as_str()))
        {
            all.push((method.to_uppercase(), target.clone()));
        }
    }
    assert!(all.len() >= 8, "{all:?}");
    all
}

fn hash(token: &str) -> String {
    Sha256::digest(token.as_bytes()).iter().fold("sha256:".to_owned(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Two tokens with the role `read`, one with the role `write`.
fn with_tokens(access: Access) -> Pages {
    let token = |name: &str, role: &str| json!({ "Name": name, "Hash": hash(name), "Role": role });
    let tokens = [token("reader", "read"), token("other-reader", "read"), token("writer", "write")];
    Pages::new(access, &json!({ "Tokens": tokens }))
}

fn code(body: &str) -> String {
    let problem: Value = serde_json::from_str(body).unwrap_or_default();
    problem["code"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn every_operation_requires_a_token_where_tokens_are_configured() {
    for access in [Access::Local, Access::Remote] {
        let pages = with_tokens(access);
        for (method, target) in operations() {
            for authorization in [None, Some("Bearer wrong"), Some("Basic reader"), Some("Bearer writerr")] {
                let fields = authorization.map(|value| ("Authorization", value));
                let fields: Vec<_> = fields.into_iter().chain([("Host", "localhost")]).collect();
                let (status, _, _, body) = pages.request(&method, &target, &fields);
                assert_eq!((status, code(&body).as_str()), (401, "admin.token"), "{method} {target}");
            }
        }
        assert!(pages.gateway.metrics().render().contains("margay_errors_total{code=\"admin.token\"}"));
    }
}

#[test]
fn every_operation_is_open_on_a_remote_address_with_credentials_only() {
    let pages = Pages::new(Access::Remote, &json!({}));
    for (method, target) in operations() {
        assert_eq!(pages.request(&method, &target, &[("Host", "localhost")]).0, 401, "{method} {target}");
    }
}

#[test]
fn the_role_read_gets_every_page_and_changes_nothing() {
    let pages = with_tokens(Access::Remote);
    for (method, target) in operations() {
        for reader in ["Bearer reader", "bearer other-reader"] {
            let fields = [("Authorization", reader), ("Host", "gw.internal:8081")];
            let (status, _, _, body) = pages.request(&method, &target, &fields);
            let is_rejected = (status, code(&body).as_str()) == (403, "admin.role");
            assert_eq!(is_rejected, method != "GET", "{method} {target}: {status} {body}");
            assert_ne!(status, 401, "{method} {target}");
        }
    }
}

#[test]
fn the_role_write_may_use_every_operation() {
    let pages = with_tokens(Access::Remote);
    for (method, target) in operations() {
        let (status, _, _, body) = pages.request(&method, &target, &[("Authorization", "Bearer writer")]);
        assert!(status != 401 && status != 403 && status != 405, "{method} {target}: {status} {body}");
    }
}

#[test]
fn a_certificate_is_a_credential_where_certificates_are_verified_only() {
    let certificate = |common_name: &str| {
        let info = CertificateInfo { subject: format!("CN={common_name}"), ..CertificateInfo::default() };
        Some(Arc::new(ClientCertificate::new(info, String::new(), String::new())))
    };
    let pages = Pages { certificate: certificate("robot"), ..with_tokens(Access::Remote) };
    for (method, target) in operations() {
        assert_eq!(pages.request(&method, &target, &[("Host", "localhost")]).0, 401, "{method} {target}");
    }
}

#[test]
fn every_operation_rejects_names_and_web_pages_of_other_sites() {
    let pages = Pages::local();
    for (method, target) in operations() {
        let is_probed = ["/live", "/ready", "/metrics"].contains(&target.as_str());
        for (fields, expected) in [
            (&[("Host", "evil.test:8081")][..], "admin.host"),
            (&[("Host", "localhost:8081"), ("Origin", "http://evil.test")], "admin.origin"),
            (&[("Host", "localhost:8081"), ("Origin", "null")], "admin.origin"),
            (&[("Host", "[::1]:8081"), ("Sec-Fetch-Site", "cross-site")], "admin.origin"),
        ] {
            let (status, _, _, body) = pages.request(&method, &target, fields);
            let is_rejected = (status, code(&body).as_str()) == (403, expected);
            assert_eq!(is_rejected, !is_probed, "{method} {target} {fields:?}: {status}");
        }
    }
}

#[test]
fn every_path_rejects_the_methods_that_it_does_not_have() {
    let (pages, all) = (Pages::local(), operations());
    for (_, target) in &all {
        for method in METHODS {
            let has = |method: &str| all.iter().any(|(known, path)| path == target && known == method);
            let is_known = has(method) || (method == "HEAD" && has("GET"));
            let (status, _, allow, _) = pages.request(method, target, &[("Host", "localhost")]);
            assert_eq!(status == 405, !is_known, "{method} {target}: {status}");
            assert_eq!(!allow.is_empty(), !is_known, "{method} {target}: {allow}");
        }
    }
}

#[test]
fn every_operation_is_described() {
    let document: Value = serde_json::from_str(openapi_document()).unwrap();
    assert!(document["openapi"].as_str().is_some_and(|version| version.starts_with("3.1")));
    let mut ids = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let at = format!("{method} {path}");
            assert!(operation["summary"].as_str().is_some_and(|text| !text.is_empty()), "{at}");
            assert!(operation["responses"]["401"].is_object(), "{at}");
            let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
            let names: Vec<_> =
                parameters.iter().filter(|one| one["in"] == "path").map(|one| one["name"].clone()).collect();
            assert_eq!(path.matches('{').count(), names.len(), "{at}: {names:?}");
            ids.push(operation["operationId"].as_str().unwrap().to_owned());
        }
    }
    let count = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), count, "operation ids are unique");
}
