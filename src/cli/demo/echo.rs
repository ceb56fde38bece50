//! Sample services without HTTP: they return what they receive, over TCP and over UDP.

use std::{
    io,
    net::{Ipv4Addr, TcpListener, UdpSocket},
    sync::Arc,
};
use tokio::sync::Semaphore;

/// Connections to the TCP service; more wait.
const MAX_CONNECTIONS: usize = 1024;
/// The largest datagram.
const MAX_DATAGRAM: usize = 65_535;

/// The sockets of both services, bound before either is served.
#[derive(Debug)]
pub struct EchoSockets {
    pub tcp: TcpListener,
    pub udp: UdpSocket,
}

/// Binds the TCP service to a port of the loopback address.
pub fn bind_tcp(port: u16) -> io::Result<TcpListener> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Binds the UDP service to a port of the loopback address.
pub fn bind_udp(port: u16) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, port))?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

impl EchoSockets {
    /// Serves both on the runtime of the caller.
    pub fn spawn(self) -> io::Result<()> {
        drop(tokio::spawn(serve_tcp(tokio::net::TcpListener::from_std(self.tcp)?)));
        drop(tokio::spawn(serve_udp(tokio::net::UdpSocket::from_std(self.udp)?)));
        Ok(())
    }
}

async fn serve_tcp(listener: tokio::net::TcpListener) {
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    while let Ok(permit) = permits.clone().acquire_owned().await {
        let Ok((mut stream, _)) = listener.accept().await else { continue };
        drop(tokio::spawn(async move {
            let (mut reader, mut writer) = stream.split();
            // An error ends the connection, which is all that an echo can do.
            let _ = tokio::io::copy(&mut reader, &mut writer).await;
            drop(permit);
        }));
    }
}

async fn serve_udp(socket: tokio::net::UdpSocket) {
    let mut buffer = vec![0; MAX_DATAGRAM];
    loop {
        // An error concerns one client, for example one that has closed its port.
        if let Ok((size, client)) = socket.recv_from(&mut buffer).await {
            let _ = socket.send_to(&buffer[..size], client).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn both_services_return_what_they_receive() {
        let sockets = EchoSockets { tcp: bind_tcp(0).unwrap(), udp: bind_udp(0).unwrap() };
        let (tcp, udp) = (sockets.tcp.local_addr().unwrap(), sockets.udp.local_addr().unwrap());
        sockets.spawn().unwrap();
        let mut stream = tokio::net::TcpStream::connect(tcp).await.unwrap();
        stream.write_all(b"over TCP").await.unwrap();
        stream.shutdown().await.unwrap();
        let mut received = String::new();
        stream.read_to_string(&mut received).await.unwrap();
        assert_eq!(received, "over TCP");
        let client = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        client.send_to(b"over UDP", udp).await.unwrap();
        let mut buffer = [0; 16];
        let (size, sender) = client.recv_from(&mut buffer).await.unwrap();
        assert_eq!((&buffer[..size], sender), (&b"over UDP"[..], udp));
    }
}
