//! TCP and UDP endpoints, roles and traffic rules: `tests/cases/endpoints.jsonl`, run by `tests/endpoints/run.py` on real sockets of
//! several loopback addresses, which stand for instances.

use super::support::{
    gateway::binary,
    tls::{Authority, Issued},
};
use rcgen::{CertificateParams, SanType};
use std::path::Path;
use std::process::Command;

fn write(folder: &Path, name: &str, issued: &Issued) {
    std::fs::write(folder.join(format!("{name}.pem")), &issued.chain).unwrap();
    std::fs::write(folder.join(format!("{name}.key")), &issued.key).unwrap();
}

/// The certificates of the cases.
fn certificates(folder: &Path) {
    let authority = Authority::new("cases");
    std::fs::write(folder.join("ca.pem"), authority.pem()).unwrap();
    let names = [
        "localhost",
        "shop.example",
        "*.shop.example",
        "db.example",
        "*.roles.internal",
        "tcp2.w1.roles.internal",
        "127.0.0.1",
    ];
    write(folder, "server", &authority.issue(&names));
    let uri = |text: &'static str| {
        move |params: &mut CertificateParams| {
            params.subject_alt_names.push(SanType::URI(text.try_into().unwrap()));
        }
    };
    let web = authority.issue_with(&["web1.corp"], uri("spiffe://corp/WebRole1/0"));
    write(folder, "web1", &web);
    write(folder, "worker1", &authority.issue_with(&[], uri("spiffe://corp/WorkerRole1/0")));
    write(folder, "stranger", &authority.issue(&["stranger.corp"]));
}

/// Runs a script of `tests/endpoints`, which prints what failed.
fn run(script: &str, certs: &Path, more: &[&str]) {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let mut command = Command::new("python3");
    command.arg(tests.join("endpoints").join(script)).arg("--binary").arg(binary()).arg("--certs").arg(certs);
    let output = command.args(more).output().expect("python3 (.ci/need python3)");
    let report = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{report}{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn transport_routes_roles_and_rules_behave_as_specified() {
    let certs = tempfile::tempdir().unwrap();
    certificates(certs.path());
    let cases = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cases/endpoints.jsonl");
    run("run.py", certs.path(), &["--cases", cases]);
}

#[test]
fn redis_openssl_dig_and_haproxy_reach_their_services() {
    let certs = tempfile::tempdir().unwrap();
    certificates(certs.path());
    run("peers.py", certs.path(), &[]);
}
