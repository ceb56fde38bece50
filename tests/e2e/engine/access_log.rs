//! The access log: its forms and destinations, sampling, redaction, failures of the destination.

use super::{document, over, to};
use crate::support::becomes_true;
use crate::support::client::Request;
use crate::support::gateway::{Gateway, Setup};
use crate::support::origin::{Origin, Seen};
use crate::support::ports::Closed;
use crate::support::stub_backend::StubResponse;
use serde_json::{Value, json};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const WAIT: Duration = Duration::from_secs(10);

fn gateway_with(origin: &Origin, log: &Value, route: &Value) -> Gateway {
    Gateway::with(&document(origin.port(), route, &json!({ "AccessLog": log })))
}

fn beside(gateway: &Gateway, name: &str) -> PathBuf {
    gateway.config().with_file_name(name)
}

fn lines(path: &Path) -> Vec<String> {
    std::fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect()
}

#[test]
fn a_file_is_written_and_opened_again_at_sigusr1() {
    let origin = Origin::hello();
    let gateway = gateway_with(&origin, &json!({ "File": "access.log" }), &json!({}));
    let (path, moved) = (beside(&gateway, "access.log"), beside(&gateway, "moved.log"));
    gateway.get("/a");
    assert!(becomes_true(WAIT, || lines(&path).len() == 1));
    std::fs::rename(&path, &moved).unwrap();
    gateway.process.signal("USR1");
    assert!(becomes_true(WAIT, || path.exists()));
    gateway.get("/b");
    assert!(becomes_true(WAIT, || lines(&path).len() == 1) && lines(&moved).len() == 1);
    assert!(gateway.access_log().is_empty(), "nothing on standard output");
}

#[test]
fn a_reload_changes_file_and_form_and_loses_no_line() {
    let origin = Origin::hello();
    let gateway = gateway_with(&origin, &json!({ "File": "one.log" }), &json!({}));
    let (one, two) = (beside(&gateway, "one.log"), beside(&gateway, "two.log"));
    gateway.get("/first");
    let log = json!({ "File": "two.log", "Format": "Combined" });
    gateway.write(&document(origin.port(), &json!({}), &json!({ "AccessLog": log })).to_string());
    assert!(becomes_true(WAIT, || {
        gateway.ask(&Request::get("/later").header("User-Agent", "test/1").header("Referer", "http://a/"));
        !lines(&two).is_empty()
    }));
    assert!(lines(&one).iter().all(|line| line.starts_with('{')) && lines(&one)[0].contains("/first"));
    let combined = lines(&two)[0].clone();
    assert!(
        combined.starts_with("127.0.0.1 - - [") && combined.contains("\"http://a/\" \"test/1\""),
        "{combined}"
    );
}

#[test]
fn a_file_that_cannot_be_opened_stops_the_start_and_rejects_a_reload() {
    let origin = Origin::hello();
    let broken =
        document(origin.port(), &json!({}), &json!({ "AccessLog": { "File": "/nowhere/access.log" } }));
    let ended = Gateway::try_start(&Setup::json(&broken)).err().expect("no start");
    assert!(ended.stderr.contains("cannot open the access log /nowhere/access.log"), "{}", ended.stderr);
    let gateway = gateway_with(&origin, &json!(true), &json!({}));
    gateway.write(&broken.to_string());
    assert!(becomes_true(WAIT, || gateway.process.stderr().contains("keeping the current configuration")));
    assert_eq!(gateway.get("/").status, 200);
}

#[test]
fn a_template_renders_each_line() {
    let origin = Origin::hello();
    let template = json!({ "Template": "{{ method }} {{ path }} -> {{ status }}", "File": "access.log" });
    let gateway = gateway_with(&origin, &template, &json!({}));
    gateway.get("/a?b=c");
    assert!(becomes_true(WAIT, || lines(&beside(&gateway, "access.log")) == ["GET /a -> 200"]));
}

#[test]
fn syslog_gets_each_line_as_a_datagram() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("log");
    let server = UnixDatagram::bind(&socket).unwrap();
    server.set_read_timeout(Some(WAIT)).unwrap();
    let origin = Origin::hello();
    let log = json!({ "Syslog": format!("unix:{}", socket.display()), "SyslogFacility": "daemon" });
    let gateway = gateway_with(&origin, &log, &json!({}));
    gateway.get("/a");
    let mut datagram = [0; 2048];
    let received = server.recv(&mut datagram).unwrap();
    let text = String::from_utf8_lossy(&datagram[..received]).into_owned();
    assert!(
        text.starts_with("<30>1 ") && text.contains(" margay ") && text.contains("\"path\":\"/a\""),
        "{text}"
    );
}

