//! Tunnels: an agent and a connector as processes, refusals, revocation, and the contract of device streams.

use crate::support::client::Request;
use crate::support::gateway::{Gateway, Setup, binary};
use crate::support::origin::Origin;
use crate::support::process::Process;
use crate::support::stub_backend::StubResponse;
use crate::support::{becomes_true, ports};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::time::Duration;

const WAIT: Duration = Duration::from_secs(10);
const DEV1_KEY: &str = "bWFyZ2F5LXR1bm5lbC1rZXktMDEyMzQ1Njc4OWFiY2Q=";
const OTHER_KEY: &str = "b3RoZXItdHVubmVsLWtleS0wMTIzNDU2Nzg5YWJjZGVm";

fn document(key: &str) -> Value {
    json!({
        "Tunnels": {
            "Policies": { "service": { "Rights": ["ServiceConnect"], "Keys": [OTHER_KEY] } },
            "Agents": { "dev1": { "Keys": [key] }, "dev2": { "Keys": ["${DEV2_KEY:-}"], "Subjects": ["x"] } },
            "DeviceStreams": { "HostNames": ["hub.test"], "PublicUrl": "ws://hub.test" },
        },
        "Routes": [
            { "UpstreamPathTemplate": "/_agents", "DownstreamPathTemplate": "/", "DownstreamService": "Agents" },
            { "UpstreamPathTemplate": "/at/{id}/{rest}", "DownstreamPathTemplate": "/{rest}", "DownstreamScheme": "http",
              "DownstreamHostAndPorts": [{ "Host": "agent:{id}/http" }] },
            { "UpstreamPathTemplate": "/none/{rest}", "DownstreamPathTemplate": "/{rest}", "DownstreamScheme": "http",
              "DownstreamHostAndPorts": [{ "Host": "agent:dev1/none" }] },
            { "UpstreamPathTemplate": "/dead/{rest}", "DownstreamPathTemplate": "/{rest}", "DownstreamScheme": "http",
              "DownstreamHostAndPorts": [{ "Host": "agent:dev1/dead" }] },
            { "UpstreamPathTemplate": "/{everything}", "DownstreamPathTemplate": "/{everything}",
              "DownstreamService": "DeviceStreams" },
        ],
    })
}

/// A gateway with an agent `dev1`, its web service and its echo service.
struct Lab {
    gateway: Gateway,
    _agent: Process,
    _origin: Origin,
}

impl Lab {
    fn start() -> Lab {
        let setup =
            Setup::json(&document(DEV1_KEY)).file("dev1.key", DEV1_KEY).file("service.key", OTHER_KEY);
        let gateway = Gateway::start(&setup);
        let origin = Origin::with(|seen| StubResponse::new(200, seen.target.as_bytes()));
        let services = [
            format!("http=http://127.0.0.1:{}", origin.port()),
            format!("echo={}", echo_service()),
            format!("dead=127.0.0.1:{}", ports::free()),
        ];
        let mut command = tunnel(&gateway, "agent", "dev1.key");
        command.args(["--id", "dev1"]).args(services.iter().flat_map(|service| ["--service", service]));
        let lab = Lab { _agent: Process::start(&mut command), gateway, _origin: origin };
        assert!(becomes_true(WAIT, || lab.is_connected()), "{}", lab._agent.stderr());
        lab
    }

    fn is_connected(&self) -> bool {
        self.gateway.admin("/agents").json()["agents"][0]["connected"] == true
    }

    fn status_and_code(&self, target: &str) -> (u16, String) {
        let response = self.gateway.get(target);
        (response.status, response.json()["code"].as_str().unwrap_or_default().to_owned())
    }
}

/// `margay agent` or `margay connect` with the gateway and a key file.
fn tunnel(gateway: &Gateway, name: &str, key: &str) -> Command {
    let mut command = Command::new(binary());
    let key = gateway.config().with_file_name(key);
    command.arg(name).args(["--gateway", &format!("http://{}/_agents", gateway.address)]);
    command.arg("--key-file").arg(key).env_remove("HTTPS_PROXY").env("NO_COLOR", "1");
    command
}

