//! A backend that a test scripts byte by byte, for everything that a regular server does not do.

use super::client::RESPONSE_TIMEOUT;
use super::http1_reader::Http1Stream;
use super::ports;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// The backend; it stops accepting when dropped.
pub struct ScriptedBackend {
    pub address: SocketAddr,
    accepted: Arc<AtomicUsize>,
    stopped: Arc<AtomicBool>,
}

impl ScriptedBackend {
    /// Runs `script` with every connection and its number, counted from 0; the connection closes when it returns.
    pub fn start(script: impl Fn(&mut Http1Stream, usize) + Send + Sync + 'static) -> ScriptedBackend {
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
                    let mut wire = Http1Stream::new(stream);
                    wire.read_timeout(RESPONSE_TIMEOUT);
                    script(&mut wire, number);
                });
            }
        });
        ScriptedBackend { address, accepted, stopped }
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// The number of accepted connections.
    pub fn connections(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }
}

impl Drop for ScriptedBackend {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}
