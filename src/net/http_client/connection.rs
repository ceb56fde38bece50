//! One request and its response on one connection.

use super::request::{ConnectOptions, PeerAddr, Request, invalid_data};
use crate::{
    base::bytes::comma_list,
    net::{
        connect,
        h1::{
            decode::{Decoded, Decoder},
            incomplete,
            parse::{self, HeadLimits},
        },
        proxy_protocol::write_local,
        reserved,
    },
    pipeline::{
        body::Framing,
        head::{Head, KnownHeader, Version},
    },
};
use std::{
    io,
    net::SocketAddr,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, rustls::pki_types::ServerName};

/// Limits of a response head.
const MAX_HEAD: HeadLimits =
    HeadLimits { max_line_bytes: 8 << 10, max_fields_bytes: 32 << 10, max_fields: 100 };
/// TCP keep-alive of an idle connection, so that a watch notices that the server is gone.
const TCP_KEEPALIVE_IDLE: Duration = Duration::from_secs(30);
/// Maximum time to connect to a Unix domain socket whose backlog is full.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);

/// A connection over any transport.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// A connection on which a request was sent. Reading is cancel-safe: progress is kept here.
pub(super) struct Connection {
    stream: Box<dyn Stream>,
    read: Vec<u8>,
    /// Bytes of `read` that were consumed.
    consumed: usize,
    decoder: Decoder,
    is_persistent: bool,
}

impl Connection {
    /// Connects, sends the request and reads the head of the final response.
    pub(super) async fn open(
        request: &Request<'_>,
        tls: Option<(TlsConnector, &str)>,
    ) -> io::Result<(Head, Connection)> {
        let head_bytes = request.head(false)?;
        let mut connection = Connection::connect(request, tls).await?;
        let head = connection.exchange(request, &head_bytes).await?;
        Ok((head, connection))
    }

    /// Connects; [`Connection::exchange`] sends a request.
    pub(super) async fn connect(
        request: &Request<'_>,
        tls: Option<(TlsConnector, &str)>,
    ) -> io::Result<Connection> {
        let stream = connect(request, tls).await?;
        let decoder = response_decoder(Framing::None);
        Ok(Connection {
            stream,
            read: Vec::with_capacity(8 << 10),
            consumed: 0,
            decoder,
            is_persistent: false,
        })
    }

    /// Sends a request with this head and reads the head of the final response.
    pub(super) async fn exchange(&mut self, request: &Request<'_>, head_bytes: &[u8]) -> io::Result<Head> {
        self.is_persistent = false;
        match request.body {
            Some(body) => self.stream.write_all(&[head_bytes, body].concat()).await?,
            None => self.stream.write_all(head_bytes).await?,
        }
        self.stream.flush().await?;
        let (head, framing) = head(&mut self.stream, &mut self.read, request.method == "HEAD").await?;
        self.decoder = response_decoder(framing);
        self.is_persistent = framing != Framing::UntilClose && keeps_alive(&head);
        Ok(head)
    }

    /// Whether no byte of a response was received.
    pub(super) fn has_no_response(&self) -> bool {
        self.read.is_empty()
    }

    /// Prepares a connection whose response was received completely for the next request; false if it must be closed.
    pub(super) fn recycle(&mut self) -> bool {
        let is_clean = self.consumed == self.read.len();
        self.read.clear();
        self.consumed = 0;
        is_clean && self.is_persistent
    }

    /// Appends the next bytes of the body; false at its end.
    pub(super) async fn read_chunk(&mut self, body: &mut Vec<u8>) -> io::Result<bool> {
        loop {
            match self.decoder.decode(&self.read[self.consumed..]).map_err(invalid_data)? {
                Decoded::End => return Ok(false),
                Decoded::Skip(n) => self.consumed += n,
                Decoded::Data(n) => {
                    body.extend_from_slice(&self.read[self.consumed..self.consumed + n]);
                    self.decoder.advance(n);
                    self.consumed += n;
                    return Ok(true);
                }
                Decoded::More => {
                    self.read.drain(..self.consumed);
                    self.consumed = 0;
                    match read_more(&mut self.stream, &mut self.read).await {
                        Ok(()) => {}
                        Err(_) if self.decoder.ends_with_close() => return Ok(false),
                        Err(error) => return Err(error),
                    }
                }
            }
        }
    }
}

