//! The environment of a case: its backends, its ports, the gateway.

use super::case::Case;
use super::tokens::Ports;
use crate::support::gateway::{Gateway, Setup};
use crate::support::origin::{Origin, Seen};
use crate::support::ports::Closed;
use crate::support::process::Ended;
use crate::support::stub_backend::Stub;
use crate::support::tls::self_signed;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// The backends of one case.
pub struct Environment {
    pub ports: Ports,
    pub origins: BTreeMap<String, Origin>,
    _closed: Vec<Closed>,
}

impl Environment {
    pub fn new(case: &Case) -> Environment {
        let mut environment =
            Environment { ports: Ports::default(), origins: BTreeMap::new(), _closed: Vec::new() };
        for token in Ports::tokens(&case.all.to_string()) {
            let port = if token.starts_with("CLOSED") {
                environment._closed.push(Closed::reserve());
                environment._closed.last().expect("just pushed").port
            } else {
                environment.origins.entry(token.clone()).or_insert_with(|| service(case, &token)).port()
            };
            environment.ports.0.insert(token, port);
        }
        for stub in case.list("downstream") {
            environment.set_stub(stub);
        }
        environment
    }

    pub fn set_stub(&self, stub: &Value) {
        let token = stub["port"].as_str().expect("a stub has a port");
        self.origins[token].set_stub(Stub::read(&self.ports.fill(stub)));
    }

    pub fn start(&self, case: &Case) -> Result<Gateway, Ended> {
        Gateway::try_start(&self.setup(case))
    }

    fn setup(&self, case: &Case) -> Setup {
        let Some(files) = case.files() else {
            let setup = Setup::text(pretty(&self.ports.fill(&case.document(&case.all["config"]))));
            let setup = match firewall_rules() {
                Some(rules) => setup.env("MARGAY_WAF_RULES", &rules),
                None => setup,
            };
            let beside = case.all["files"].as_object();
            return beside
                .into_iter()
                .flatten()
                .fold(setup, |setup, (name, content)| setup.file(name, &self.file_text(content)));
        };
        Setup::directory(
            files.iter().map(|(name, content)| (name.clone(), self.file_text(content))).collect(),
        )
    }

    /// The text of a file, with its tokens replaced.
    pub fn file_text(&self, content: &Value) -> String {
        match content {
            Value::String(raw) => self.raw(raw),
            json => pretty(&self.ports.fill(json)),
        }
    }

    /// A raw file: `"PORT1"` in quotes is the number.
    fn raw(&self, text: &str) -> String {
        let quoted =
            self.ports.0.iter().fold(text.to_owned(), |t, (name, port)| {
                t.replace(&format!("\"{name}\""), &port.to_string())
            });
        self.ports.text(&quoted)
    }

    /// The calls of backends (not of registries) since `before`, in order.
    pub fn calls_since(&self, before: u64) -> Vec<(u16, Seen)> {
        let services = self.origins.iter().filter(|(token, _)| token.contains("PORT"));
        let mut calls: Vec<(u16, Seen)> =
            services.flat_map(|(_, o)| o.seen().into_iter().map(|s| (o.port(), s))).collect();
        calls.retain(|(_, s)| s.order >= before);
        calls.sort_by_key(|(_, s)| s.order);
        calls
    }
}

/// A backend behind a port token, with the protocol of its stubs; behind a TLS token with a self-signed
/// certificate.
fn service(case: &Case, token: &str) -> Origin {
    let stubs = case.list("downstream").iter().filter(|stub| stub["port"] == token);
    let speaks: Vec<&str> =
        stubs.filter_map(|stub| stub["protocols"].as_array()).flatten().filter_map(Value::as_str).collect();
    if !token.starts_with("TLS") {
        return if speaks.contains(&"h2c") { Origin::newer_stubs() } else { Origin::stubs(Vec::new()) };
    }
    let named = |name: &&str| if *name == "h2" { "h2" } else { "http/1.1" };
    let protocols: Vec<&str> =
        if speaks.is_empty() { vec!["http/1.1"] } else { speaks.iter().map(named).collect() };
    Origin::secure_stubs(self_signed("localhost").server(&protocols, None))
}

/// The directory of the OWASP Core Rule Set: `MARGAY_CRS`, or next to the project.
pub fn firewall_rules() -> Option<String> {
    let named = std::env::var("MARGAY_CRS").ok();
    let neighbor = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/crs-4.28.0").to_owned();
    named.into_iter().chain([neighbor]).find(|directory| Path::new(directory).join("rules").is_dir())
}

pub fn pretty(document: &Value) -> String {
    serde_json::to_string_pretty(document).expect("JSON")
}
