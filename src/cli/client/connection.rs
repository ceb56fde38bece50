//! HTTP/1.1 to the administration API over TCP, TLS or a Unix domain socket.

use super::arguments::AdminOptions;
use super::error::ClientError;
use super::target::{AdminTarget, Transport};
use crate::net::tls::{certificate::CertifiedKeyPem, client::ClientTls, trust::TrustAnchors};
use bytes::Bytes;
use http::{Method, Request, Response, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::runtime::Runtime;
use tokio_rustls::rustls::pki_types::ServerName;

/// Time to connect and to receive the head of a response.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(60);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Maximum size of a response.
const MAX_RESPONSE_BYTES: usize = 256 << 20;
/// Maximum size of a token file.
const MAX_TOKEN_BYTES: u64 = 8 << 10;

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// A client of one gateway.
pub struct AdminClient {
    target: AdminTarget,
    token: Option<String>,
    tls: ClientTls,
    runtime: Runtime,
}

/// A complete response.
#[derive(Debug)]
pub struct AdminResponse {
    /// The value of `ETag`.
    pub etag: Option<String>,
    pub body: Value,
}

impl AdminClient {
    /// A client with the address and the credentials of the command line and the environment.
    pub fn new(options: &AdminOptions) -> Result<AdminClient, ClientError> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
        let target = AdminTarget::select(options.admin.as_deref(), variable("MARGAY_ADMIN").as_deref());
        let token = match &options.token_file {
            Some(path) => Some(read_token(path)?),
            None => variable("MARGAY_ADMIN_TOKEN"),
        };
        let token = token.map(|token| token.trim().to_owned());
        if token.as_ref().is_some_and(|token| token.bytes().any(|b| !b.is_ascii_graphic())) {
            return Err(ClientError::Usage("the token contains characters that no token has".to_owned()));
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        Ok(AdminClient {
            target: target.map_err(ClientError::Usage)?,
            token,
            tls: tls(options)?,
            runtime: runtime.map_err(|error| ClientError::Unreachable(error.to_string()))?,
        })
    }

    /// The address, for messages.
    pub fn address(&self) -> &str {
        &self.target.text
    }

    /// A GET.
    pub fn get(&self, path: &str) -> Result<AdminResponse, ClientError> {
        self.call(Method::GET, path, None, None)
    }

    /// A POST.
    pub fn post(&self, path: &str, body: Option<&str>) -> Result<AdminResponse, ClientError> {
        self.call(Method::POST, path, body, None)
    }

    /// A PUT, with `If-Match`.
    pub fn put(&self, path: &str, body: &str, etag: Option<&str>) -> Result<AdminResponse, ClientError> {
        self.call(Method::PUT, path, Some(body), etag)
    }

    fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&str>,
        etag: Option<&str>,
    ) -> Result<AdminResponse, ClientError> {
        self.runtime.block_on(async {
            let response = self.send(method, path, body, etag).await?;
            let status = response.status();
            let etag =
                response.headers().get(header::ETAG).and_then(|value| value.to_str().ok()).map(str::to_owned);
            let collected = Limited::new(response.into_body(), MAX_RESPONSE_BYTES).collect().await;
            let body = collected.map_err(|error| self.interrupted(&error.to_string()))?.to_bytes();
            if !status.is_success() {
                return Err(ClientError::from_response(status.as_u16(), &body));
            }
            if body.is_empty() {
                return Ok(AdminResponse { etag, body: Value::Null });
            }
            let body = serde_json::from_slice(&body).map_err(|_| {
                ClientError::Unexpected(format!("{}{path} is no JSON page", self.target.text))
            })?;
            Ok(AdminResponse { etag, body })
        })
    }

    /// Reads an event stream: `event` receives the data of each event until it returns false.
    pub fn stream(&self, path: &str, mut event: impl FnMut(&str) -> bool) -> Result<(), ClientError> {
        self.runtime.block_on(async {
            let mut response = self.send(Method::GET, path, None, None).await?;
            let status = response.status();
            if !status.is_success() {
                let body = Limited::new(response.into_body(), MAX_RESPONSE_BYTES).collect().await;
                let body = body.map(|body| body.to_bytes()).unwrap_or_default();
                return Err(ClientError::from_response(status.as_u16(), &body));
            }
            let mut parser = super::event_stream::EventStream::default();
            while let Some(frame) = response.body_mut().frame().await {
                let frame = frame.map_err(|error| self.interrupted(&error.to_string()))?;
                for data in frame.data_ref().map(|data| parser.push(data)).unwrap_or_default() {
                    if !event(&data) {
                        return Ok(());
                    }
                }
            }
            Ok(())
        })
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&str>,
        etag: Option<&str>,
    ) -> Result<Response<Incoming>, ClientError> {
        let request = self.request(method, path, body, etag)?;
        let stream = match tokio::time::timeout(CONNECT_TIMEOUT, self.connect()).await {
            Ok(connected) => connected?,
            Err(_) => return Err(self.unreachable("no connection within 10 seconds")),
        };
        let handshake = http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = handshake.map_err(|error| self.interrupted(&error.to_string()))?;
        tokio::spawn(connection);
        match tokio::time::timeout(RESPONSE_TIMEOUT, sender.send_request(request)).await {
            Ok(response) => response.map_err(|error| self.interrupted(&error.to_string())),
            Err(_) => Err(self.unreachable("no response within 60 seconds")),
        }
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<&str>,
        etag: Option<&str>,
    ) -> Result<Request<Full<Bytes>>, ClientError> {
        let path = format!("{}{path}", self.target.base_path);
        let mut request = Request::builder().method(method).uri(path).header(header::HOST, &self.target.host);
        request = request.header(header::USER_AGENT, concat!("margay/", env!("CARGO_PKG_VERSION")));
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        if let Some(etag) = etag {
            request = request.header(header::IF_MATCH, etag);
        }
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let body = Full::new(Bytes::from(body.unwrap_or_default().to_owned()));
        request.body(body).map_err(|error| ClientError::Usage(format!("invalid request: {error}")))
    }

    async fn connect(&self) -> Result<Box<dyn Stream>, ClientError> {
        match &self.target.transport {
            Transport::Unix(path) => match UnixStream::connect(path).await {
                Ok(stream) => Ok(Box::new(stream)),
                Err(error) => Err(self.unreachable(&error.to_string())),
            },
            Transport::Tcp { host, port, is_tls } => {
                let stream = TcpStream::connect((host.as_str(), *port)).await;
                let stream = stream.map_err(|error| self.unreachable(&error.to_string()))?;
                if !is_tls {
                    return Ok(Box::new(stream));
                }
                let connector = self.tls.connector().map_err(ClientError::Usage)?;
                let name = ServerName::try_from(host.clone());
                let name =
                    name.map_err(|_| ClientError::Usage(format!("\"{host}\" is not a server name")))?;
                let stream = connector.connect(name, stream).await;
                Ok(Box::new(stream.map_err(|error| self.tls_failed(&error))?))
            }
        }
    }

    fn unreachable(&self, reason: &str) -> ClientError {
        ClientError::Unreachable(format!(
            "no gateway at {}: {reason}\n  = help: start it with `margay run`, or pass its administration address with \
             --admin or MARGAY_ADMIN",
            self.target.text
        ))
    }

    fn tls_failed(&self, error: &io::Error) -> ClientError {
        ClientError::Unreachable(format!(
            "TLS to {}: {error}\n  = help: pass the certificate authority with --ca-file; --certificate-file and --key-file \
             present a client certificate",
            self.target.text
        ))
    }

    fn interrupted(&self, reason: &str) -> ClientError {
        ClientError::Unreachable(format!("the connection to {} ended: {reason}", self.target.text))
    }
}

