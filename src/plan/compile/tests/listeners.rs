//! TLS on listeners and to services: what is said of each mistake, and what sound ones come to.

use super::route;
use crate::config::{Environment, InMemoryFiles};
use crate::net::tls::client::ClientTls;
use crate::net::tls::server::ServerTls;
use crate::net::tls::trust::TrustAnchors;
use crate::plan::blueprint::{Blueprint, Listener};
use crate::plan::compile;
use crate::plan::document::load_texts;
use rcgen::KeyPair;
use std::collections::HashMap;
use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;

/// The files that there are: two pairs of keys of one kind, one of another.
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

/// `code message` of all that is said of a listener, and the listener where it is sound.
fn read(listener: &str) -> (Vec<String>, Option<Listener>) {
    let text = format!(
        r#"{{ "Listeners": [{{ "Address": "127.0.0.1:443", {listener} }}], "Routes": [{}] }}"#,
        route("")
    );
    let (said, blueprint) = compiled(&text);
    (said, blueprint.map(|plan| plan.listeners[0].clone()))
}

/// `code message` of all that is said, and the blueprint of a sound document.
fn compiled(text: &str) -> (Vec<String>, Option<Blueprint>) {
    let texts = InMemoryFiles { files: &[("gateway.json", text)], ..InMemoryFiles::default() };
    let read = |path: &Path, _| {
        let found = path.to_str().and_then(|name| FILES.get(name));
        found.map(|text| text.clone().into_bytes()).ok_or(std::io::ErrorKind::NotFound.into())
    };
    let mut loaded = load_texts(&texts, Environment { variable: &|_| None, read: &read });
    let blueprint = compile(&mut loaded);
    let said =
        loaded.diagnostics.sorted().into_iter().map(|d| format!("{} {}", d.code.0, d.message)).collect();
    (said, blueprint)
}

fn tls(certificates: &[(&str, &str)], more: &str) -> String {
    let pair =
        |(chain, key): &(&str, &str)| format!(r#"{{ "CertificateFile": "{chain}", "KeyFile": "{key}" }}"#);
    let pairs: Vec<String> = certificates.iter().map(pair).collect();
    format!(r#""Tls": {{ "Certificates": [{}] {more} }}"#, pairs.join(", "))
}

fn sound(listener: &str) -> ServerTls {
    let (said, listener) = read(listener);
    assert!(said.is_empty(), "{said:?}");
    listener.and_then(|listener| listener.tls).map(|tls| (*tls.server).clone()).unwrap()
}

/// The only thing that is said.
fn wrong(listener: &str) -> String {
    let (mut said, listener) = read(listener);
    assert!(said.len() == 1 && listener.is_none(), "{said:?}");
    said.remove(0)
}

#[test]
fn certificates_serve_the_names_in_them_or_those_that_are_written() {
    let read = sound(&tls(&[("a.pem", "a.key")], ""));
    assert_eq!(read.certificates[0].server_names, ["a.test", "*.a.test"]);
    assert_eq!(
        (read.tls13_only, read.alpn, read.handshake),
        (false, vec!["h2".into(), "http/1.1".into()], Duration::from_secs(10))
    );
    let hosts = r#""Tls": { "MinVersion": "1.3", "Alpn": [], "HandshakeTimeout": "2s", "Certificates": [{ "Hosts": ["X.test"],
        "CertificateFile": "a.pem", "KeyFile": "a.key" }] }"#;
    let read = sound(hosts);
    assert_eq!(read.certificates[0].server_names, ["x.test"]);
    assert_eq!((read.tls13_only, read.alpn.len(), read.handshake), (true, 0, Duration::from_secs(2)));
}

