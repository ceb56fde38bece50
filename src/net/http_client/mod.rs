//! The gateway's own requests over HTTP/1.1, with or without TLS, bounded in time and size.
//!
//! For keys, registries and probes, always in the background: a connection serves one request and is closed. Redirects
//! are not followed: what an operator configured is what is asked.

mod connection;
mod lines;
#[cfg(test)]
mod tests;

pub use lines::LineStream;

use super::{
    proxy_protocol::Version,
    tls::{client::ClientTls, trust::TrustAnchors},
    unix_address::UnixAddress,
};
use crate::{
    base::{
        bytes::{is_field_value, is_token},
        url::HttpUrl,
    },
    pipeline::head::Head,
};
use connection::Connection;
use std::{
    fmt::Write,
    io,
    net::SocketAddr,
    sync::{Arc, OnceLock},
    time::Duration,
};
use tokio_rustls::TlsConnector;

/// What an answer may cost.
#[derive(Clone, Copy, Debug)]
pub struct RequestLimits {
    /// From the look-up of the name to the last byte; of lines, to the head of the answer.
    pub timeout: Duration,
    /// Bytes of the body; of lines, of each line.
    pub max_body: usize,
}

/// Where to connect to.
#[derive(Clone, Copy, Debug)]
pub enum PeerAddr<'a> {
    Tcp(SocketAddr),
    /// A socket of this machine.
    Unix(&'a UnixAddress),
}

/// A connection of the gateway's own to a place that is known.
#[derive(Clone, Copy, Debug)]
pub struct ConnectOptions<'a> {
    pub spot: PeerAddr<'a>,
    /// In which version the PROXY protocol says first that nobody else asks; none: nothing is said.
    pub local: Option<Version>,
}

/// A request of the gateway's own.
pub struct Request<'a> {
    method: &'static str,
    url: &'a HttpUrl,
    fields: Vec<(&'a str, &'a str)>,
    body: Option<&'a [u8]>,
    /// Where to connect to, instead of asking where the name leads.
    call: Option<ConnectOptions<'a>>,
}

impl<'a> Request<'a> {
    /// A request without a body.
    pub fn new(method: &'static str, url: &'a HttpUrl) -> Request<'a> {
        Request { method, url, fields: Vec::new(), body: None, call: None }
    }

    /// A GET.
    pub fn get(url: &'a HttpUrl) -> Request<'a> {
        Request::new("GET", url)
    }

    /// With one more header field. Values are not shown in errors: they may be secrets.
    #[must_use]
    pub fn header(mut self, name: &'a str, value: &'a str) -> Request<'a> {
        self.fields.push((name, value));
        self
    }

    /// To this place, wherever the name leads.
    #[must_use]
    pub fn with_address(mut self, call: ConnectOptions<'a>) -> Request<'a> {
        self.call = Some(call);
        self
    }

    /// With a body.
    #[must_use]
    pub fn body(mut self, body: &'a [u8]) -> Request<'a> {
        self.body = Some(body);
        self
    }

    /// Everything before the body.
    fn head(&self) -> io::Result<Vec<u8>> {
        let mut text =
            format!("{} {} HTTP/1.1\r\nHost: {}\r\n", self.method, self.url.target, self.url.authority());
        for (name, value) in &self.fields {
            if !is_token(name.as_bytes()) || !is_field_value(value.as_bytes()) {
                return Err(invalid_data(&format!("the value of the header {name:?} cannot be sent")));
            }
            text += &format!("{name}: {value}\r\n");
        }
        if !self.fields.iter().any(|(name, _)| name.eq_ignore_ascii_case("Accept")) {
            text += "Accept: application/json, */*;q=0.5\r\n";
        }
        if let Some(body) = self.body {
            let _ = write!(text, "Content-Length: {}\r\n", body.len());
        }
        text += "User-Agent: margay\r\nConnection: close\r\n\r\n";
        Ok(text.into_bytes())
    }
}

/// A whole answer, whatever its status.
#[derive(Debug)]
pub struct Response {
    pub head: Head,
    pub body: Vec<u8>,
}

impl Response {
    pub fn status(&self) -> u16 {
        self.head.status
    }

    /// The first header field of that name, if it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        std::str::from_utf8(self.head.get(name.as_bytes())?).ok()
    }

    /// The body of a 200; every other status is an error.
    pub fn body_if_ok(self) -> Result<Vec<u8>, String> {
        match self.head.status {
            200 => Ok(self.body),
            status => Err(format!("the answer is {status}")),
        }
    }
}

