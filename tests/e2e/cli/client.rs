//! The client commands against a running gateway.

use super::{CommandResult, margay, margay_with};
use crate::support::gateway::{Gateway, Setup};
use crate::support::origin::Origin;
use crate::support::tls::Authority;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::Duration;

fn document(port: u16, routes: &[&str]) -> Value {
    let route = |path: &&str| {
        json!({
            "Key": path.trim_matches('/'), "UpstreamPathTemplate": path, "DownstreamPathTemplate": "/", "DownstreamCluster": "backend"
        })
    };
    json!({
        "Clusters": { "backend": { "DownstreamScheme": "http", "Endpoints": [
            { "Host": "127.0.0.1", "Port": port }, { "Host": "127.0.0.1", "Port": 1 }
        ], "LoadBalancerOptions": { "Type": "RoundRobin" } } },
        "Routes": routes.iter().map(route).collect::<Vec<_>>()
    })
}

fn token(name: &str, role: &str) -> Value {
    let hash: String = Sha256::digest(name.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    json!({ "Name": name, "Hash": format!("sha256:{hash}"), "Role": role })
}

/// A gateway, and a directory for the files of the operator.
struct Scene {
    gateway: Gateway,
    folder: tempfile::TempDir,
}

impl Scene {
    fn new(document: &Value) -> Scene {
        Scene { gateway: Gateway::start(&Setup::json(document)), folder: tempfile::tempdir().unwrap() }
    }

    fn run(&self, arguments: &[&str]) -> CommandResult {
        self.run_with(arguments, &[])
    }

    fn run_with(&self, arguments: &[&str], variables: &[(&str, &str)]) -> CommandResult {
        let admin = self.gateway.admin.to_string();
        let variables: Vec<_> = [("MARGAY_ADMIN", admin.as_str())].iter().chain(variables).copied().collect();
        margay_with(self.folder.path(), arguments, "", &variables)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.folder.path().join(name), text).unwrap();
    }
}

#[test]
fn pages_are_text_or_json_and_endpoints_are_drained() {
    let origin = Origin::hello();
    let scene = Scene::new(&document(origin.port(), &["/a"]));
    let status = scene.run(&["status"]);
    assert_eq!(status.code, Some(0), "{}", status.stderr);
    assert!(status.stdout.contains("state") && status.stdout.contains("ready"), "{}", status.stdout);
    let status: Value = serde_json::from_str(&scene.run(&["status", "--json"]).stdout).unwrap();
    assert_eq!(status["config"]["routes"], 1);
    let endpoint = format!("127.0.0.1:{}", origin.port());
    let clusters = scene.run(&["clusters", "back"]);
    assert!(
        clusters.stdout.contains(&endpoint) && clusters.stdout.contains("RoundRobin"),
        "{}",
        clusters.stdout
    );
    let drained = scene.run(&["drain", "backend", &endpoint]);
    assert_eq!(
        (drained.code, drained.stdout),
        (Some(0), format!("backend {endpoint}: drained\n")),
        "{}",
        drained.stderr
    );
    assert!(scene.run(&["clusters"]).stdout.contains("drained"));
    assert_eq!(scene.run(&["enable", "backend", &endpoint]).code, Some(0));
    let unknown = scene.run(&["drain", "backend", "127.0.0.1:2"]);
    assert_eq!((unknown.code, unknown.stderr.contains("no endpoint")), (Some(1), true), "{}", unknown.stderr);
}

#[test]
fn routes_and_requests_are_listed() {
    let origin = Origin::hello();
    let scene = Scene::new(&document(origin.port(), &["/a"]));
    let tail = std::thread::scope(|scope| {
        let tail = scope.spawn(|| scene.run(&["tail", "-n", "1", "--route", "a"]));
        while !tail.is_finished() {
            scene.gateway.get("/a");
            std::thread::sleep(Duration::from_millis(20));
        }
        tail.join().unwrap()
    });
    assert_eq!((tail.code, tail.stdout.lines().count()), (Some(0), 1), "{}", tail.stderr);
    assert!(tail.stdout.contains("GET  /a  a"), "{}", tail.stdout);
    let routes = scene.run(&["routes"]);
    let line = routes.stdout.lines().find(|line| line.starts_with("a ")).expect("the route");
    assert!(line.contains("/a") && line.contains("backend"), "{}", routes.stdout);
    assert_eq!(scene.run(&["routes", "absent"]).stdout, "no routes\n");
    let wrong = scene.run(&["tail", "--status", "abc"]);
    assert_eq!((wrong.code, wrong.stderr.contains("invalid status")), (Some(1), true), "{}", wrong.stderr);
}

