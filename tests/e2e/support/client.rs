//! A plain HTTP/1.1 client: it sends exactly the given bytes and reports how each response ended.

use super::http1_reader::{Fault, Head, Http1Stream, Result};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, ClientConnection};

/// How long a response may take before a test fails.
pub const RESPONSE_TIMEOUT: Duration = Duration::from_secs(15);

/// What is sent after the head of a request.
#[derive(Clone, Debug, Default)]
pub enum Body {
    #[default]
    None,
    /// With a Content-Length, unless the headers have one.
    CompleteResponse(Vec<u8>),
    /// Chunked, one chunk each, then trailers.
    Chunks(Vec<Vec<u8>>, Vec<(String, String)>),
}

/// A request to send.
#[derive(Clone, Debug, Default)]
pub struct Request {
    pub method: String,
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub body: Body,
}

impl Request {
    pub fn new(method: &str, target: &str) -> Request {
        Request { method: method.into(), target: target.into(), ..Request::default() }
    }

    pub fn get(target: &str) -> Request {
        Request::new("GET", target)
    }

    pub fn header(mut self, name: &str, value: &str) -> Request {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub fn body(mut self, bytes: impl AsRef<[u8]>) -> Request {
        self.body = Body::CompleteResponse(bytes.as_ref().to_vec());
        self
    }

    pub fn chunks(mut self, parts: &[&str]) -> Request {
        self.body = Body::Chunks(parts.iter().map(|p| p.as_bytes().to_vec()).collect(), Vec::new());
        self
    }

    pub fn trailer(mut self, name: &str, value: &str) -> Request {
        if let Body::Chunks(_, trailers) = &mut self.body {
            trailers.push((name.into(), value.into()));
        }
        self
    }

    fn has(&self, name: &str) -> bool {
        self.headers.iter().any(|(n, _)| n.eq_ignore_ascii_case(name))
    }

    /// The bytes of the request; `authority` is the Host unless the headers name one.
    pub fn bytes(&self, authority: &str) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        if !self.has("host") {
            head += &format!("Host: {authority}\r\n");
        }
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        match &self.body {
            Body::CompleteResponse(bytes) if !self.has("content-length") => {
                head += &format!("Content-Length: {}\r\n", bytes.len());
            }
            Body::Chunks(..) if !self.has("transfer-encoding") => head += "Transfer-Encoding: chunked\r\n",
            _ => {}
        }
        let mut out = (head + "\r\n").into_bytes();
        match &self.body {
            Body::None => {}
            Body::CompleteResponse(bytes) => out.extend_from_slice(bytes),
            Body::Chunks(parts, trailers) => out.extend_from_slice(&chunked(parts, trailers)),
        }
        out
    }
}

/// A connection from this address of the loopback network.
pub fn stream_from(source: [u8; 4], address: SocketAddr) -> TcpStream {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    socket.bind(&SocketAddr::from((source, 0)).into()).expect("an address of the loopback network");
    socket.connect(&address.into()).expect("a connection");
    socket.into()
}

fn chunked(parts: &[Vec<u8>], trailers: &[(String, String)]) -> Vec<u8> {
    let mut out = Vec::new();
    for part in parts.iter().filter(|p| !p.is_empty()) {
        out.extend_from_slice(format!("{:x}\r\n", part.len()).as_bytes());
        out.extend_from_slice(part);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"0\r\n");
    for (name, value) in trailers {
        out.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    out.extend_from_slice(b"\r\n");
    out
}

/// How the reader recognized the end of the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    NoBody,
    Length,
    Chunked,
    Close,
}

/// A complete response.
#[derive(Clone, Debug)]
pub struct Response {
    pub status: u16,
    pub reason: String,
    pub head: Head,
    /// The 1xx responses before the final one.
    pub interim: Vec<Head>,
    pub body: Vec<u8>,
    pub length: u64,
    pub trailers: Vec<(String, String)>,
    pub ending: Ending,
}

impl Response {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.get(name)
    }

    /// The body as JSON; null when it is not JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// Whether the sender keeps the connection open.
    pub fn keeps_alive(&self) -> bool {
        !self.head.lists("connection", "close") && self.ending != Ending::Close
    }
}

/// Longer bodies are counted, not stored.
const MAX_STORED_BODY: usize = 8 << 20;

/// One connection to a server.
pub struct Client {
    pub wire: Http1Stream,
    authority: String,
}

impl Client {
    pub fn connect(address: SocketAddr) -> Client {
        Client::try_connect(address).unwrap_or_else(|e| panic!("connect to {address}: {e}"))
    }

    pub fn try_connect(address: SocketAddr) -> std::io::Result<Client> {
        Client::on(TcpStream::connect_timeout(&address, Duration::from_secs(5))?, address)
    }

    /// From this address of the loopback network.
    pub fn connect_from(source: [u8; 4], address: SocketAddr) -> Client {
        Client::on(stream_from(source, address), address).expect("a connection")
    }

