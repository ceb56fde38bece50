//! The kill test: four backend processes, one killed and restarted, one stalled, one failing, one
//! healthy; the client must see no error.

use crate::support::client::{Client, Request};
use crate::support::gateway::{Gateway, Setup};
use crate::support::ports;
use crate::support::{StopGuard, becomes_true};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const DEADLINE: Duration = Duration::from_secs(5);
const PER_TRY: Duration = Duration::from_millis(600);
const BREAK: Duration = Duration::from_secs(1);
const FAILURES: u64 = 5;
const CLIENTS: usize = 4;

/// A backend in its own process: this test binary, run again; killed when dropped.
struct Service {
    process: Child,
    port: u16,
}

impl Service {
    fn start(kind: &str, port: u16) -> Service {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.args(["--exact", "engine::resilience::the_scripted_backend_process", "--nocapture"]);
        command.env("SERVICE", format!("{kind} {port}")).stdout(Stdio::null()).stderr(Stdio::null());
        let process = command.spawn().expect("this program runs");
        let there = || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok();
        assert!(becomes_true(Duration::from_secs(20), there), "the service {kind} listens");
        Service { process, port }
    }

    /// SIGKILL, without a graceful shutdown.
    fn kill(&mut self) {
        self.process.kill().expect("it runs");
        self.process.wait().expect("it ends");
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Not a test: the backend processes run it; it does nothing in every other process.
#[test]
fn the_scripted_backend_process() {
    let Ok(what) = std::env::var("SERVICE") else { return };
    let (kind, port) = what.split_once(' ').expect("kind and port");
    let port: u16 = port.parse().expect("a port");
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect("a free port");
    let status = match kind {
        "healthy" => Some("200 OK"),
        "failing" => Some("500 Internal Server Error"),
        _ => None,
    };
    let mut stalled = Vec::new();
    for stream in listener.incoming().flatten() {
        match status {
            Some(status) => drop(std::thread::spawn(move || serve(stream, status, port))),
            None => stalled.push(stream),
        }
    }
}

/// Responds to every request with 1 KiB that begins with the port.
fn serve(mut stream: TcpStream, status: &str, port: u16) {
    let _ = stream.set_nodelay(true);
    let body = format!("{port:<1024}");
    let answer = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let (mut read, mut part) = (Vec::new(), [0; 4096]);
    while let Ok(n @ 1..) = stream.read(&mut part) {
        read.extend_from_slice(&part[..n]);
        while let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") {
            read.drain(..end + 4);
            if stream.write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
    }
}

fn document(ports: &[u16]) -> Value {
    let endpoints: Vec<_> = ports.iter().map(|port| json!({ "Host": "127.0.0.1", "Port": port })).collect();
    json!({
        "Routes": [{
            "Key": "all",
            "UpstreamPathTemplate": "/{everything}", "DownstreamPathTemplate": "/{everything}",
            "DownstreamScheme": "http", "DownstreamHostAndPorts": endpoints,
            "LoadBalancerOptions": { "Type": "RoundRobin" },
            "Timeout": "5s",
            "RetryOptions": {
                "Attempts": 4, "OnStatus": [500], "PerTryTimeout": "600ms", "EnableBudget": false,
                "MinBackoff": "1ms", "MaxBackoff": "10ms",
            },
            "QoSOptions": { "MinimumThroughput": FAILURES, "BreakDuration": 1000, "Scope": "Endpoint" },
        }],
    })
}

/// The outcome of one request: the port that responded, or the error.
fn ask(client: &mut Client) -> (Result<u16, String>, Duration) {
    let start = Instant::now();
    let answer = client.ask(&Request::get("/x"));
    let took = start.elapsed();
    let body = match answer {
        Ok(answer) if answer.status == 200 && answer.length == 1024 => {
            answer.text().trim().parse().map_err(|_| "not a port".to_owned())
        }
        Ok(answer) => Err(format!("{}: {}", answer.status, answer.text())),
        Err(fault) => Err(format!("{fault:?}")),
    };
    (body, took)
}

/// One value of the metrics.
fn number(gateway: &Gateway, name: &str) -> u64 {
    let page = gateway.admin("/metrics").text();
    let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.and_then(|value| value.parse().ok()).unwrap_or_default()
}

/// Sends requests until the end; records failures, the longest duration, and the times of each backend's responses.
fn load(gateway: &Gateway, end: &AtomicBool, seen: &Mutex<Seen>) {
    let mut client = gateway.connect();
    while !end.load(Ordering::SeqCst) {
        let (body, took) = ask(&mut client);
        let mut seen = seen.lock().expect("no panic");
        seen.longest = seen.longest.max(took);
        match body {
            Ok(port) => seen.answers.push((port, Instant::now())),
            Err(wrong) => seen.wrong.push(wrong),
        }
    }
}

#[derive(Default)]
struct Seen {
    answers: Vec<(u16, Instant)>,
    wrong: Vec<String>,
    longest: Duration,
}

#[test]
fn clients_see_no_error_while_backends_die_stall_and_fail() {
    let kinds = ["healthy", "stalled", "failing", "healthy"];
    let mut services: Vec<_> = kinds.iter().map(|kind| Service::start(kind, ports::free())).collect();
    let all: Vec<_> = services.iter().map(|service| service.port).collect();
    let gateway = Gateway::start(&Setup::json(&document(&all)).threads(2));
    let (start, seen, end) = (Instant::now(), Mutex::<Seen>::default(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let _stop_guard = StopGuard(&end);
        (0..CLIENTS).for_each(|_| drop(scope.spawn(|| load(&gateway, &end, &seen))));
        std::thread::sleep(Duration::from_secs(1));
        services[0].kill();
        std::thread::sleep(Duration::from_millis(1500));
        services[0] = Service::start("healthy", all[0]);
        let restarted = Instant::now();
        let is_back = || {
            let seen = seen.lock().expect("no panic");
            seen.answers.iter().any(|(port, when)| *port == all[0] && *when > restarted)
        };
        assert!(becomes_true(Duration::from_secs(10), is_back), "the restarted backend gets requests again");
    });
    let seen = seen.into_inner().expect("no panic");
    let answers = seen.answers.len();
    assert!(seen.wrong.is_empty(), "{} of {answers} failed: {:?}", seen.wrong.len(), &seen.wrong[..1]);
    assert!(answers > 50, "{answers}");
    // Four attempts with their backoff, and some time for a busy machine; far less than the deadline.
    assert!(seen.longest < DEADLINE, "{:?}", seen.longest);
    circuits(&gateway, start.elapsed());
}

/// The circuits of the three bad backends opened and kept them out of selection, and one closed again.
fn circuits(gateway: &Gateway, ran: Duration) {
    let event = |what: &str| {
        number(gateway, &format!("margay_circuit_breaker_events_total{{event=\"{what}\",route=\"all\"}}"))
    };
    assert!(event("opened") >= 3, "{}", event("opened"));
    assert!(event("closed") >= 1, "{}", event("closed"));
    // An open circuit lets one request through after each pause, in addition to those active when it opened.
    let bound = |services: u64| {
        services * (FAILURES + CLIENTS as u64 + 1 + (ran.as_secs_f64() / BREAK.as_secs_f64()) as u64)
    };
    let retried =
        |why: &str| number(gateway, &format!("margay_retries_total{{reason=\"{why}\",route=\"all\"}}"));
    let (statuses, timeouts) = (retried("status"), retried("timeout"));
    assert!(statuses >= FAILURES && statuses <= bound(1), "{statuses} times the failing one was asked");
    assert!(timeouts >= FAILURES && timeouts <= bound(1), "{timeouts} times the stalled one was asked");
    assert!(PER_TRY * 4 < DEADLINE);
}