#[test]
fn query_headers_and_client_address_are_redacted_per_route() {
    let origin = Origin::hello();
    let open = json!({ "UpstreamPathTemplate": "/open/{x}", "DownstreamPathTemplate": "/" });
    let careful = over(
        json!({ "UpstreamPathTemplate": "/careful/{x}", "DownstreamPathTemplate": "/" }),
        &json!({ "AccessLogOptions": {
            "Query": "Redact", "ClientAddress": "Truncate", "RequestHeaders": ["User-Agent", "Authorization", "X-Plan"],
            "RedactedHeaders": ["X-Plan"],
        } }),
    );
    let silent = json!({ "UpstreamPathTemplate": "/silent/{x}", "DownstreamPathTemplate": "/",
        "AccessLogOptions": { "Enabled": false } });
    let routes: Vec<Value> =
        [open, careful, silent].iter().map(|route| over(to(origin.port()), route)).collect();
    let global = json!({ "AccessLogOptions": { "ClientAddress": "Omit" } });
    let gateway =
        Gateway::with(&json!({ "Routes": routes, "AccessLog": true, "GlobalConfiguration": global }));
    let request = |target: &str| {
        let request = Request::get(target).header("User-Agent", "test/1");
        gateway.ask(&request.header("Authorization", "Bearer key").header("X-Plan", "gold"));
    };
    ["/silent/1", "/open/1?token=hunter2", "/careful/1?token=hunter2", "/nowhere?token=hunter2"]
        .into_iter()
        .for_each(request);
    let line = |path: &str| gateway.logged(|line| line["path"] == path).expect(path);
    let (open, careful, nowhere) = (line("/open/1"), line("/careful/1"), line("/nowhere"));
    assert!(open.get("query").is_none() && open.get("client_ip").is_none(), "{open}");
    assert!(
        nowhere.get("client_ip").is_none(),
        "requests without a route follow the global options: {nowhere}"
    );
    assert_eq!((&careful["query"], &careful["client_ip"]), (&json!("token=[redacted]"), &json!("127.0.0.0")));
    let headers = json!({ "user-agent": "test/1", "authorization": "[redacted]", "x-plan": "[redacted]" });
    assert_eq!(careful["request_headers"], headers);
    assert!(!gateway.process.stdout().contains("hunter2") && !gateway.process.stdout().contains("/silent"));
}

#[test]
fn sampling_keeps_every_failure_with_its_code_and_leg() {
    let origin = Origin::with(|seen: &Seen| match seen.path.as_str() {
        "/bad" => StubResponse::new(503, "no"),
        _ => StubResponse::new(200, "yes"),
    });
    let closed = Closed::reserve();
    let sampled = json!({ "AccessLogOptions": { "SampleRatio": 0 } });
    let lost = json!({ "UpstreamPathTemplate": "/lost", "DownstreamPathTemplate": "/", "DownstreamHostAndPorts": [{ "Host": "127.0.0.1", "Port": closed.port }] });
    let routes = [over(to(origin.port()), &lost), to(origin.port())];
    let gateway =
        Gateway::with(&json!({ "Routes": routes, "AccessLog": true, "GlobalConfiguration": sampled }));
    ["/good", "/bad", "/lost", "/good"].into_iter().for_each(|target| drop(gateway.get(target)));
    let lost = gateway.logged(|line| line["path"] == "/lost").expect("a failure");
    assert_eq!((&lost["error_code"], &lost["leg"]), (&json!("backend.connect"), &json!("backend")));
    let bad = gateway.logged(|line| line["path"] == "/bad").expect("a failure");
    assert_eq!(
        (bad.get("error_code"), &bad["leg"], &bad["backend_status"]),
        (None, &json!("backend"), &json!(503))
    );
    assert_eq!(gateway.access_log().len(), 2);
}

#[test]
fn a_full_disk_and_a_lost_syslog_cost_lines_and_no_request() {
    let origin = Origin::hello();
    for log in [json!({ "File": "/dev/full" }), json!({ "Syslog": "unix:/nowhere/log" })] {
        let gateway = gateway_with(&origin, &log, &json!({}));
        let mut client = gateway.connect();
        let start = Instant::now();
        for _ in 0..200 {
            assert_eq!(client.get("/").status, 200);
        }
        assert!(start.elapsed() < Duration::from_secs(5));
        let counted = || gateway.admin("/metrics").text().contains("margay_access_log_dropped_total 200");
        assert!(becomes_true(WAIT, counted), "{log}");
        assert!(
            gateway.process.stderr().contains("cannot write the access log"),
            "{}",
            gateway.process.stderr()
        );
    }
}
