//! One request and its answer on one connection.

use super::{ConnectOptions, PeerAddr, Request, invalid_data};
use crate::{
    net::{
        connect,
        h1::{
            decode::{Decoded, Decoder},
            parse::{self, HeadLimits},
        },
        proxy_protocol::write_local,
    },
    pipeline::head::Head,
};
use std::{
    io,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, rustls::pki_types::ServerName};

/// The largest head of an answer.
const MAX_HEAD: HeadLimits = HeadLimits { parse_request_line: 8 << 10, parse_fields: 32 << 10, count: 100 };
/// A connection on which nothing moves is probed after so long: a watch must notice that the other side is gone.
const TCP_KEEPALIVE_IDLE: Duration = Duration::from_secs(30);
/// The longest wait for room in the queue of a socket.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);

/// A connection, whatever it is made of.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// A connection on which a request was sent; its progress is kept here, so that waiting may be given up and taken up.
pub(super) struct Connection {
    stream: Box<dyn Stream>,
    read: Vec<u8>,
    /// Bytes of `read` that were used.
    consumed: usize,
    decoder: Decoder,
}

impl Connection {
    /// Connects, sends the request and reads the head of the final answer.
    pub(super) async fn open(
        request: &Request<'_>,
        tls: Option<(TlsConnector, &str)>,
    ) -> io::Result<(Head, Connection)> {
        let text = request.head()?;
        let mut stream = connect(request, tls).await?;
        stream.write_all(&text).await?;
        stream.write_all(request.body.unwrap_or_default()).await?;
        stream.flush().await?;
        let mut read = Vec::with_capacity(8 << 10);
        let (head, decoder) = head(&mut stream, &mut read, request.method == "HEAD").await?;
        Ok((head, Connection { stream, read, consumed: 0, decoder }))
    }

    /// Appends the next bytes of the body; false at its end.
    pub(super) async fn read_chunk(&mut self, whole: &mut Vec<u8>) -> io::Result<bool> {
        loop {
            match self.decoder.decode(&self.read[self.consumed..]).map_err(invalid_data)? {
                Decoded::End => return Ok(false),
                Decoded::Skip(n) => self.consumed += n,
                Decoded::Data(n) => {
                    whole.extend_from_slice(&self.read[self.consumed..self.consumed + n]);
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
    let stream = match request.call {
        Some(call) => connect_announced(call).await?,
        None => with_keepalive(TcpStream::connect((request.url.host.as_str(), request.url.port)).await?)?,
    };
    let Some((connector, name)) = tls else { return Ok(stream) };
    let name = ServerName::try_from(name.to_owned())
        .map_err(|_| invalid_data("the host is no name of a certificate"))?;
    Ok(Box::new(connector.connect(name, stream).await?))
}

/// Connects, and says that it is the gateway itself that does, where that is wanted; the time is others' to watch.
pub(super) async fn connect_announced(call: ConnectOptions<'_>) -> io::Result<Box<dyn Stream>> {
    let mut stream = match call.spot {
        PeerAddr::Tcp(address) => with_keepalive(TcpStream::connect(address).await?)?,
        PeerAddr::Unix(place) => {
            Box::new(connect::connect_unix(place, Instant::now() + WRITE_TIMEOUT).await?)
        }
    };
    if let Some(version) = call.local {
        let mut header = Vec::new();
        write_local(&mut header, version);
        stream.write_all(&header).await?;
    }
    Ok(stream)
}

fn with_keepalive(stream: TcpStream) -> io::Result<Box<dyn Stream>> {
    stream.set_nodelay(true)?;
    let probes =
        socket2::TcpKeepalive::new().with_time(TCP_KEEPALIVE_IDLE).with_interval(TCP_KEEPALIVE_IDLE / 3);
    socket2::SockRef::from(&stream).set_tcp_keepalive(&probes)?;
    Ok(Box::new(stream))
}

/// Reads up to the end of the final head; what follows it stays in `read`.
async fn head(
    stream: &mut (impl AsyncRead + Unpin),
    read: &mut Vec<u8>,
    for_head: bool,
) -> io::Result<(Head, Decoder)> {
    loop {
        let mut scanned = 0;
        let end = loop {
            if let Some(end) = parse::head_end(read, &mut scanned) {
                break end;
            }
            if read.len() > MAX_HEAD.parse_fields {
                return Err(invalid_data("the head of the answer is too long"));
            }
            read_more(stream, read).await?;
        };
        let mut head = Head::default();
        let framing = parse::response(&read[..end], &mut head, &MAX_HEAD, for_head)
            .map_err(|cause| invalid_data(&cause.detail))?;
        read.drain(..end);
        match head.status {
            101 => return Err(invalid_data("the answer changes the protocol, which nobody asked for")),
            100..=199 => {}
            _ => return Ok((head, Decoder::new(framing, (MAX_HEAD.parse_fields, MAX_HEAD.count)))),
        }
    }
}

async fn read_more(stream: &mut (impl AsyncRead + Unpin), read: &mut Vec<u8>) -> io::Result<()> {
    match stream.read_buf(read).await? {
        0 => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the answer ended early")),
        _ => Ok(()),
    }
}