#[test]
fn tokens_come_from_a_variable_or_a_file_and_roles_are_explained() {
    let mut document = document(1, &["/a"]);
    document["Administration"] = json!({ "Tokens": [token("reader", "read"), token("writer", "write")] });
    let scene = Scene::new(&document);
    scene.write("token", "writer\n");
    let missing = scene.run(&["status"]);
    assert_eq!(missing.code, Some(1));
    assert!(
        missing.stderr.contains("401") && missing.stderr.contains("MARGAY_ADMIN_TOKEN"),
        "{}",
        missing.stderr
    );
    assert_eq!(scene.run_with(&["status"], &[("MARGAY_ADMIN_TOKEN", "reader")]).code, Some(0));
    let forbidden = scene.run_with(&["drain", "backend", "127.0.0.1:1"], &[("MARGAY_ADMIN_TOKEN", "reader")]);
    assert_eq!(
        (forbidden.code, forbidden.stderr.contains("role write")),
        (Some(1), true),
        "{}",
        forbidden.stderr
    );
    let drained = scene.run(&["drain", "backend", "127.0.0.1:1", "--token-file", "token"]);
    assert_eq!(drained.code, Some(0), "{}", drained.stderr);
    let no_file = scene.run(&["status", "--token-file", "missing"]);
    assert_eq!((no_file.code, no_file.stderr.contains("--token-file missing")), (Some(64), true));
}

#[test]
fn a_gateway_is_reached_over_tls_with_a_client_certificate() {
    let (servers, clients) = (Authority::new("servers"), Authority::new("operators"));
    let (server, robot) = (servers.issue(&["localhost"]), clients.issue(&["robot"]));
    let mut document = document(1, &["/a"]);
    let tls = json!({
        "Certificates": [{ "CertificateFile": "server.pem", "KeyFile": "server.key" }],
        "ClientCertificates": { "CaFile": "clients.pem", "Mode": "Optional" },
    });
    document["Administration"] = json!({ "Tls": tls, "CertificateRole": "write" });
    let setup = Setup::json(&document)
        .file("server.pem", &server.chain)
        .file("server.key", &server.key)
        .file("clients.pem", &clients.pem());
    let scene = Scene {
        gateway: Gateway::start(&setup.secure_administration()),
        folder: tempfile::tempdir().unwrap(),
    };
    scene.write("ca.pem", &servers.pem());
    scene.write("robot.pem", &robot.chain);
    scene.write("robot.key", &robot.key);
    let url = format!("https://localhost:{}/", scene.gateway.admin.port());
    let run = |arguments: &[&str]| {
        let arguments: Vec<_> = arguments.iter().copied().chain(["--admin", url.as_str()]).collect();
        margay(scene.folder.path(), &arguments)
    };
    let credentials = ["--certificate-file", "robot.pem", "--key-file", "robot.key"];
    let untrusted = run(&["status"]);
    assert_eq!(
        (untrusted.code, untrusted.stderr.contains("--ca-file")),
        (Some(1), true),
        "{}",
        untrusted.stderr
    );
    let missing = run(&["status", "--ca-file", "ca.pem"]);
    assert_eq!((missing.code, missing.stderr.contains("401")), (Some(1), true), "{}", missing.stderr);
    let status = run(&[&["status", "--ca-file", "ca.pem"][..], &credentials].concat());
    assert!(status.code == Some(0) && status.stdout.contains("ready"), "{}", status.stderr);
    let drain = ["drain", "backend", "127.0.0.1:1", "--ca-file", "ca.pem"];
    let drained = run(&[&drain[..], &credentials].concat());
    assert_eq!(drained.code, Some(0), "{}", drained.stderr);
}