/// A service that sends back what it receives, until the end of its client.
fn echo_service() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let (mut from, mut to) = (&stream, &stream);
                let _ = std::io::copy(&mut from, &mut to);
                let _ = stream.shutdown(std::net::Shutdown::Write);
            });
        }
    });
    address
}

fn echoes(port: u16, bytes: &[u8]) -> bool {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { return false };
    let _ = stream.set_read_timeout(Some(WAIT));
    if stream.write_all(bytes).and_then(|()| stream.shutdown(std::net::Shutdown::Write)).is_err() {
        return false;
    }
    let mut received = Vec::new();
    stream.read_to_end(&mut received).is_ok() && received == bytes
}

#[test]
fn routes_and_connectors_reach_an_agent_by_name_and_refusals_have_their_codes() {
    let lab = Lab::start();
    assert_eq!(lab.gateway.get("/at/dev1/a?b=c").text(), "/a?b=c");
    assert_eq!(lab.status_and_code("/at/who/a"), (404, "agent.unknown".into()));
    assert_eq!(lab.status_and_code("/at/dev2/a"), (503, "agent.offline".into()));
    assert_eq!(lab.status_and_code("/none/a"), (502, "agent.service".into()));
    assert_eq!(lab.status_and_code("/dead/a"), (502, "agent.connect".into()));
    let port = ports::free();
    let mut command = tunnel(&lab.gateway, "connect", "service.key");
    command.args(["--agent", "dev1", "--service", "echo", "--policy", "service"]);
    let connector = Process::start(command.args(["--listen", &format!("127.0.0.1:{port}")]));
    assert!(becomes_true(WAIT, || echoes(port, b"hello")), "{}", connector.stderr());
    assert!(echoes(port, &vec![7; 1 << 20]), "each direction ends by itself");
}

#[test]
fn a_key_that_a_reload_replaces_ends_the_streams_of_its_agent() {
    let lab = Lab::start();
    lab.gateway.write(&document(OTHER_KEY).to_string());
    assert!(becomes_true(WAIT, || !lab.is_connected()), "the agent is put out");
    assert_eq!(lab.status_and_code("/at/dev1/a"), (503, "agent.offline".into()));
    let mut command = tunnel(&lab.gateway, "agent", "dev1.key");
    let mut refused = Process::start(command.args(["--id", "dev1", "--service", "a=127.0.0.1:1", "--once"]));
    let ended = refused.ends_within(WAIT).expect("one attempt");
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains("identity.signature"), "{}", ended.stderr);
}

/// The token of the policy `service` for the hub of the test, and of the device `dev1`; valid until 2036.
fn request_stream(lab: &Lab, device: &str, token: &str) -> (u16, Value) {
    let request = Request::new("POST", &format!("/twins/{device}/streams/echo?api-version=1"))
        .header("Authorization", token)
        .header("iothub-streaming-connect-timeout-in-seconds", "0")
        .header("Content-Length", "0");
    let response = lab.gateway.ask(&request);
    (response.status, serde_json::from_str(&response.text()).unwrap_or_default())
}

#[test]
fn requests_for_device_streams_without_the_right_are_refused_in_the_form_of_the_contract() {
    let lab = Lab::start();
    for token in ["Bearer x", "SharedAccessSignature sr=hub.test&sig=AAAA&se=1&skn=service"] {
        let (status, body) = request_stream(&lab, "dev1", token);
        let message = body["Message"].as_str().unwrap_or_default();
        assert_eq!(
            (status, message.split(';').next()),
            (401, Some("ErrorCode:IotHubUnauthorizedAccess")),
            "{token}"
        );
    }
    let bridge = Request::get("/bridges/00000000000000000000000000000000")
        .header("Connection", "Upgrade")
        .header("Upgrade", "websocket")
        .header("Sec-WebSocket-Version", "13")
        .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==");
    assert_eq!(lab.gateway.ask(&bridge).status, 404);
    let metrics = lab.gateway.admin("/metrics").text();
    assert!(metrics.contains("margay_agents{state=\"connected\"} 1"), "{metrics}");
}
