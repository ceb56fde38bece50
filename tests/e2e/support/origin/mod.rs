//! A backend behind the gateway: responds by stubs or by a function, and records every request as received.

mod newer;

use super::client::RESPONSE_TIMEOUT;
use super::http1_reader::{Fault, Head, Http1Stream};
use super::ports;
use super::stub_backend::{Stub, StubResponse};
use std::collections::HashMap;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use tokio_rustls::rustls::{Connection, ServerConfig, ServerConnection};

/// A request as the backend received it.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: String,
    /// The request target, unchanged.
    pub target: String,
    /// The path, percent-decoded except for `%2F`.
    pub path: String,
    /// With its question mark; empty without a query.
    pub query: String,
    pub head: Head,
    /// At most the first 8 MiB.
    pub body: Vec<u8>,
    pub length: u64,
    pub trailers: Vec<(String, String)>,
    /// The server name of TLS (SNI).
    pub server_name: Option<String>,
    /// Whether the client presented a certificate.
    pub certified: bool,
    /// Its position among all requests of all backends.
    pub order: u64,
}

static ORDER: AtomicU64 = AtomicU64::new(0);

/// The lowest number that the next request of any backend can get.
pub fn next_order() -> u64 {
    ORDER.load(Ordering::SeqCst)
}

impl Seen {
    pub fn raw_path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.get(name)
    }
}

type Handler = dyn Fn(&Seen) -> StubResponse + Send + Sync;

enum Behavior {
    Stubs(Mutex<Vec<Stub>>),
    Function(Box<Handler>),
}

struct Shared {
    behaviour: Behavior,
    tls: Option<Arc<ServerConfig>>,
    /// Without TLS it serves HTTP/2 only.
    h2c: bool,
    resumed: AtomicU64,
    seen: Mutex<Vec<Seen>>,
    open: Mutex<HashMap<u64, TcpStream>>,
    connections: AtomicU64,
    stopped: AtomicBool,
}

/// The backend; it stops when dropped.
pub struct Origin {
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

impl Origin {
    /// A backend that responds by stubs, 404 when none matches.
    pub fn stubs(stubs: Vec<Stub>) -> Origin {
        Origin::start(ports::listener(), Behavior::Stubs(Mutex::new(stubs)), None, false)
    }

    /// The same over HTTP/2 without TLS, with prior knowledge.
    pub fn newer_stubs() -> Origin {
        Origin::start(ports::listener(), Behavior::Stubs(Mutex::default()), None, true)
    }

    /// The same over TLS, with the protocol that ALPN selects.
    pub fn secure_stubs(tls: Arc<ServerConfig>) -> Origin {
        Origin::start(ports::listener(), Behavior::Stubs(Mutex::default()), Some(tls), false)
    }

    /// A backend that always responds `hello`, over TLS.
    pub fn secure(tls: Arc<ServerConfig>) -> Origin {
        Origin::secure_with(tls, |_| StubResponse::new(200, "hello"))
    }

    /// A backend that responds by a function, over TLS.
    pub fn secure_with(
        tls: Arc<ServerConfig>,
        answer: impl Fn(&Seen) -> StubResponse + Send + Sync + 'static,
    ) -> Origin {
        Origin::start(ports::listener(), Behavior::Function(Box::new(answer)), Some(tls), false)
    }

    /// A backend that responds by a function.
    pub fn with(answer: impl Fn(&Seen) -> StubResponse + Send + Sync + 'static) -> Origin {
        Origin::start(ports::listener(), Behavior::Function(Box::new(answer)), None, false)
    }

    /// A backend that always responds `hello`.
    pub fn hello() -> Origin {
        Origin::with(|_| StubResponse::new(200, "hello"))
    }

    /// The same, on a listener of the test.
    pub fn on(
        listener: TcpListener,
        answer: impl Fn(&Seen) -> StubResponse + Send + Sync + 'static,
    ) -> Origin {
        Origin::start(listener, Behavior::Function(Box::new(answer)), None, false)
    }

