//! The sockets of agents and connectors: connections to services, and connections of local clients.

use bytes::{Bytes, BytesMut};
use socket2::SockRef;
use std::{io, net::Shutdown, time::Duration};
use tokio::net::{TcpStream, UnixStream};

/// How much is read at once.
const READ_BYTES: usize = 64 * 1024;

/// A connection on this machine or near it.
#[derive(Debug)]
pub enum LocalSocket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// Calls the method on the socket of either kind.
macro_rules! on {
    ($socket:expr, $inner:ident => $call:expr) => {
        match $socket {
            LocalSocket::Tcp($inner) => $call,
            LocalSocket::Unix($inner) => $call,
        }
    };
}

impl LocalSocket {
    /// The next bytes in the buffer; `None` at the end.
    pub async fn read(&self, buffer: &mut BytesMut) -> io::Result<Option<Bytes>> {
        loop {
            on!(self, socket => socket.readable().await)?;
            buffer.reserve(READ_BYTES);
            match on!(self, socket => socket.try_read_buf(buffer)) {
                Ok(0) => return Ok(None),
                Ok(_) => return Ok(Some(buffer.split().freeze())),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Writes all bytes.
    pub async fn write(&self, mut bytes: Bytes) -> io::Result<()> {
        while !bytes.is_empty() {
            match on!(self, socket => socket.try_write(&bytes)) {
                Ok(n) => drop(bytes.split_to(n)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    on!(self, socket => socket.writable().await)?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Ends the sending direction.
    pub fn finish(&self) {
        let _ = on!(self, socket => SockRef::from(socket).shutdown(Shutdown::Write));
    }

    /// Closing the socket from now on resets the connection.
    pub fn reset_on_close(&self) {
        let _ = on!(self, socket => SockRef::from(socket).set_linger(Some(Duration::ZERO)));
    }
}
