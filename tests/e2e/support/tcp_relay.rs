//! A TCP relay: accepts connections on one address and forwards them to a backend on another.

use super::ports;
use socket2::Socket;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

/// What the relay recorded.
#[derive(Clone, Default)]
pub struct TcpRelay {
    connections: Arc<AtomicUsize>,
    headers: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl TcpRelay {
    /// From a Unix domain socket.
    pub fn unix(path: &Path, service: SocketAddr) -> TcpRelay {
        let (bridge, listener) = (TcpRelay::default(), UnixListener::bind(path).expect("a socket"));
        let seen = bridge.clone();
        std::thread::spawn(move || {
            for near in listener.incoming().flatten() {
                seen.connections.fetch_add(1, SeqCst);
                std::thread::spawn(move || carry(near, service));
            }
        });
        bridge
    }

    /// From a port where connections begin with a PROXY header, which is recorded.
    pub fn announced(service: SocketAddr) -> (TcpRelay, u16) {
        let (bridge, listener) = (TcpRelay::default(), ports::listener());
        let (seen, port) = (bridge.clone(), listener.local_addr().expect("an address").port());
        std::thread::spawn(move || {
            for mut near in listener.incoming().flatten() {
                let seen = seen.clone();
                std::thread::spawn(move || {
                    let Some(header) = header(&mut near) else { return };
                    seen.connections.fetch_add(1, SeqCst);
                    seen.headers.lock().expect("headers").push(header);
                    carry(near, service);
                });
            }
        });
        (bridge, port)
    }

    pub fn connections(&self) -> usize {
        self.connections.load(SeqCst)
    }

    /// The recorded headers, in the order of their arrival.
    pub fn headers(&self) -> Vec<Vec<u8>> {
        self.headers.lock().expect("headers").clone()
    }
}

/// Removes the header, to the byte.
fn header(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut header = vec![0; 1];
    stream.read_exact(&mut header).ok()?;
    if header[0] == b'P' {
        while !header.ends_with(b"\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).ok()?;
            header.push(byte[0]);
        }
        return Some(header);
    }
    header.resize(16, 0);
    stream.read_exact(&mut header[1..]).ok()?;
    header.resize(16 + usize::from(u16::from_be_bytes([header[14], header[15]])), 0);
    stream.read_exact(&mut header[16..]).ok()?;
    Some(header)
}

/// For either kind of socket.
fn carry(near: impl Into<Socket>, service: SocketAddr) {
    let near = near.into();
    let Ok(far) = TcpStream::connect(service) else { return };
    let (near_end, far_end) = (near.try_clone().expect("a handle"), far.try_clone().expect("a handle"));
    std::thread::spawn(move || {
        pour(&far, &near_end);
        let _ = near_end.shutdown(Shutdown::Write);
    });
    pour(&near, &far_end);
    let _ = far_end.shutdown(Shutdown::Write);
}

fn pour(mut from: impl Read, mut to: impl Write) {
    let mut piece = [0; 16 * 1024];
    while let Ok(n @ 1..) = from.read(&mut piece) {
        if to.write_all(&piece[..n]).is_err() {
            return;
        }
    }
}
