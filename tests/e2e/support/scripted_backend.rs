//! A backend that a test scripts byte by byte, for everything that a regular server does not do.

use super::client::PATIENCE;
use super::http1_reader::Wire;
use super::ports;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// The backend; it stops accepting when dropped.
pub struct Scripted {
    pub address: SocketAddr,
    accepted: Arc<AtomicUsize>,
    stopped: Arc<AtomicBool>,
}

impl Scripted {
    /// Runs `script` with every connection and its number, counted from 0; the connection closes when it returns.
    pub fn start(script: impl Fn(&mut Wire, usize) + Send + Sync + 'static) -> Scripted {
        let listener = ports::listener();
        let address = listener.local_addr().expect("an address");
        let (accepted, stopped) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (count, stop, script) = (Arc::clone(&accepted), Arc::clone(&stopped), Arc::new(script));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let number = count.fetch_add(1, Ordering::SeqCst);
                let script = Arc::clone(&script);
                std::thread::spawn(move || {
                    let mut wire = Wire::new(stream);
                    wire.read_timeout(PATIENCE);
                    script(&mut wire, number);
                });
            }
        });
        Scripted { address, accepted, stopped }
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// The number of accepted connections.
    pub fn connections(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}