/// What asks, and how it speaks TLS. The system's certificates are read once, when the first https address is asked.
#[derive(Default)]
pub struct Client {
    tls_config: ClientTls,
    tls: OnceLock<TlsConnector>,
}

impl Client {
    pub fn new(trust: TrustAnchors) -> Client {
        Client::with_tls(ClientTls { trust, ..ClientTls::default() })
    }

    /// One that speaks TLS like this.
    pub fn with_tls(tls_config: ClientTls) -> Client {
        Client { tls_config, tls: OnceLock::new() }
    }

    /// The answer to a request, whole; an error says what happened instead of one, and where.
    pub async fn send(&self, request: &Request<'_>, bounds: RequestLimits) -> Result<Response, String> {
        let url = request.url;
        match tokio::time::timeout(bounds.timeout, self.read_body(request, bounds.max_body)).await {
            Ok(answer) => answer.map_err(|error| format!("{url}: {error}")),
            Err(_) => Err(format!("{url}: no complete answer within {:?}", bounds.timeout)),
        }
    }

    /// The answer to a request line by line, as it comes; the time is that until the head.
    pub async fn lines(&self, request: &Request<'_>, bounds: RequestLimits) -> Result<LineStream, String> {
        let url = request.url;
        match tokio::time::timeout(bounds.timeout, self.open(request)).await {
            Ok(Ok((head, conversation))) => Ok(LineStream::new(url, head, conversation, bounds.max_body)),
            Ok(Err(error)) => Err(format!("{url}: {error}")),
            Err(_) => Err(format!("{url}: no answer within {:?}", bounds.timeout)),
        }
    }

    async fn read_body(&self, request: &Request<'_>, most: usize) -> io::Result<Response> {
        let (head, mut conversation) = self.open(request).await?;
        let mut body = Vec::new();
        while conversation.read_chunk(&mut body).await? {
            if body.len() > most {
                return Err(invalid_data(&format!("the answer is longer than {most} bytes")));
            }
        }
        Ok(Response { head, body })
    }

    async fn open(&self, request: &Request<'_>) -> io::Result<(Head, Connection)> {
        let name = self.tls_config.name.as_deref().unwrap_or(&request.url.host);
        let tls = if request.url.tls { Some((self.connector()?, name)) } else { None };
        Connection::open(request, tls).await
    }

    fn connector(&self) -> io::Result<TlsConnector> {
        if let Some(connector) = self.tls.get() {
            return Ok(connector.clone());
        }
        let mut config = self.tls_config.compile().map_err(|error| invalid_data(&error))?;
        // Without a choice of protocols there is but one.
        config.alpn_protocols.clear();
        let made = TlsConnector::from(Arc::new(config));
        Ok(self.tls.get_or_init(|| made).clone())
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.debug_struct("Client").field("trust", &self.tls_config.trust).finish_non_exhaustive()
    }
}

/// The body of a 200 answer; everything else is an error that says what happened.
pub async fn get(url: &HttpUrl, trust: &TrustAnchors, bounds: RequestLimits) -> Result<Vec<u8>, String> {
    let reply = Client::new(trust.clone()).send(&Request::get(url), bounds).await?;
    reply.body_if_ok().map_err(|error| format!("{url}: {error}"))
}

/// Whether a connection is accepted within that time; an error says why not.
pub async fn tcp_probe(call: ConnectOptions<'_>, within: Duration) -> Result<(), String> {
    match tokio::time::timeout(within, connection::connect_announced(call)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(format!("{}: {error}", call.spot)),
        Err(_) => Err(format!("{}: no connection within {within:?}", call.spot)),
    }
}

impl std::fmt::Display for PeerAddr<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        match self {
            PeerAddr::Tcp(address) => address.fmt(f),
            PeerAddr::Unix(place) => place.fmt(f),
        }
    }
}

fn invalid_data(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