#[test]
fn a_name_has_one_certificate_or_one_for_each_kind_of_key() {
    sound(&tls(&[("a.pem", "a.key"), ("c.pem", "c.key")], ""));
    let said = wrong(&tls(&[("a.pem", "a.key"), ("b.pem", "b.key")], ""));
    assert_eq!(said, r#"MG0623 "b.pem" and "a.pem" are both for a.test"#);
}

#[test]
fn files_that_are_no_certificates_or_keys_are_told() {
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
        assert_eq!(wrong(&tls(&[(chain, key)], "")), says);
    }
    assert_eq!(wrong(r#""Tls": {}"#), "MG0621 Tls has no Certificates");
    assert_eq!(read(r#""Tls": { "Certificates": [{}] }"#).0.len(), 2, "both files are missing");
}

#[test]
fn clients_show_certificates_of_an_authority() {
    let with = |clients: &str| tls(&[("a.pem", "a.key")], &format!(r#", "ClientCertificates": {clients}"#));
    let clients = sound(&with(r#"{ "CaFile": "b.pem" }"#)).client_auth.unwrap();
    assert!(clients.required && !clients.forward_certificate);
    let clients =
        sound(&with(r#"{ "CaFile": "b.pem", "Mode": "optional", "Forward": true }"#)).client_auth.unwrap();
    assert!(!clients.required && clients.forward_certificate);
    assert_eq!(wrong(&with("{}")), "MG0620 CaFile is missing");
    assert_eq!(wrong(&with(r#"{ "CaFile": "nonsense" }"#)), "MG0620 CaFile: it contains no certificate");
    let mode = wrong(&with(r#"{ "CaFile": "b.pem", "Mode": "Require" }"#));
    assert_eq!(mode, r#"MG0104 there is no Mode "Require" of ClientCertificates"#);
}

#[test]
fn versions_protocols_hosts_and_times_are_checked() {
    let with = |more: &str| wrong(&tls(&[("a.pem", "a.key")], &format!(", {more}")));
    assert_eq!(with(r#""MinVersion": "1.1""#), r#"MG0624 MinVersion "1.1" is not spoken"#);
    assert_eq!(with(r#""Alpn": ["spdy"]"#), r#"MG0625 "spdy" cannot be offered"#);
    assert_eq!(with(r#""HandshakeTimeout": "1ms""#), "MG0603 HandshakeTimeout is 1ms");
    let hosts = r#""Tls": { "Certificates": [{ "Hosts": ["a b"], "CertificateFile": "a.pem", "KeyFile": "a.key" }] }"#;
    assert_eq!(wrong(hosts), r#"MG0622 "a b" is not a host that a certificate can be shown for"#);
}

#[test]
fn what_browsers_remember_is_one_field() {
    let strict = |written: &str| {
        let listener =
            read(&tls(&[("a.pem", "a.key")], &format!(r#", "StrictTransportSecurity": {written}"#)));
        listener.1.and_then(|listener| listener.tls?.hsts)
    };
    assert_eq!(strict("{}").as_deref(), Some("max-age=31536000"));
    let all = r#"{ "MaxAge": "730d", "IncludeSubDomains": true, "Preload": true }"#;
    assert_eq!(strict(all).as_deref(), Some("max-age=63072000; includeSubDomains; preload"));
    assert_eq!(strict(r#"{ "Preload": true }"#), None);
}

#[test]
fn a_redirect_has_a_port_and_no_tls() {
    let (said, listener) = read(r#""RedirectToHttps": 443"#);
    assert_eq!((said.len(), listener.and_then(|listener| listener.redirect)), (0, Some(443)));
    assert_eq!(wrong(r#""RedirectToHttps": 0"#), "MG0323 RedirectToHttps 0 is no port");
    let both = format!(r#"{}, "RedirectToHttps": 443"#, tls(&[("a.pem", "a.key")], ""));
    assert!(wrong(&both).starts_with("MG0626"));
}

/// `code message` of all that is said of a route to https with these options, and what it comes to.
fn backend(options: &str) -> (Vec<String>, Option<ClientTls>) {
    let written = format!(r#""DownstreamScheme": "https", "TlsOptions": {options}"#);
    let text = format!(
        r#"{{ "Routes": [{}], "GlobalConfiguration": {{ "TlsOptions": {{ "CaFile": "a.pem" }} }} }}"#,
        route(&written)
    );
    let (said, blueprint) = compiled(&text);
    (said, blueprint.map(|plan| plan.routes[0].cluster.tls.clone()))
}

#[test]
fn services_have_their_own_authorities_and_names_and_are_shown_certificates() {
    let (said, tls) =
        backend(r#"{ "CertificateFile": "b.pem", "KeyFile": "b.key", "ServerName": "orders" }"#);
    let tls = tls.unwrap_or_else(|| panic!("{said:?}"));
    assert!(
        matches!(&tls.trust, TrustAnchors::Custom(pem) if **pem == *FILES["a.pem"].as_bytes()),
        "inherited"
    );
    assert_eq!((tls.client_certificate.is_some(), tls.name.as_deref()), (true, Some("orders")));
    for (options, says) in [
        (r#"{ "CaFile": "nonsense" }"#, "MG0620 CaFile: it contains no certificate"),
        (
            r#"{ "KeyFile": "b.key" }"#,
            "MG0461 CertificateFile and KeyFile belong together, and one of them is missing",
        ),
        (
            r#"{ "CertificateFile": "a.pem", "KeyFile": "b.key" }"#,
            "MG0620 KeyFile: it is not the key of the certificate",
        ),
        (r#"{ "ServerName": "https://x" }"#, r#"MG0462 ServerName "https://x" is no name of a certificate"#),
    ] {
        assert_eq!(backend(options).0, [says]);
    }
    let any = r#"{ "CaFile": "b.pem" }, "DangerousAcceptAnyServerCertificateValidator": true"#;
    assert!(backend(any).0.iter().any(|said| said.starts_with("MG0461")));
    let plain = format!(
        r#"{{ "Routes": [{}] }}"#,
        route(r#""DownstreamScheme": "http", "TlsOptions": { "ServerName": "x" }"#)
    );
    assert!(compiled(&plain).0[0].starts_with("MG0463"));
}
