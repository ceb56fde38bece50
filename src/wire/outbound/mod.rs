//! The gateway's own requests over HTTP/1.1, with or without TLS, bounded in time and size.
//!
//! For keys, registries and probes, always in the background: a connection serves one request and is closed. Redirects
//! are not followed: what an operator configured is what is asked.

mod conversation;
mod lines;
#[cfg(test)]
mod tests;

pub use lines::Lines;

use super::{
    place::Place,
    proxy_protocol::Version,
    tls::{client::ClientTls, trust::Trust},
};
use crate::{
    base::{
        bytes::{is_field_value, is_token},
        url::HttpUrl,
    },
    pipeline::head::Head,
};
use conversation::Conversation;
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
pub struct Bounds {
    /// From the look-up of the name to the last byte; of lines, to the head of the answer.
    pub time: Duration,
    /// Bytes of the body; of lines, of each line.
    pub size: usize,
}

/// Where to connect to.
#[derive(Clone, Copy, Debug)]
pub enum Spot<'a> {
    At(SocketAddr),
    /// A socket of this machine.
    Unix(&'a Place),
}

/// A connection of the gateway's own to a place that is known.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    pub spot: Spot<'a>,
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
    call: Option<Call<'a>>,
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
    pub fn field(mut self, name: &'a str, value: &'a str) -> Request<'a> {
        self.fields.push((name, value));
        self
    }

    /// To this place, wherever the name leads.
    #[must_use]
    pub fn at(mut self, call: Call<'a>) -> Request<'a> {
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
                return Err(odd(&format!("the value of the header {name:?} cannot be sent")));
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
pub struct Reply {
    pub head: Head,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn status(&self) -> u16 {
        self.head.status
    }

    /// The first header field of that name, if it is text.
    pub fn field(&self, name: &str) -> Option<&str> {
        std::str::from_utf8(self.head.get(name.as_bytes())?).ok()
    }

    /// The body of a 200; every other status is an error.
    pub fn good(self) -> Result<Vec<u8>, String> {
        match self.head.status {
            200 => Ok(self.body),
            status => Err(format!("the answer is {status}")),
        }
    }
}

/// What asks, and how it speaks TLS. The system's certificates are read once, when the first https address is asked.
#[derive(Default)]
pub struct Client {
    setting: ClientTls,
    tls: OnceLock<TlsConnector>,
}

impl Client {
    pub fn new(trust: Trust) -> Client {
        Client::with(ClientTls { trust, ..ClientTls::default() })
    }

    /// One that speaks TLS like this.
    pub fn with(setting: ClientTls) -> Client {
        Client { setting, tls: OnceLock::new() }
    }

    /// The answer to a request, whole; an error says what happened instead of one, and where.
    pub async fn send(&self, request: &Request<'_>, bounds: Bounds) -> Result<Reply, String> {
        let url = request.url;
        match tokio::time::timeout(bounds.time, self.whole(request, bounds.size)).await {
            Ok(answer) => answer.map_err(|error| format!("{url}: {error}")),
            Err(_) => Err(format!("{url}: no complete answer within {:?}", bounds.time)),
        }
    }

    /// The answer to a request line by line, as it comes; the time is that until the head.
    pub async fn lines(&self, request: &Request<'_>, bounds: Bounds) -> Result<Lines, String> {
        let url = request.url;
        match tokio::time::timeout(bounds.time, self.open(request)).await {
            Ok(Ok((head, conversation))) => Ok(Lines::new(url, head, conversation, bounds.size)),
            Ok(Err(error)) => Err(format!("{url}: {error}")),
            Err(_) => Err(format!("{url}: no answer within {:?}", bounds.time)),
        }
    }

    async fn whole(&self, request: &Request<'_>, most: usize) -> io::Result<Reply> {
        let (head, mut conversation) = self.open(request).await?;
        let mut body = Vec::new();
        while conversation.part(&mut body).await? {
            if body.len() > most {
                return Err(odd(&format!("the answer is longer than {most} bytes")));
            }
        }
        Ok(Reply { head, body })
    }

    async fn open(&self, request: &Request<'_>) -> io::Result<(Head, Conversation)> {
        let name = self.setting.name.as_deref().unwrap_or(&request.url.host);
        let tls = if request.url.tls { Some((self.connector()?, name)) } else { None };
        Conversation::open(request, tls).await
    }

    fn connector(&self) -> io::Result<TlsConnector> {
        if let Some(connector) = self.tls.get() {
            return Ok(connector.clone());
        }
        let mut config = self.setting.compile().map_err(|error| odd(&error))?;
        // Without a choice of protocols there is but one.
        config.alpn_protocols.clear();
        let made = TlsConnector::from(Arc::new(config));
        Ok(self.tls.get_or_init(|| made).clone())
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.debug_struct("Client").field("trust", &self.setting.trust).finish_non_exhaustive()
    }
}

/// The body of a 200 answer; everything else is an error that says what happened.
pub async fn get(url: &HttpUrl, trust: &Trust, bounds: Bounds) -> Result<Vec<u8>, String> {
    let reply = Client::new(trust.clone()).send(&Request::get(url), bounds).await?;
    reply.good().map_err(|error| format!("{url}: {error}"))
}

/// Whether a connection is accepted within that time; an error says why not.
pub async fn knock(call: Call<'_>, within: Duration) -> Result<(), String> {
    match tokio::time::timeout(within, conversation::reach(call)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(format!("{}: {error}", call.spot)),
        Err(_) => Err(format!("{}: no connection within {within:?}", call.spot)),
    }
}

impl std::fmt::Display for Spot<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        match self {
            Spot::At(address) => address.fmt(f),
            Spot::Unix(place) => place.fmt(f),
        }
    }
}

fn odd(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
