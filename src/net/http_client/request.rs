//! Requests: target, fields, body, limits.

use crate::{
    base::{
        bytes::{is_field_value, is_token},
        url::HttpUrl,
    },
    net::{agents::endpoint::AgentEndpoint, proxy_protocol::Version, unix_address::UnixAddress},
};
use std::{fmt::Write, io, net::SocketAddr, time::Duration};

/// Limits of a request.
#[derive(Clone, Copy, Debug)]
pub struct RequestLimits {
    /// From the DNS lookup to the last byte of the response; for line streams, to the response head.
    pub timeout: Duration,
    /// Maximum size of the body; for line streams, of each line.
    pub max_body: usize,
}

/// The address to connect to.
#[derive(Clone, Copy, Debug)]
pub enum PeerAddr<'a> {
    Tcp(SocketAddr),
    /// A Unix domain socket.
    Unix(&'a UnixAddress),
    /// The service of an agent.
    Agent(&'a AgentEndpoint),
}

/// How to connect to a known address.
#[derive(Clone, Copy, Debug)]
pub struct ConnectOptions<'a> {
    pub peer: PeerAddr<'a>,
    /// Version of the LOCAL PROXY header to send first, if any.
    pub proxy_protocol: Option<Version>,
}

/// A request of the gateway itself.
pub struct Request<'a> {
    pub(super) method: &'static str,
    pub(super) url: &'a HttpUrl,
    fields: Vec<(&'a str, &'a str)>,
    pub(super) body: Option<&'a [u8]>,
    /// Overrides the address of the URL's host name.
    pub(super) options: Option<ConnectOptions<'a>>,
}

impl<'a> Request<'a> {
    /// A request without a body.
    pub fn new(method: &'static str, url: &'a HttpUrl) -> Request<'a> {
        Request { method, url, fields: Vec::new(), body: None, options: None }
    }

    /// A GET.
    pub fn get(url: &'a HttpUrl) -> Request<'a> {
        Request::new("GET", url)
    }

    /// Adds a header field. Values never occur in errors: they may be secrets.
    #[must_use]
    pub fn header(mut self, name: &'a str, value: &'a str) -> Request<'a> {
        self.fields.push((name, value));
        self
    }

    /// Connects to this address instead of resolving the host name.
    #[must_use]
    pub fn with_address(mut self, options: ConnectOptions<'a>) -> Request<'a> {
        self.options = Some(options);
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, body: &'a [u8]) -> Request<'a> {
        self.body = Some(body);
        self
    }

    /// The request line and the header fields; `keep_alive`: the connection serves further requests.
    pub(super) fn head(&self, keep_alive: bool) -> io::Result<Vec<u8>> {
        let mut text =
            format!("{} {} HTTP/1.1\r\nHost: {}\r\n", self.method, self.url.target, self.url.authority());
        for (name, value) in &self.fields {
            if !is_token(name.as_bytes()) || !is_field_value(value.as_bytes()) {
                return Err(invalid_data(&format!(
                    "the header {name:?} cannot be sent: invalid name or value"
                )));
            }
            let _ = write!(text, "{name}: {value}\r\n");
        }
        if !self.fields.iter().any(|(name, _)| name.eq_ignore_ascii_case("Accept")) {
            text += "Accept: application/json, */*;q=0.5\r\n";
        }
        if let Some(body) = self.body {
            let _ = write!(text, "Content-Length: {}\r\n", body.len());
        }
        if !self.fields.iter().any(|(name, _)| name.eq_ignore_ascii_case("User-Agent")) {
            text += "User-Agent: margay\r\n";
        }
        text += if keep_alive { "\r\n" } else { "Connection: close\r\n\r\n" };
        Ok(text.into_bytes())
    }
}

impl std::fmt::Display for PeerAddr<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        match self {
            PeerAddr::Tcp(address) => address.fmt(f),
            PeerAddr::Unix(path) => path.fmt(f),
            PeerAddr::Agent(agent) => agent.address.fmt(f),
        }
    }
}

/// An error for invalid input.
pub(super) fn invalid_data(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