    fn start(
        listener: TcpListener,
        behaviour: Behavior,
        tls: Option<Arc<ServerConfig>>,
        h2c: bool,
    ) -> Origin {
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared {
            behaviour,
            tls,
            h2c,
            resumed: AtomicU64::new(0),
            seen: Mutex::default(),
            open: Mutex::default(),
            connections: AtomicU64::new(0),
            stopped: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&shared);
        std::thread::spawn(move || accept(&listener, &accepting));
        Origin { address, shared }
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// All requests since the start or the last `forget`.
    pub fn seen(&self) -> Vec<Seen> {
        self.records().clone()
    }

    pub fn calls(&self) -> usize {
        self.records().len()
    }

    pub fn last(&self) -> Seen {
        self.records().last().cloned().expect("the service was called")
    }

    /// The number of accepted connections.
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// The number of them that resumed a TLS session.
    pub fn resumed(&self) -> u64 {
        self.shared.resumed.load(Ordering::SeqCst)
    }

    /// The number of open connections.
    pub fn open(&self) -> usize {
        self.shared.open.lock().expect("no panic").len()
    }

    pub fn forget(&self) {
        self.records().clear();
    }

    /// Replaces the stub with the same condition, or adds one.
    pub fn set_stub(&self, stub: Stub) {
        let Behavior::Stubs(stubs) = &self.shared.behaviour else { panic!("a service without stubs") };
        let mut stubs = stubs.lock().expect("no panic");
        match stubs.iter_mut().find(|s| s.when == stub.when) {
            Some(old) => *old = stub,
            None => stubs.push(stub),
        }
    }

    /// Closes every open connection, as a restarting backend does.
    pub fn hang_up(&self) {
        for stream in self.shared.open.lock().expect("no panic").values() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    fn records(&self) -> MutexGuard<'_, Vec<Seen>> {
        self.shared.seen.lock().expect("no panic")
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        self.hang_up();
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for stream in listener.incoming() {
        if shared.stopped.load(Ordering::SeqCst) {
            return;
        }
        let Ok(stream) = stream else { continue };
        let id = shared.connections.fetch_add(1, Ordering::SeqCst) + 1;
        if let Ok(handle) = stream.try_clone() {
            shared.open.lock().expect("no panic").insert(id, handle);
        }
        let shared = Arc::clone(shared);
        let serve = move || {
            if newer::is_wanted(&stream, &shared) {
                newer::serve(stream, &shared);
            } else {
                let mut wire = Http1Stream::new(stream);
                let ready = encrypted(&mut wire, &shared);
                while ready && serve(&mut wire, &shared).is_some() {}
                let _ = wire.stream.shutdown(Shutdown::Both);
            }
            shared.open.lock().expect("no panic").remove(&id);
        };
        std::thread::Builder::new().stack_size(512 * 1024).spawn(serve).expect("a thread");
    }
}

/// Whether requests can be read: at once, or after a handshake.
fn encrypted(wire: &mut Http1Stream, shared: &Shared) -> bool {
    let Some(tls) = &shared.tls else { return true };
    let Ok(tls) = ServerConnection::new(tls.clone()) else { return false };
    wire.read_timeout(RESPONSE_TIMEOUT);
    let ready = wire.encrypt(tls.into()).is_ok();
    let _ = wire.stream.set_read_timeout(None);
    shared.resumed.fetch_add(u64::from(wire.is_resumed()), Ordering::SeqCst);
    ready
}

/// Serves one request; `None` when the connection is done.
fn serve(wire: &mut Http1Stream, shared: &Shared) -> Option<()> {
    let seen = read(wire).ok()?;
    let (method, head) = (seen.method.clone(), seen.head.clone());
    let answer = answer(shared, seen);
    std::thread::sleep(answer.delay);
    if answer.echo {
        super::websocket::echo(wire, &head);
        return None;
    }
    wire.send(&answer.bytes(&method)).then_some(())?;
    let closing = head.lists("connection", "close") || answer.headers.iter().any(|(n, v)| closes(n, v));
    (!closing).then_some(())
}

/// Records a request and returns its response.
fn answer(shared: &Shared, seen: Seen) -> StubResponse {
    let record = |seen: Seen| shared.seen.lock().expect("no panic").push(seen);
    match &shared.behaviour {
        Behavior::Function(answer) => {
            record(seen.clone());
            answer(&seen)
        }
        Behavior::Stubs(stubs) => {
            let mut stubs = stubs.lock().expect("no panic");
            record(seen.clone());
            let stub = stubs.iter_mut().find(|stub| stub.when.matches(&seen));
            stub.map_or_else(|| StubResponse::new(404, ""), |stub| stub.call(&seen))
        }
    }
}

fn closes(name: &str, value: &str) -> bool {
    name.eq_ignore_ascii_case("connection") && value.eq_ignore_ascii_case("close")
}

/// Reads one complete request.
pub fn read(wire: &mut Http1Stream) -> Result<Seen, Fault> {
    let head = wire.head()?;
    wire.read_timeout(RESPONSE_TIMEOUT);
    let parts: Vec<&str> = head.start.split(' ').collect();
    let [method, target, _version] = parts[..] else {
        return Err(Fault::Malformed(head.start.clone()));
    };
    if head.lists("expect", "100-continue") && wire.unused().is_empty() {
        wire.send(b"HTTP/1.1 100 Continue\r\n\r\n");
    }
    let (mut body, mut length) = (Vec::new(), 0);
    let mut sink = |part: &[u8]| {
        length += part.len() as u64;
        if body.len() < 8 << 20 {
            body.extend_from_slice(part);
        }
    };
    let mut trailers = Vec::new();
    if head.lists("transfer-encoding", "chunked") {
        trailers = wire.chunked(&mut sink)?;
    } else if let Some(n) = head.get("content-length") {
        let n = n.parse().map_err(|_| Fault::Malformed(format!("Content-Length {n:?}")))?;
        wire.exactly(n, &mut sink)?;
    }
    wire.stream.set_read_timeout(None).expect("no read timeout");
    let (path, query) = split(target);
    Ok(Seen {
        server_name: server_name(wire),
        certified: wire.tls.as_ref().is_some_and(|tls| tls.peer_certificates().is_some()),
        method: method.to_owned(),
        target: target.to_owned(),
        path: decoded(path),
        query,
        body,
        length,
        trailers,
        order: ORDER.fetch_add(1, Ordering::SeqCst),
        head,
    })
}

/// The path, and the query with its question mark if it is not empty.
fn split(target: &str) -> (&str, String) {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    (path, if query.is_empty() { String::new() } else { format!("?{query}") })
}

fn server_name(wire: &Http1Stream) -> Option<String> {
    match wire.tls.as_deref() {
        Some(Connection::Server(tls)) => tls.server_name().map(str::to_owned),
        _ => None,
    }
}

/// Percent-decodes a path; `%2F` stays, in upper case.
pub fn decoded(path: &str) -> String {
    let bytes = path.as_bytes();
    let (mut out, mut i) = (Vec::with_capacity(bytes.len()), 0);
    while i < bytes.len() {
        let hex = (bytes[i] == b'%').then(|| path.get(i + 1..i + 3)).flatten();
        match hex.and_then(|h| u8::from_str_radix(h, 16).ok()) {
            Some(b'/') => out.extend_from_slice(b"%2F"),
            Some(byte) => out.push(byte),
            None => {
                out.push(bytes[i]);
                i += 1;
                continue;
            }
        }
        i += 3;
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::support::client::{Client, Ending, Request};

    #[test]
    fn the_test_client_and_the_origin_agree() {
        let origin = Origin::with(|seen| StubResponse::new(200, &seen.body).chunked(&[("X-Sum", "1")]));
        let mut client = Client::connect(origin.address);
        let answer =
            client.must(&Request::new("POST", "/a%20b%2Fc?x=1").chunks(&["he", "llo"]).trailer("T", "1"));
        assert_eq!((answer.text().as_str(), answer.ending), ("hello", Ending::Chunked));
        assert_eq!(answer.trailers, [("X-Sum".to_owned(), "1".to_owned())]);
        let seen = origin.last();
        assert_eq!((seen.path.as_str(), seen.query.as_str()), ("/a b%2Fc", "?x=1"));
        assert_eq!(seen.trailers, [("T".to_owned(), "1".to_owned())]);
        assert_eq!(client.must(&Request::new("HEAD", "/")).ending, Ending::NoBody);
        assert_eq!((origin.calls(), origin.connections()), (2, 1));
    }

    #[test]
    fn a_stub_responds_in_sequence_and_fills_templates() {
        let stub = serde_json::json!({ "when": { "path": "/a" }, "respond_sequence": [
            { "status": 200, "body": "{{CALL_COUNT}} {{ECHO_PATH_QUERY}} {{ECHO_HEADER:X-A}}" },
            { "status": 201, "body": "{{ECHO_BODY}}" },
        ]});
        let origin = Origin::stubs(vec![Stub::read(&stub)]);
        let mut client = Client::connect(origin.address);
        assert_eq!(client.must(&Request::get("/a?b").header("X-A", "7")).text(), "1 /a?b 7");
        assert_eq!(client.must(&Request::new("POST", "/a").body("z")).text(), "z");
        assert_eq!(client.must(&Request::new("POST", "/a").body("y")).status, 201);
        assert_eq!(client.get("/b").status, 404);
    }
}