#[test]
fn a_configuration_is_compared_applied_watched_and_rolled_back() {
    let scene = Scene::new(&document(1, &["/a"]));
    scene.write("new.json", &document(1, &["/a", "/b"]).to_string());
    let refused = scene.run(&["apply", "new.json"]);
    assert_eq!((refused.code, refused.stderr.contains("--yes")), (Some(64), true), "{}", refused.stderr);
    assert!(
        refused.stderr.contains("/b") || refused.stderr.contains('b'),
        "the difference is shown: {}",
        refused.stderr
    );
    assert_eq!(scene.gateway.get("/b").status, 404);
    let applied = scene.run(&["apply", "new.json", "--yes", "--watch", "1s"]);
    assert_eq!(applied.code, Some(0), "{}", applied.stderr);
    assert!(applied.stderr.contains("not judged"), "without traffic: {}", applied.stderr);
    assert_ne!(scene.gateway.get("/b").status, 404);
    let again = scene.run(&["apply", "new.json", "--yes"]);
    assert_eq!((again.code, again.stderr.contains("nothing changes")), (Some(0), true), "{}", again.stderr);
    let history: Value = serde_json::from_str(&scene.run(&["history", "--json"]).stdout).unwrap();
    let first = history["entries"].as_array().unwrap().last().unwrap()["number"].to_string();
    assert!(scene.run(&["history"]).stdout.contains("not judged"));
    let back = scene.run(&["rollback", &first, "--yes"]);
    assert_eq!(back.code, Some(0), "{}", back.stderr);
    assert_eq!(scene.gateway.get("/b").status, 404);
    let unknown = scene.run(&["rollback", "9999", "--yes"]);
    assert_eq!((unknown.code, unknown.stderr.contains("no entry 9999")), (Some(64), true));
}

#[test]
fn errors_of_a_document_are_printed_as_check_prints_them() {
    let scene = Scene::new(&document(1, &["/a"]));
    scene.write("new.json", "{\n  \"Routes\": [{ \"Prioritty\": 1 }]\n}\n");
    let applied = scene.run(&["apply", "new.json", "--yes"]);
    assert_eq!(applied.code, Some(2), "{}", applied.stderr);
    let lines: Vec<_> = applied.stderr.lines().collect();
    let caret =
        lines.iter().position(|line| line.contains("Prioritty\": 1")).expect("the line of the document");
    assert!(lines[caret + 1].trim_end().ends_with('^'), "{}", applied.stderr);
    assert!(applied.stderr.contains("new.json:2:"), "{}", applied.stderr);
    let window = scene.run(&["apply", "new.json", "--watch", "soon"]);
    assert_eq!((window.code, window.stderr.contains("such as 60s")), (Some(64), true));
}

#[test]
fn an_unreachable_gateway_and_a_wrong_address_have_a_cure() {
    let folder = tempfile::tempdir().unwrap();
    let refused = margay(folder.path(), &["status", "--admin", "127.0.0.1:1"]);
    assert_eq!((refused.code, refused.stderr.contains("margay run")), (Some(1), true), "{}", refused.stderr);
    let socket = margay(folder.path(), &["status", "--admin", "unix:missing.sock"]);
    assert_eq!(
        (socket.code, socket.stderr.contains("unix:missing.sock")),
        (Some(1), true),
        "{}",
        socket.stderr
    );
    let wrong = margay(folder.path(), &["status", "--admin", "nowhere"]);
    assert_eq!(
        (wrong.code, wrong.stderr.contains("expected HOST:PORT")),
        (Some(64), true),
        "{}",
        wrong.stderr
    );
    let top = margay(folder.path(), &["top"]);
    assert_eq!((top.code, top.stderr.contains("margay routes")), (Some(64), true), "{}", top.stderr);
}

#[test]
fn the_api_is_reached_over_a_unix_domain_socket() {
    let folder = tempfile::tempdir().unwrap();
    let served = serve_once(&folder.path().join("admin.sock"));
    let status = margay_with(
        folder.path(),
        &["status", "--admin", "unix:admin.sock"],
        "",
        &[("MARGAY_ADMIN_TOKEN", "secret")],
    );
    assert_eq!((status.code, status.stdout.as_str()), (Some(0), "state  ready\n"), "{}", status.stderr);
    let head = served.join().unwrap();
    assert_eq!(head[0], "GET /v1/status HTTP/1.1");
    assert!(head.iter().any(|line| line.eq_ignore_ascii_case("authorization: Bearer secret")), "{head:?}");
}

/// Responds to one request on a socket; returns its head.
fn serve_once(path: &Path) -> std::thread::JoinHandle<Vec<String>> {
    let listener = UnixListener::bind(path).unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let reader = BufReader::new(stream.try_clone().unwrap());
        let head: Vec<String> =
            reader.lines().map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 19\r\n\r\n{\"state\": \"ready\"}\n").unwrap();
        head
    })
}
