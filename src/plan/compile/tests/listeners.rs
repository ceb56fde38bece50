//! TLS on listeners and to backends: the diagnostics of each error, and the settings of valid documents.

use super::route;
use crate::config::{Environment, InMemoryFiles};
use crate::net::tls::client::ClientTls;
use crate::net::tls::server::ServerTls;
use crate::net::tls::trust::TrustAnchors;
use crate::plan::blueprint::{Blueprint, HttpsRedirect, Listener};
use crate::plan::compile;
use crate::plan::document::load_texts;
use rcgen::KeyPair;
use std::collections::HashMap;
use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;

/// The files of the tests: two key pairs of one kind, one of another.
static FILES: LazyLock<HashMap<&str, String>> = LazyLock::new(|| {
    let certified = |names: [&str; 2], kind| {
        let key = KeyPair::generate_for(kind).unwrap();
        let params = rcgen::CertificateParams::new(names.map(str::to_owned)).unwrap();
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    };
    let (a, a_key) = certified(["a.test", "*.A.test"], &rcgen::PKCS_ECDSA_P256_SHA256);
    let (b, b_key) = certified(["b.test", "a.test"], &rcgen::PKCS_ECDSA_P256_SHA256);
    let (c, c_key) = certified(["a.test", "*.a.test"], &rcgen::PKCS_ED25519);
    let all =
        [("a.pem", a), ("a.key", a_key), ("b.pem", b), ("b.key", b_key), ("c.pem", c), ("c.key", c_key)];
    HashMap::from(all).into_iter().chain([("nonsense", "nonsense".to_owned())]).collect()
});

/// `code message` of all diagnostics of a listener, and the listener if it is valid.
fn read(listener: &str) -> (Vec<String>, Option<Listener>) {
    let text = format!(
        r#"{{ "Listeners": [{{ "Address": "127.0.0.1:443", {listener} }}], "Routes": [{}] }}"#,
        route("")
    );
    let (reported, blueprint) = compiled(&text);
    (reported, blueprint.map(|plan| plan.listeners[0].clone()))
}

/// `code message` of all diagnostics, and the blueprint of a valid document.
fn compiled(text: &str) -> (Vec<String>, Option<Blueprint>) {
    let texts = InMemoryFiles { files: &[("gateway.json", text)], ..InMemoryFiles::default() };
    let read = |path: &Path, _| {
        let found = path.to_str().and_then(|name| FILES.get(name));
        found.map(|text| text.clone().into_bytes()).ok_or(std::io::ErrorKind::NotFound.into())
    };
    let mut loaded = load_texts(&texts, Environment { variable: &|_| None, read: &read });
    let blueprint = compile(&mut loaded);
    let reported =
        loaded.diagnostics.sorted().into_iter().map(|d| format!("{} {}", d.code.0, d.message)).collect();
    (reported, blueprint)
}

fn tls(certificates: &[(&str, &str)], more: &str) -> String {
    let pair =
        |(chain, key): &(&str, &str)| format!(r#"{{ "CertificateFile": "{chain}", "KeyFile": "{key}" }}"#);
    let pairs: Vec<String> = certificates.iter().map(pair).collect();
    format!(r#""Tls": {{ "Certificates": [{}] {more} }}"#, pairs.join(", "))
}

fn valid(listener: &str) -> ServerTls {
    let (reported, listener) = read(listener);
    assert!(reported.is_empty(), "{reported:?}");
    listener.and_then(|listener| listener.tls).map(|tls| (*tls).clone()).unwrap()
}

/// The only diagnostic.
fn only_diagnostic(listener: &str) -> String {
    let (mut reported, listener) = read(listener);
    assert!(reported.len() == 1 && listener.is_none(), "{reported:?}");
    reported.remove(0)
}

#[test]
fn certificates_serve_their_own_names_or_the_configured_hosts() {
    let read = valid(&tls(&[("a.pem", "a.key")], ""));
    assert_eq!(read.certificates[0].server_names, ["a.test", "*.a.test"]);
    assert_eq!(
        (read.tls13_only, read.alpn, read.handshake),
        (false, vec!["h2".into(), "http/1.1".into()], Duration::from_secs(10))
    );
    let hosts = r#""Tls": { "MinVersion": "1.3", "Alpn": [], "HandshakeTimeout": "2s", "Certificates": [{ "Hosts": ["X.test"],
        "CertificateFile": "a.pem", "KeyFile": "a.key" }] }"#;
    let read = valid(hosts);
    assert_eq!(read.certificates[0].server_names, ["x.test"]);
    assert_eq!((read.tls13_only, read.alpn.len(), read.handshake), (true, 0, Duration::from_secs(2)));
}

