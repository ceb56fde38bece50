//! Receiving the header on an accepted connection: trusted peers, required or optional, timeout.

use super::{
    header::{MAX_V2_LEN, ProxyAddresses},
    parse::{Parsed, parse},
};
use crate::{
    base::ip_set::IpSet,
    net::{
        io::Stream,
        listener::{Accepted, AcceptedSocket},
        socket_stream::SocketStream,
    },
    pipeline::error::{ErrorCode, GatewayError},
};
use std::{net::SocketAddr, time::Duration};
use tokio::io::{AsyncRead, AsyncReadExt};

/// Whether the header is required.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Only trusted proxies may connect, and each connection must begin with a header.
    #[default]
    Required,
    /// Trusted proxies may send a header; other clients connect directly.
    Optional,
}

/// PROXY protocol settings of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyProtocolConfig {
    /// Trusted proxies.
    pub trusted: IpSet,
    /// Whether clients of a Unix domain socket are trusted.
    pub trust_unix: bool,
    pub mode: Mode,
    /// Timeout of the header.
    pub timeout: Duration,
}

/// Why a connection is closed without a response.
#[derive(Debug)]
pub enum ReceiveError {
    /// The client closed the connection before the first byte.
    Closed,
    Rejected(GatewayError),
}

impl ProxyProtocolConfig {
    /// The connection, with the source and destination address of the header.
    pub async fn receive(
        &self,
        accepted: Accepted,
    ) -> Result<(Stream, SocketAddr, SocketAddr), ReceiveError> {
        let Accepted { io, peer, local, unix } = accepted;
        if !self.trusts(peer, unix) {
            return match self.mode {
                Mode::Optional => Ok((io, peer, local)),
                Mode::Required => Err(rejection(ErrorCode::ProxyUntrusted, UNTRUSTED)),
            };
        }
        match tokio::time::timeout(self.timeout, self.header(io)).await {
            Ok(Ok((io, Some(ProxyAddresses { source, destination })))) => Ok((io, source, destination)),
            Ok(Ok((io, None))) => Ok((io, peer, local)),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(rejection(ErrorCode::ProxyTimeout, "the header was not complete in time")),
        }
    }

    fn trusts(&self, peer: SocketAddr, unix: bool) -> bool {
        if unix { self.trust_unix } else { self.trusted.contains(peer.ip()) }
    }

    /// The same for a plain socket; bytes after the header are returned.
    ///
    /// # Errors
    ///
    /// [`ReceiveError`].
    pub async fn receive_on_socket(
        &self,
        accepted: AcceptedSocket,
    ) -> Result<(AcceptedSocket, Vec<u8>), ReceiveError> {
        let AcceptedSocket { mut socket, peer, local, unix } = accepted;
        let accepted = |socket: SocketStream, peer, local| AcceptedSocket { socket, peer, local, unix };
        if !self.trusts(peer, unix) {
            return match self.mode {
                Mode::Optional => Ok((accepted(socket, peer, local), Vec::new())),
                Mode::Required => {
                    socket.reset();
                    Err(rejection(ErrorCode::ProxyUntrusted, UNTRUSTED))
                }
            };
        }
        match tokio::time::timeout(self.timeout, self.read_header(&mut socket)).await {
            Ok(Ok((Some(ProxyAddresses { source, destination }), rest))) => {
                Ok((accepted(socket, source, destination), rest))
            }
            Ok(Ok((None, rest))) => Ok((accepted(socket, peer, local), rest)),
            Ok(Err(error)) => {
                socket.reset();
                Err(error)
            }
            Err(_) => {
                socket.reset();
                Err(rejection(ErrorCode::ProxyTimeout, "the header was not complete in time"))
            }
        }
    }

    /// Reads the header; bytes after it are put back.
    async fn header(&self, io: Stream) -> Result<(Stream, Option<ProxyAddresses>), ReceiveError> {
        let mut stream = io.into_plain().ok_or(ReceiveError::Closed)?;
        let (addresses, rest) = self.read_header(&mut stream).await?;
        stream.put_back(&rest);
        Ok((Stream::new(stream), addresses))
    }

    /// Reads the header, and the bytes after it that were received with it.
    async fn read_header(
        &self,
        stream: &mut (impl AsyncRead + Unpin),
    ) -> Result<(Option<ProxyAddresses>, Vec<u8>), ReceiveError> {
        let (mut buffer, mut read) = ([0; MAX_V2_LEN], 0);
        loop {
            match stream.read(&mut buffer[read..]).await {
                Ok(n @ 1..) => read += n,
                _ if read == 0 => return Err(ReceiveError::Closed),
                _ => {
                    return Err(rejection(
                        ErrorCode::ProxyHeader,
                        "the connection was closed within the header",
                    ));
                }
            }
            let bytes = &buffer[..read];
            let (addresses, length) = match parse(bytes) {
                // There is room left: a longer header is rejected by `parse`.
                Ok(Parsed::Incomplete) => continue,
                Ok(Parsed::Header { addresses, length }) => (addresses, length),
                Ok(Parsed::Absent) if self.mode == Mode::Optional => (None, 0),
                Ok(Parsed::Absent) => return Err(rejection(ErrorCode::ProxyHeader, "missing header")),
                Err(error) => return Err(rejection(ErrorCode::ProxyHeader, error.0)),
            };
            return Ok((addresses, bytes[length..].to_vec()));
        }
    }
}

/// Why an untrusted peer is rejected.
const UNTRUSTED: &str = "the peer is not a trusted proxy";

fn rejection(code: ErrorCode, detail: &'static str) -> ReceiveError {
    ReceiveError::Rejected(GatewayError::new(code, detail))
}
