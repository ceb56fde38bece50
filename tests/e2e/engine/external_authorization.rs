//! Authorization from outside on a socket: nginx as a forward-auth service, a server of Envoy's `ext_authz`, webhooks.

use super::{document, over};
use crate::support::client::{Request, Response};
use crate::support::ext_authz::{field, header, number, start};
use crate::support::gateway::Gateway;
use crate::support::origin::Origin;
use crate::support::process::Process;
use crate::support::{becomes_true, ports};
use serde_json::{Value, json};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

const WAIT_TIMEOUT: Duration = Duration::from_secs(5);
/// The signature of another body.
const SIGNATURE: &str = "sha256=2ac1e8d2f19af2c6ca8ea2d5e0b0f4ff4c7d3c1f6c4ff0c6d8a7f9f6c7a0bb11";

fn gateway(origin: &Origin, scheme: &Value) -> Gateway {
    let route = json!({ "AuthenticationOptions": { "AuthenticationProviderKeys": ["S"] } });
    Gateway::with(&document(origin.port(), &route, &json!({ "AuthenticationSchemes": { "S": scheme } })))
}

fn ask(gateway: &Gateway, fields: &[(&str, &str)]) -> Response {
    let request =
        fields.iter().fold(Request::get("/orders?page=2"), |r, (name, value)| r.header(name, value));
    gateway.ask(&request)
}

/// nginx with these directives in its server, and the directory that it needs.
fn nginx(directives: &str) -> (Process, u16, tempfile::TempDir) {
    let (home, port) = (tempfile::tempdir().expect("a directory"), ports::free());
    let folder = home.path().display();
    let text = format!(
        "daemon off; pid {folder}/pid; error_log stderr; events {{}}\n\
         http {{ access_log off; client_body_temp_path {folder}/b; proxy_temp_path {folder}/p;\n\
         fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;\n\
         server {{ listen 127.0.0.1:{port};\n{directives} }} }}\n"
    );
    let config = home.path().join("nginx.conf");
    std::fs::write(&config, text).expect("write");
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let nginx = Process::start(Command::new("nginx").arg("-c").arg(&config).env("PATH", path));
    let listens = becomes_true(WAIT_TIMEOUT, || TcpStream::connect(("127.0.0.1", port)).is_ok());
    assert!(listens, "{}", nginx.stderr());
    (nginx, port, home)
}

#[test]
fn nginx_authorizes_as_for_auth_request() {
    let (_nginx, port, _home) = nginx(
        "location = /auth {\n\
         if ($http_authorization = \"Bearer good\") { add_header X-User $http_x_original_uri always; return 204; }\n\
         if ($http_authorization = \"\") { add_header WWW-Authenticate 'Bearer realm=\"nginx\"' always; return 401 \"who\"; }\n\
         return 403; }",
    );
    let origin = Origin::hello();
    let scheme = json!({ "Type": "External", "Url": format!("http://127.0.0.1:{port}/auth"),
        "ResponseHeaders": ["X-User"], "HeaderClaims": { "sub": "X-User" } });
    let gateway = gateway(&origin, &scheme);
    for _ in 0..3 {
        assert_eq!(ask(&gateway, &[("Authorization", "Bearer good"), ("X-User", "root")]).status, 200);
        assert_eq!(origin.last().header("x-user"), Some("/orders?page=2"));
        assert_eq!(origin.last().header("x_user"), None);
    }
    let calls = origin.calls();
    let nothing = ask(&gateway, &[("X_User", "root")]);
    assert_eq!((nothing.status, nothing.text().as_str()), (401, "who"));
    assert_eq!(nothing.header("www-authenticate"), Some("Bearer realm=\"nginx\""));
    assert_eq!(ask(&gateway, &[("Authorization", "Bearer bad")]).status, 403);
    assert_eq!(origin.calls(), calls);
    let metrics = gateway.admin("/metrics").text();
    assert!(metrics.contains("margay_errors_total{code=\"access.external\"} 2"), "{metrics}");
}

#[test]
fn an_authorizer_that_is_away_denies_and_may_be_configured_to_allow() {
    let origin = Origin::hello();
    let scheme = json!({ "Type": "External", "Url": format!("http://127.0.0.1:{}/", ports::free()) });
    let denying = gateway(&origin, &scheme);
    let denied = ask(&denying, &[]);
    assert_eq!((denied.status, denied.json()["code"].as_str()), (503, Some("access.authorizer_unavailable")));
    let more = json!({ "OnFailure": "Allow", "ResponseHeaders": ["X-User"] });
    let allowing = gateway(&origin, &over(scheme, &more));
    assert_eq!(ask(&allowing, &[("X-User", "root")]).status, 200);
    assert_eq!(origin.last().header("x-user"), None);
}

