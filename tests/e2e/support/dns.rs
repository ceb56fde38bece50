//! A small name server (RFC 1035): answers A, AAAA, PTR and SRV queries over UDP from a table that a test may
//! change at any time.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

const A: u16 = 1;
const PTR: u16 = 12;
const AAAA: u16 = 28;
const SRV: u16 = 33;

/// The records of a name.
#[derive(Clone, Debug)]
pub enum Record {
    Address(IpAddr),
    /// Priority, weight, port, target.
    Service(u16, u16, u16, String),
    /// The name of an address, for names below `in-addr.arpa`.
    Pointer(String),
}

/// Time to live and records of each name.
type Zone = HashMap<String, (u32, Vec<Record>)>;

/// How the server behaves, independent of its table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerMode {
    Answering,
    /// SERVFAIL to everything.
    Failing,
    Silent,
}

struct Shared {
    zone: Mutex<Zone>,
    mood: Mutex<ServerMode>,
    questions: Mutex<Vec<String>>,
    over: AtomicBool,
}

/// The running server; it stops when dropped.
pub struct NameServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl NameServer {
    /// Starts a server with an empty table.
    pub fn start() -> NameServer {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a UDP port");
        socket.set_read_timeout(Some(Duration::from_millis(20))).expect("a time limit");
        let address = socket.local_addr().expect("an address");
        let shared = Arc::new(Shared {
            zone: Mutex::default(),
            mood: Mutex::new(ServerMode::Answering),
            questions: Mutex::default(),
            over: AtomicBool::new(false),
        });
        let known = shared.clone();
        let thread = std::thread::spawn(move || serve(&socket, &known));
        NameServer { address, shared, thread: Some(thread) }
    }

    /// For the `Servers` of the `Dns` section.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// From now on the name has these addresses.
    pub fn addresses(&self, name: &str, ttl: u32, addresses: &[&str]) {
        let records = addresses.iter().map(|a| Record::Address(a.parse().expect("an address")));
        self.records(name, ttl, records.collect());
    }

    /// From now on the name has these records.
    pub fn records(&self, name: &str, ttl: u32, records: Vec<Record>) {
        self.shared.zone.lock().unwrap().insert(name.to_owned(), (ttl, records));
    }

    pub fn mood(&self, mood: ServerMode) {
        *self.shared.mood.lock().unwrap() = mood;
    }

    /// How often this name was queried.
    pub fn query_count(&self, name: &str) -> usize {
        self.shared.questions.lock().unwrap().iter().filter(|question| *question == name).count()
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(socket: &UdpSocket, shared: &Shared) {
    let mut packet = [0; 1500];
    while !shared.over.load(Ordering::Relaxed) {
        let Ok((n, from)) = socket.recv_from(&mut packet) else { continue };
        if let Some(answer) = answer(&packet[..n], shared) {
            let _ = socket.send_to(&answer, from);
        }
    }
}

fn answer(packet: &[u8], shared: &Shared) -> Option<Vec<u8>> {
    let (name, end) = name(packet)?;
    let kind = u16::from_be_bytes([*packet.get(end)?, *packet.get(end + 1)?]);
    shared.questions.lock().unwrap().push(name.clone());
    let mood = *shared.mood.lock().unwrap();
    let zone = shared.zone.lock().unwrap();
    let known = zone.get(&name);
    let rcode = match (mood, known) {
        (ServerMode::Silent, _) => return None,
        (ServerMode::Failing, _) => 2,
        (_, None) => 3,
        _ => 0,
    };
    let (ttl, records) = known.filter(|_| rcode == 0).cloned().unwrap_or_default();
    let answers: Vec<Vec<u8>> = records.iter().filter_map(|record| data(record, kind)).collect();
    let mut out = packet[..2].to_vec();
    out.extend([0x81, 0x80 | rcode, 0, 1, 0, u8::try_from(answers.len()).expect("few answers"), 0, 0, 0, 0]);
    out.extend(&packet[12..end + 4]);
    for data in answers {
        // The name of the question, by its offset.
        out.extend([0xc0, 12]);
        out.extend(kind.to_be_bytes());
        out.extend(1u16.to_be_bytes());
        out.extend(ttl.to_be_bytes());
        out.extend(u16::try_from(data.len()).expect("a short record").to_be_bytes());
        out.extend(data);
    }
    Some(out)
}

/// The name of the first question, in lower case, and where it ends.
fn name(packet: &[u8]) -> Option<(String, usize)> {
    let (mut labels, mut at) = (Vec::new(), 12);
    loop {
        let length = usize::from(*packet.get(at)?);
        let label = packet.get(at + 1..at + 1 + length)?;
        at += 1 + length;
        if length == 0 {
            return Some((labels.join("."), at));
        }
        labels.push(String::from_utf8_lossy(label).to_ascii_lowercase());
    }
}

/// The record in wire format, if it has this type.
fn data(record: &Record, kind: u16) -> Option<Vec<u8>> {
    match record {
        Record::Address(IpAddr::V4(address)) if kind == A => Some(address.octets().to_vec()),
        Record::Address(IpAddr::V6(address)) if kind == AAAA => Some(address.octets().to_vec()),
        Record::Service(priority, weight, port, target) if kind == SRV => {
            let mut out = [priority, weight, port].iter().flat_map(|n| n.to_be_bytes()).collect::<Vec<u8>>();
            out.extend(encoded(target));
            Some(out)
        }
        Record::Pointer(target) if kind == PTR => Some(encoded(target)),
        _ => None,
    }
}

/// A name in wire format.
fn encoded(name: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for label in name.split('.').filter(|label| !label.is_empty()) {
        out.push(u8::try_from(label.len()).expect("a short label"));
        out.extend(label.as_bytes());
    }
    out.push(0);
    out
}
