//! Sending requests and receiving responses, complete or as lines.

use super::{
    connection::{self, Connection},
    lines::LineStream,
    request::{ConnectOptions, Request, RequestLimits, invalid_data},
};
use crate::{
    base::url::HttpUrl,
    net::tls::{client::ClientTls, trust::TrustAnchors},
    pipeline::head::Head,
};
use std::{
    io,
    sync::{Arc, OnceLock},
    time::Duration,
};
use tokio_rustls::TlsConnector;

/// A complete response of any status.
#[derive(Debug)]
pub struct Response {
    pub head: Head,
    pub body: Vec<u8>,
}

impl Response {
    /// The status code.
    pub fn status(&self) -> u16 {
        self.head.status
    }

    /// The first header field of that name, if it is valid UTF-8.
    pub fn header(&self, name: &str) -> Option<&str> {
        std::str::from_utf8(self.head.get(name.as_bytes())?).ok()
    }

    /// The body of a 200 response; any other status is an error.
    pub fn body_if_ok(self) -> Result<Vec<u8>, String> {
        match self.head.status {
            200 => Ok(self.body),
            status => Err(format!("the response status is {status}")),
        }
    }
}

/// HTTP client with its TLS settings. The system's trust anchors are read once, at the first https request.
#[derive(Default)]
pub struct Client {
    tls_config: ClientTls,
    tls: OnceLock<TlsConnector>,
}

impl Client {
    /// A client with these trust anchors.
    pub fn new(trust: TrustAnchors) -> Client {
        Client::with_tls(ClientTls { trust, ..ClientTls::default() })
    }

    /// A client with these TLS settings.
    pub fn with_tls(tls_config: ClientTls) -> Client {
        Client { tls_config, tls: OnceLock::new() }
    }

    /// Sends a request and receives the complete response; an error contains the URL and the reason.
    pub async fn send(&self, request: &Request<'_>, limits: RequestLimits) -> Result<Response, String> {
        let url = request.url;
        match tokio::time::timeout(limits.timeout, self.read_body(request, limits.max_body)).await {
            Ok(response) => response.map_err(|error| format!("{url}: {error}")),
            Err(_) => Err(format!("{url}: no complete response within {:?}", limits.timeout)),
        }
    }

    /// Sends a request and returns the response as a stream of lines; the timeout ends with the response head.
    pub async fn lines(&self, request: &Request<'_>, limits: RequestLimits) -> Result<LineStream, String> {
        let url = request.url;
        match tokio::time::timeout(limits.timeout, self.open(request)).await {
            Ok(Ok((head, connection))) => Ok(LineStream::new(url, head, connection, limits.max_body)),
            Ok(Err(error)) => Err(format!("{url}: {error}")),
            Err(_) => Err(format!("{url}: no response within {:?}", limits.timeout)),
        }
    }

    async fn read_body(&self, request: &Request<'_>, max_body: usize) -> io::Result<Response> {
        let (head, mut connection) = self.open(request).await?;
        let mut body = Vec::new();
        while connection.read_chunk(&mut body).await? {
            if body.len() > max_body {
                return Err(invalid_data(&format!("the response is larger than {max_body} bytes")));
            }
        }
        Ok(Response { head, body })
    }

    async fn open(&self, request: &Request<'_>) -> io::Result<(Head, Connection)> {
        Connection::open(request, self.tls(request)?).await
    }

    /// The connector and the server name of an https request.
    pub(super) fn tls<'s>(&'s self, request: &'s Request<'_>) -> io::Result<Option<(TlsConnector, &'s str)>> {
        let name = self.tls_config.name.as_deref().unwrap_or(&request.url.host);
        Ok(if request.url.tls { Some((self.connector()?, name)) } else { None })
    }

    fn connector(&self) -> io::Result<TlsConnector> {
        if let Some(connector) = self.tls.get() {
            return Ok(connector.clone());
        }
        let mut config = self.tls_config.compile().map_err(|error| invalid_data(&error))?;
        // Without ALPN the protocol is HTTP/1.1.
        config.alpn_protocols.clear();
        let connector = TlsConnector::from(Arc::new(config));
        Ok(self.tls.get_or_init(|| connector).clone())
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.debug_struct("Client").field("trust", &self.tls_config.trust).finish_non_exhaustive()
    }
}

/// The body of a 200 response; anything else is an error with the URL and the reason.
pub async fn get(url: &HttpUrl, trust: &TrustAnchors, limits: RequestLimits) -> Result<Vec<u8>, String> {
    let response = Client::new(trust.clone()).send(&Request::get(url), limits).await?;
    response.body_if_ok().map_err(|error| format!("{url}: {error}"))
}

/// Whether a TCP or Unix domain socket connection is accepted within `timeout`; an error contains the reason.
pub async fn tcp_probe(options: ConnectOptions<'_>, timeout: Duration) -> Result<(), String> {
    match tokio::time::timeout(timeout, connection::connect_with_options(options)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(format!("{}: {error}", options.peer)),
        Err(_) => Err(format!("{}: no connection within {timeout:?}", options.peer)),
    }
}