#[test]
fn a_name_has_one_certificate_or_one_for_each_kind_of_key() {
    valid(&tls(&[("a.pem", "a.key"), ("c.pem", "c.key")], ""));
    let reported = only_diagnostic(&tls(&[("a.pem", "a.key"), ("b.pem", "b.key")], ""));
    assert_eq!(reported, r#"MG0623 "b.pem" and "a.pem" are both for a.test"#);
}

#[test]
fn invalid_certificate_and_key_files_are_reported() {
    for (chain, key, says) in [
        (
            "gone.pem",
            "a.key",
            r#"MG0620 CertificateFile: "gone.pem" cannot be read: no such file or directory"#,
        ),
        ("nonsense", "a.key", "MG0620 CertificateFile: it contains no certificate"),
        ("a.pem", "nonsense", "MG0620 KeyFile: it contains no private key in PEM (PKCS#8, SEC1 or PKCS#1)"),
        ("a.pem", "b.key", "MG0620 KeyFile: it is not the key of the certificate"),
    ] {
        assert_eq!(only_diagnostic(&tls(&[(chain, key)], "")), says);
    }
    assert_eq!(only_diagnostic(r#""Tls": {}"#), "MG0621 Tls has no Certificates");
    assert_eq!(read(r#""Tls": { "Certificates": [{}] }"#).0.len(), 2, "both files are missing");
}

#[test]
fn client_certificates_have_an_authority() {
    let with = |clients: &str| tls(&[("a.pem", "a.key")], &format!(r#", "ClientCertificates": {clients}"#));
    let clients = valid(&with(r#"{ "CaFile": "b.pem" }"#)).client_auth.unwrap();
    assert!(clients.required && !clients.forward_certificate);
    let clients =
        valid(&with(r#"{ "CaFile": "b.pem", "Mode": "optional", "Forward": true }"#)).client_auth.unwrap();
    assert!(!clients.required && clients.forward_certificate);
    assert_eq!(only_diagnostic(&with("{}")), "MG0620 CaFile is missing");
    assert_eq!(
        only_diagnostic(&with(r#"{ "CaFile": "nonsense" }"#)),
        "MG0620 CaFile: it contains no certificate"
    );
    let mode = only_diagnostic(&with(r#"{ "CaFile": "b.pem", "Mode": "Require" }"#));
    assert_eq!(mode, r#"MG0104 unknown Mode "Require" of ClientCertificates"#);
}

#[test]
fn versions_protocols_hosts_and_times_are_checked() {
    let with = |more: &str| only_diagnostic(&tls(&[("a.pem", "a.key")], &format!(", {more}")));
    assert_eq!(with(r#""MinVersion": "1.1""#), r#"MG0624 unsupported MinVersion "1.1""#);
    assert_eq!(with(r#""Alpn": ["spdy"]"#), r#"MG0625 unsupported protocol "spdy""#);
    assert_eq!(with(r#""HandshakeTimeout": "1ms""#), "MG0603 HandshakeTimeout is 1ms");
    let hosts = r#""Tls": { "Certificates": [{ "Hosts": ["a b"], "CertificateFile": "a.pem", "KeyFile": "a.key" }] }"#;
    assert_eq!(only_diagnostic(hosts), r#"MG0622 invalid certificate host "a b""#);
}

#[test]
fn strict_transport_security_is_one_field() {
    let strict = |settings: &str| {
        let listener =
            read(&tls(&[("a.pem", "a.key")], &format!(r#", "StrictTransportSecurity": {settings}"#)));
        listener.1.and_then(|listener| listener.hsts)
    };
    assert_eq!(strict("{}").as_deref(), Some("max-age=31536000"));
    let all = r#"{ "MaxAge": "730d", "IncludeSubDomains": true, "Preload": true }"#;
    assert_eq!(strict(all).as_deref(), Some("max-age=63072000; includeSubDomains; preload"));
    assert_eq!(strict(r#"{ "Preload": true }"#), None);
}

#[test]
fn a_redirect_has_a_port_and_no_tls() {
    let (reported, listener) = read(r#""RedirectToHttps": 443"#);
    let redirect = listener.and_then(|listener| listener.redirect);
    assert_eq!((reported.len(), redirect), (0, Some(HttpsRedirect { port: 443, hosts: None })));
    assert_eq!(only_diagnostic(r#""RedirectToHttps": 0"#), "MG0323 invalid RedirectToHttps port 0");
    let both = format!(r#"{}, "RedirectToHttps": 443"#, tls(&[("a.pem", "a.key")], ""));
    assert!(only_diagnostic(&both).starts_with("MG0626"));
}

#[test]
fn redirects_lead_to_the_hosts_of_the_certificates_unless_configured() {
    let hosts = |redirect: &str| {
        let secure = tls(&[("a.pem", "a.key")], "");
        let text = format!(
            r#"{{ "Listeners": [{{ "Address": "127.0.0.1:443", {secure} }},
            {{ "Address": "127.0.0.1:80", "RedirectToHttps": 443 {redirect} }}], "Routes": [{}] }}"#,
            route("")
        );
        let listener = compiled(&text).1.unwrap().listeners.pop().unwrap();
        listener.redirect.unwrap().hosts.unwrap().join(" ")
    };
    assert_eq!(hosts(""), "a.test *.a.test");
    assert_eq!(hosts(r#", "RedirectHosts": ["Gw.test", "*"]"#), "gw.test *");
    let bad = r#""RedirectToHttps": 443, "RedirectHosts": ["https://x"]"#;
    assert_eq!(only_diagnostic(bad), r#"MG0628 invalid host "https://x" in RedirectHosts"#);
    let alone = only_diagnostic(r#""RedirectHosts": ["*"]"#);
    assert_eq!(alone, "MG0628 RedirectHosts has no effect without RedirectToHttps");
}

/// `code message` of all diagnostics of a route to https with these options, and its TLS settings.
fn backend(options: &str) -> (Vec<String>, Option<ClientTls>) {
    let settings = format!(r#""DownstreamScheme": "https", "TlsOptions": {options}"#);
    let text = format!(
        r#"{{ "Routes": [{}], "GlobalConfiguration": {{ "TlsOptions": {{ "CaFile": "a.pem" }} }} }}"#,
        route(&settings)
    );
    let (reported, blueprint) = compiled(&text);
    (reported, blueprint.map(|plan| plan.routes[0].cluster.tls.clone()))
}

#[test]
fn backends_have_their_own_trust_anchors_server_name_and_client_certificate() {
    let (reported, tls) =
        backend(r#"{ "CertificateFile": "b.pem", "KeyFile": "b.key", "ServerName": "orders" }"#);
    let tls = tls.unwrap_or_else(|| panic!("{reported:?}"));
    assert!(
        matches!(&tls.trust, TrustAnchors::Custom(pem) if **pem == *FILES["a.pem"].as_bytes()),
        "inherited"
    );
    assert_eq!((tls.client_certificate.is_some(), tls.name.as_deref()), (true, Some("orders")));
    for (options, says) in [
        (r#"{ "CaFile": "nonsense" }"#, "MG0620 CaFile: it contains no certificate"),
        (r#"{ "KeyFile": "b.key" }"#, "MG0461 CertificateFile and KeyFile must be set together"),
        (
            r#"{ "CertificateFile": "a.pem", "KeyFile": "b.key" }"#,
            "MG0620 KeyFile: it is not the key of the certificate",
        ),
        (r#"{ "ServerName": "https://x" }"#, r#"MG0462 invalid ServerName "https://x""#),
    ] {
        assert_eq!(backend(options).0, [says]);
    }
    let any = r#"{ "CaFile": "b.pem" }, "DangerousAcceptAnyServerCertificateValidator": true"#;
    assert!(backend(any).0.iter().any(|reported| reported.starts_with("MG0461")));
    let plain = format!(
        r#"{{ "Routes": [{}] }}"#,
        route(r#""DownstreamScheme": "http", "TlsOptions": { "ServerName": "x" }"#)
    );
    assert!(compiled(&plain).0[0].starts_with("MG0463"));
}