async fn connect(request: &Request<'_>, tls: Option<(TlsConnector, &str)>) -> io::Result<Box<dyn Stream>> {
    let stream = match request.options {
        Some(options) => connect_with_options(options).await?,
        None => with_keepalive(connect_by_name(&request.url.host, request.url.port).await?)?,
    };
    let Some((connector, name)) = tls else { return Ok(stream) };
    let name = ServerName::try_from(name.to_owned())
        .map_err(|_| invalid_data("the host is not a valid server name"))?;
    Ok(Box::new(connector.connect(name, stream).await?))
}

/// Connects and sends a LOCAL PROXY header if configured; the caller applies the timeout.
pub(super) async fn connect_with_options(options: ConnectOptions<'_>) -> io::Result<Box<dyn Stream>> {
    let mut stream = match options.peer {
        PeerAddr::Tcp(address) => with_keepalive(connect_tcp(address).await?)?,
        PeerAddr::Unix(address) => {
            Box::new(connect::connect_unix(address, Instant::now() + WRITE_TIMEOUT).await?)
        }
        PeerAddr::Agent(agent) => {
            let opened = agent.open(None, WRITE_TIMEOUT).await;
            Box::new(opened.map_err(|error| io::Error::other(error.detail.into_owned()))?)
        }
    };
    if let Some(version) = options.proxy_protocol {
        let mut header = Vec::new();
        write_local(&mut header, version);
        stream.write_all(&header).await?;
    }
    Ok(stream)
}

/// Connects to the first address of the name that accepts.
async fn connect_by_name(host: &str, port: u16) -> io::Result<TcpStream> {
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in tokio::net::lookup_host((host, port)).await? {
        match connect_tcp(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn connect_tcp(address: SocketAddr) -> io::Result<TcpStream> {
    reserved::check_tcp(address)?;
    TcpStream::connect(address).await
}

fn with_keepalive(stream: TcpStream) -> io::Result<Box<dyn Stream>> {
    stream.set_nodelay(true)?;
    let probes =
        socket2::TcpKeepalive::new().with_time(TCP_KEEPALIVE_IDLE).with_interval(TCP_KEEPALIVE_IDLE / 3);
    socket2::SockRef::from(&stream).set_tcp_keepalive(&probes)?;
    Ok(Box::new(stream))
}

/// Reads up to the end of the final head; bytes after it stay in `read`.
async fn head(
    stream: &mut (impl AsyncRead + Unpin),
    read: &mut Vec<u8>,
    for_head: bool,
) -> io::Result<(Head, Framing)> {
    loop {
        let mut scanned = 0;
        let end = loop {
            let from = scanned;
            if let Some(end) = parse::head_end(read, &mut scanned) {
                break end;
            }
            if read.len() > MAX_HEAD.max_fields_bytes {
                return Err(invalid_data("the response head is too large"));
            }
            incomplete::check_incomplete_response(read, from).map_err(|cause| invalid_data(&cause.detail))?;
            read_more(stream, read).await?;
        };
        let mut head = Head::default();
        let framing = parse::response(&read[..end], &mut head, &MAX_HEAD, for_head)
            .map_err(|cause| invalid_data(&cause.detail))?;
        read.drain(..end);
        match head.status {
            101 => return Err(invalid_data("unexpected 101 response")),
            100..=199 => {}
            _ => return Ok((head, framing)),
        }
    }
}

fn response_decoder(framing: Framing) -> Decoder {
    Decoder::new(framing, (MAX_HEAD.max_fields_bytes, MAX_HEAD.max_fields))
}

/// Whether the server keeps the connection open (RFC 9112 9.3).
fn keeps_alive(head: &Head) -> bool {
    let options = || head.get_all_known(KnownHeader::Connection).flat_map(comma_list);
    let has_option = |name: &[u8]| options().any(|option| option.eq_ignore_ascii_case(name));
    !has_option(b"close") && (head.version != Version::Http10 || has_option(b"keep-alive"))
}

async fn read_more(stream: &mut (impl AsyncRead + Unpin), read: &mut Vec<u8>) -> io::Result<()> {
    match stream.read_buf(read).await? {
        0 => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the response ended early")),
        _ => Ok(()),
    }
}