    fn on(stream: TcpStream, address: SocketAddr) -> std::io::Result<Client> {
        let wire = Http1Stream::new(stream);
        wire.read_timeout(RESPONSE_TIMEOUT);
        wire.stream.set_write_timeout(Some(RESPONSE_TIMEOUT))?;
        Ok(Client { wire, authority: format!("localhost:{}", address.port()) })
    }

    /// Over TLS, with this server name.
    pub fn secure(address: SocketAddr, name: &str, config: Arc<ClientConfig>) -> std::io::Result<Client> {
        let mut client = Client::try_connect(address)?;
        client.authority = format!("{name}:{}", address.port());
        let name = ServerName::try_from(name.to_owned()).expect("a name");
        let tls = ClientConnection::new(config, name).map_err(std::io::Error::other)?;
        client.wire.encrypt(tls.into())?;
        Ok(client)
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.wire.send(bytes.as_ref())
    }

    /// Sends a request and reads its response; the upload continues while an early response arrives.
    pub fn ask(&mut self, request: &Request) -> Result<Response> {
        let bytes = request.bytes(&self.authority);
        if bytes.len() < 32 * 1024 || self.wire.tls.is_some() {
            self.send(&bytes);
            return self.answer(&request.method);
        }
        let mut writer = self.wire.stream.try_clone().expect("a second handle of the socket");
        let sending = std::thread::spawn(move || std::io::Write::write_all(&mut writer, &bytes).is_ok());
        let answer = self.answer(&request.method);
        if answer.is_ok() && answer.as_ref().is_ok_and(Response::keeps_alive) {
            let _ = sending.join();
        }
        answer
    }

    /// Sends a request that must get a response.
    pub fn must(&mut self, request: &Request) -> Response {
        self.ask(request).unwrap_or_else(|f| panic!("{} {}: {f:?}", request.method, request.target))
    }

    pub fn get(&mut self, target: &str) -> Response {
        self.must(&Request::get(target))
    }

    /// Reads the final response to a request with this method.
    pub fn answer(&mut self, method: &str) -> Result<Response> {
        let mut interim = Vec::new();
        loop {
            let head = self.wire.head()?;
            let (status, reason) = status_line(&head.start)?;
            if (100..200).contains(&status) && status != 101 {
                interim.push(head);
                continue;
            }
            return self.body_of(method, status, reason, head, interim);
        }
    }

    fn body_of(
        &mut self,
        method: &str,
        status: u16,
        reason: String,
        head: Head,
        interim: Vec<Head>,
    ) -> Result<Response> {
        let (mut body, mut length, mut trailers) = (Vec::new(), 0, Vec::new());
        let mut sink = |part: &[u8]| {
            length += part.len() as u64;
            if body.len() < MAX_STORED_BODY {
                body.extend_from_slice(part);
            }
        };
        let ending = ending_of(method, status, &head);
        match ending {
            Ending::NoBody => {}
            Ending::Chunked => trailers = self.wire.chunked(&mut sink)?,
            Ending::Length => {
                let text = head.get("content-length").unwrap_or_default();
                let n = text.parse().map_err(|_| Fault::Malformed(format!("Content-Length {text:?}")))?;
                self.wire.exactly(n, &mut sink)?;
            }
            Ending::Close => loop {
                sink(&self.wire.take());
                if self.wire.fill()? == 0 {
                    break;
                }
            },
        }
        Ok(Response { status, reason, head, interim, body, length, trailers, ending })
    }

    /// Whether the server closes within this time without sending more bytes.
    pub fn closes_within(&mut self, limit: Duration) -> bool {
        let start = Instant::now();
        self.wire.read_timeout(limit);
        let closed = matches!(self.wire.fill(), Ok(0));
        self.wire.read_timeout(RESPONSE_TIMEOUT);
        closed && start.elapsed() < limit + Duration::from_secs(1)
    }
}

fn ending_of(method: &str, status: u16, head: &Head) -> Ending {
    if method == "HEAD" || matches!(status, 101 | 204 | 304) {
        Ending::NoBody
    } else if head.lists("transfer-encoding", "chunked") {
        Ending::Chunked
    } else if head.has("content-length") {
        Ending::Length
    } else {
        Ending::Close
    }
}

fn status_line(line: &str) -> Result<(u16, String)> {
    let bad = || Fault::Malformed(format!("status line {line:?}"));
    let rest = line.strip_prefix("HTTP/1.1 ").ok_or_else(bad)?;
    let (code, reason) = rest.split_once(' ').ok_or_else(bad)?;
    let code = (code.len() == 3).then(|| code.parse().ok()).flatten().ok_or_else(bad)?;
    Ok((code, reason.to_owned()))
}

/// One request on its own connection.
pub fn once(address: SocketAddr, request: &Request) -> Result<Response> {
    let mut client = Client::try_connect(address).map_err(|_| Fault::Closed)?;
    client.ask(request)
}
