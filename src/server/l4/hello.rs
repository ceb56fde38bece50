//! Reads the ClientHello of a connection; its bytes are kept and forwarded unchanged.

use crate::net::{
    client_hello::{ClientHello, HelloOutcome, HelloParser},
    socket_stream::SocketStream,
};
use std::time::Duration;
use tokio::io::AsyncReadExt;

/// Bytes that are read at once.
const READ_BYTES: usize = 4096;

/// The beginning of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opening {
    Hello(ClientHello),
    /// Not TLS, malformed, or ended before it was complete.
    NoHello,
    TooLarge,
    /// Not complete in time.
    TimedOut,
    /// The client is gone.
    Closed,
}

/// Reads until the ClientHello is complete; all bytes read are appended to `prefix`, which may have some already.
pub async fn read_hello(socket: &mut SocketStream, prefix: &mut Vec<u8>, timeout: Duration) -> Opening {
    tokio::time::timeout(timeout, read(socket, prefix)).await.unwrap_or(Opening::TimedOut)
}

async fn read(socket: &mut SocketStream, prefix: &mut Vec<u8>) -> Opening {
    let (mut parser, mut parsed) = (HelloParser::default(), 0);
    loop {
        match parser.push(&prefix[parsed..]) {
            Some(HelloOutcome::Hello(hello)) => return Opening::Hello(hello),
            Some(HelloOutcome::Malformed) => return Opening::NoHello,
            Some(HelloOutcome::TooLarge) => return Opening::TooLarge,
            None => parsed = prefix.len(),
        }
        prefix.reserve(READ_BYTES);
        match socket.read_buf(prefix).await {
            Ok(0) if prefix.is_empty() => return Opening::Closed,
            Ok(0) => return Opening::NoHello,
            Ok(_) => {}
            Err(_) => return Opening::Closed,
        }
    }
}