#[test]
fn a_server_of_envoys_protocol_allows_changes_and_denies() {
    let allowed = [
        field(1, number(1, 0)),
        field(
            3,
            [field(2, header("x-user", "ann")), field(5, "authorization"), field(6, header("x-seen", "1"))]
                .concat(),
        ),
    ]
    .concat();
    let denied = [
        field(1, number(1, 7)),
        field(2, [field(1, number(1, 451)), field(2, header("x-why", "law")), field(3, "no")].concat()),
    ]
    .concat();
    let has = |message: &[u8], text: &str| message.windows(text.len()).any(|part| part == text.as_bytes());
    let (address, received) = start(move |message| match () {
        () if has(message, "Bearer good") => Some(allowed.clone()),
        () if has(message, "Bearer slow") => None,
        () if has(message, "Bearer empty") => Some(Vec::new()),
        () => Some(denied.clone()),
    });
    let origin = Origin::hello();
    let scheme = json!({ "Type": "External", "Url": format!("grpc://{address}"), "Timeout": "500ms",
        "ResponseHeaders": ["X-User"] });
    let gateway = gateway(&origin, &scheme);
    let good = ask(&gateway, &[("Authorization", "Bearer good"), ("X-User", "root")]);
    assert_eq!((good.status, good.header("x-seen")), (200, Some("1")));
    let seen = origin.last();
    assert_eq!((seen.header("x-user"), seen.header("authorization")), (Some("ann"), None));
    let message = received.lock().expect("requests")[0].clone();
    for text in ["/orders?page=2", "GET", "HTTP/1.1", "127.0.0.1", "Bearer good"] {
        assert!(has(&message, text), "{text} in {message:?}");
    }
    assert_eq!(ask(&gateway, &[("Authorization", "Bearer empty")]).status, 200, "no status is OK");
    let bad = ask(&gateway, &[]);
    assert_eq!((bad.status, bad.header("x-why"), bad.text().as_str()), (451, Some("law"), "no"));
    let slow = ask(&gateway, &[("Authorization", "Bearer slow")]);
    assert_eq!((slow.status, slow.json()["code"].as_str()), (503, Some("access.authorizer_unavailable")));
}

#[test]
fn a_token_and_the_authorizer_must_both_accept() {
    let (address, received) = start(|_| Some(Vec::new()));
    let origin = Origin::hello();
    let hash = "8254c329a92850f6d539dd376f4816ee2764517da5e0235514af433164480d7a";
    let schemes = json!({
        "keys": { "Type": "ApiKey", "Keys": [{ "Sha256": hash, "Owner": "ann" }] },
        "policy": { "Type": "External", "Url": format!("grpc://{address}") },
    });
    let route = json!({ "AuthenticationOptions": { "AuthenticationProviderKeys": ["policy", "keys"] } });
    let gateway =
        Gateway::with(&document(origin.port(), &route, &json!({ "AuthenticationSchemes": schemes })));
    assert_eq!(ask(&gateway, &[]).status, 401);
    assert_eq!(received.lock().expect("requests").len(), 0, "unauthenticated requests do not reach it");
    assert_eq!(ask(&gateway, &[("X-Api-Key", "k")]).status, 200);
    assert_eq!(received.lock().expect("requests").len(), 1);
}

#[test]
fn a_webhook_reaches_the_backend_with_its_body_if_it_is_signed() {
    let origin = Origin::hello();
    let scheme = json!({ "Type": "HmacSignature", "Sender": "GitHub",
        "Secrets": ["another secret of the past", "It's a Secret to Everybody"], "MaxBodySize": "1KiB" });
    let gateway = gateway(&origin, &scheme);
    // The example of GitHub's documentation.
    let signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    let post = |body: &str, signature: &str| {
        gateway.ask(&Request::new("POST", "/hooks").header("X-Hub-Signature-256", signature).body(body))
    };
    assert_eq!(post("Hello, World!", signature).status, 200);
    assert_eq!(origin.last().body, b"Hello, World!");
    let changed = post("Hello, World?", signature);
    assert_eq!((changed.status, changed.json()["code"].as_str()), (401, Some("identity.signature")));
    assert_eq!(post("Hello, World!", SIGNATURE).status, 401);
    assert_eq!(post(&"x".repeat(2000), signature).status, 413);
    let unsigned = gateway.ask(&Request::new("POST", "/hooks").body("Hello, World!"));
    assert_eq!(
        (unsigned.status, unsigned.header("www-authenticate")),
        (401, Some("HmacSignature realm=\"S\""))
    );
    assert_eq!(origin.calls(), 1);
}
