//! Opens a stream to a server: TCP, TLS or a Unix domain socket.

use super::super::config::ServerAddress;
use crate::net::tls::client::ClientTls;
use std::{io, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
};
use tokio_rustls::rustls::pki_types::ServerName;

/// How long opening a connection may take, with its handshakes.
pub(in crate::state) const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// A stream in both directions.
pub(super) trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Duplex for T {}

/// Opens a stream.
pub(super) async fn dial(address: &ServerAddress, tls: Option<&ClientTls>) -> io::Result<Box<dyn Duplex>> {
    let (host, port) = match address {
        ServerAddress::Unix(path) => return Ok(Box::new(UnixStream::connect(path).await?)),
        ServerAddress::Tcp { host, port } => (host, *port),
    };
    let stream = TcpStream::connect((host.as_str(), port)).await?;
    stream.set_nodelay(true)?;
    let Some(tls) = tls else { return Ok(Box::new(stream)) };
    let name = tls.name.as_deref().unwrap_or(host).to_owned();
    let name =
        ServerName::try_from(name).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    let connector = tls.connector().map_err(io::Error::other)?;
    Ok(Box::new(connector.connect(name, stream).await?))
}
