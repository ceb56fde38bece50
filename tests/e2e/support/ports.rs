//! Free loopback ports, allocated and never fixed.
//!
//! They lie below the range that the kernel uses for outgoing connections, so that no connection can occupy a
//! port between its allocation and the gateway's bind.

use socket2::{Domain, Socket, Type};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};

const FIRST: u32 = 12_000;
const COUNT: u32 = 20_000;

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A port that is free now on both loopback addresses.
pub fn free() -> u16 {
    loop {
        let port = next();
        if is_free(port) {
            return port;
        }
    }
}

/// A free port of 127.0.0.1.
pub fn free_address() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, free()))
}

fn next() -> u16 {
    let step = NEXT.fetch_add(1, Ordering::Relaxed);
    let start = std::process::id().wrapping_mul(613);
    u16::try_from(FIRST + start.wrapping_add(step) % COUNT).expect("within the range")
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
        && TcpListener::bind((Ipv6Addr::LOCALHOST, port)).is_ok()
}

/// A reserved port that refuses connections: bound, never listening.
pub struct Closed {
    pub port: u16,
    _held: Socket,
}

impl Closed {
    pub fn reserve() -> Closed {
        loop {
            let port = next();
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            if is_free(port) && socket.bind(&address.into()).is_ok() {
                return Closed { port, _held: socket };
            }
        }
    }
}

/// A listener on a free port of 127.0.0.1.
pub fn listener() -> TcpListener {
    loop {
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, next())) {
            return listener;
        }
    }
}