fn read_token(path: &Path) -> Result<String, ClientError> {
    let text = crate::config::files::read_limited(path, MAX_TOKEN_BYTES)
        .and_then(|bytes| String::from_utf8(bytes).map_err(|_| io::Error::other("not UTF-8")));
    match text {
        Ok(text) if !text.trim().is_empty() => Ok(text),
        Ok(_) => Err(ClientError::Usage(format!("--token-file {} is empty", path.display()))),
        Err(error) => Err(ClientError::Usage(format!("--token-file {}: {error}", path.display()))),
    }
}

fn tls(options: &AdminOptions) -> Result<ClientTls, ClientError> {
    let read = |path: &Path| -> Result<Arc<[u8]>, ClientError> {
        let bytes = std::fs::read(path)
            .map_err(|error| ClientError::Usage(format!("{}: {error}", path.display())))?;
        Ok(bytes.into())
    };
    let trust = match &options.ca_file {
        Some(path) => TrustAnchors::Custom(read(path)?),
        None => TrustAnchors::System,
    };
    let client_certificate = match (&options.certificate_file, &options.key_file) {
        (Some(chain), Some(key)) => Some(CertifiedKeyPem { chain: read(chain)?, key: read(key)? }),
        _ => None,
    };
    Ok(ClientTls { trust, client_certificate, name: None })
}
