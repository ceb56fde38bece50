//! A recording backend that parses strictly and never guesses: anything not in canonical form is recorded
//! as a violation, and the connection ends.

use crate::support::http1_reader::{Fault, Http1Stream};
use crate::support::ports;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// A request, or as much of it as arrived.
#[derive(Clone, Debug, Default)]
pub struct Record {
    pub method: String,
    pub target: String,
    pub version: String,
    pub headers: Vec<(String, Vec<u8>)>,
    pub body: Vec<u8>,
    pub trailers: Vec<(String, Vec<u8>)>,
    pub complete: bool,
    /// The deviations from canonical form, `kind: detail`.
    pub violations: Vec<String>,
}

impl Record {
    pub fn all(&self, name: &str) -> Vec<String> {
        let same = self.headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name));
        same.map(|(_, v)| String::from_utf8_lossy(v).into_owned()).collect()
    }

    fn violates(&mut self, kind: &str, detail: impl std::fmt::Debug) {
        self.violations.push(format!("{kind}: {detail:?}"));
    }
}

/// The backend.
pub struct Strict {
    pub address: SocketAddr,
    records: Arc<Mutex<Vec<Record>>>,
    stopped: Arc<AtomicBool>,
}

impl Strict {
    pub fn start() -> Strict {
        let listener = ports::listener();
        let address = listener.local_addr().expect("an address");
        let (records, stopped) = (Arc::<Mutex<Vec<Record>>>::default(), Arc::new(AtomicBool::new(false)));
        let (into, stop) = (Arc::clone(&records), Arc::clone(&stopped));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                let into = Arc::clone(&into);
                std::thread::spawn(move || {
                    let mut wire = Http1Stream::new(stream);
                    while serve(&mut wire, &into) {}
                });
            }
        });
        Strict { address, records, stopped }
    }

    /// Takes the recorded requests.
    pub fn take(&self) -> Vec<Record> {
        std::mem::take(&mut self.records.lock().expect("no panic"))
    }
}

impl Drop for Strict {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

/// Reads one request, records and answers it; false when the connection is closed.
fn serve(wire: &mut Http1Stream, into: &Mutex<Vec<Record>>) -> bool {
    let mut record = Record::default();
    let read = request(wire, &mut record);
    if matches!(read, Err(Fault::Closed)) {
        return false;
    }
    record.complete = read.is_ok();
    if let Err(Fault::Malformed(what)) = &read {
        record.violates("malformed", what);
    }
    // A close without a response would make the gateway retry.
    let harmless = |v: &String| v.starts_with("target-characters") || v.starts_with("control byte");
    let good = record.complete && record.violations.iter().all(harmless);
    let answer = answer(&record);
    into.lock().expect("no panic").push(record);
    good && wire.send(answer.as_bytes())
}

/// 200 with the target as body, so that the client can match responses to requests.
fn answer(record: &Record) -> String {
    let body = format!("seen {}", record.target);
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
    if record.method == "HEAD" { head } else { head + &body }
}

fn request(wire: &mut Http1Stream, record: &mut Record) -> Result<(), Fault> {
    let line = strict_line(wire, true)?;
    request_line(&line, record)?;
    record.headers = fields(wire, &mut record.violations)?;
    host(record);
    let (lengths, codings) = (record.all("content-length"), record.all("transfer-encoding"));
    if !lengths.is_empty() && !codings.is_empty() {
        record.violates("CL+TE", (&lengths, &codings));
    }
    if record.all("expect").iter().any(|e| e.eq_ignore_ascii_case("100-continue")) && wire.unused().is_empty()
    {
        wire.send(b"HTTP/1.1 100 Continue\r\n\r\n");
    }
    if !codings.is_empty() {
        let list: Vec<String> = codings.join(",").split(',').map(|c| c.trim().to_ascii_lowercase()).collect();
        if list != ["chunked"] && list != ["gzip", "chunked"] {
            record.violates("transfer-encoding", &codings);
            return Err(Fault::Malformed("cannot know where the body ends".into()));
        }
        return chunked(wire, record);
    }
    match &lengths[..] {
        [] => Ok(()),
        [one] if !one.is_empty() && one.bytes().all(|b| b.is_ascii_digit()) => {
            let n = one.parse().map_err(|_| Fault::Malformed(format!("Content-Length {one}")))?;
            wire.exactly(n, &mut |part| record.body.extend_from_slice(part))
        }
        other => Err(Fault::Malformed(format!("Content-Length {other:?}"))),
    }
}

/// A line that ends in CRLF and holds no other CR, LF or NUL.
fn strict_line(wire: &mut Http1Stream, first: bool) -> Result<Vec<u8>, Fault> {
    let mut line = Vec::new();
    loop {
        let mut byte = 0;
        match wire.exactly(1, &mut |b| byte = b[0]) {
            Ok(()) => line.push(byte),
            Err(Fault::CutShort(_)) if line.is_empty() && first => return Err(Fault::Closed),
            Err(fault) => return Err(fault),
        }
        if line.ends_with(b"\r\n") {
            line.truncate(line.len() - 2);
            break;
        }
        if byte == b'\n' {
            return Err(Fault::Malformed(format!("a bare LF in {:?}", String::from_utf8_lossy(&line))));
        }
    }
    if line.iter().any(|b| matches!(b, b'\r' | 0)) {
        return Err(Fault::Malformed(format!("CR or NUL in {:?}", String::from_utf8_lossy(&line))));
    }
    Ok(line)
}

fn request_line(line: &[u8], record: &mut Record) -> Result<(), Fault> {
    let text = String::from_utf8_lossy(line).into_owned();
    let parts: Vec<&str> = text.split(' ').collect();
    let [method, target, version] = parts[..] else {
        return Err(Fault::Malformed(format!("request line {text:?}")));
    };
    record.method = method.to_owned();
    record.target = target.to_owned();
    record.version = version.trim_start_matches("HTTP/").to_owned();
    if !is_token(method.as_bytes()) {
        record.violates("method", method);
    }
    if !matches!(version, "HTTP/1.1" | "HTTP/1.0") {
        record.violates("version", version);
    }
    if target.bytes().any(|b| !b.is_ascii_graphic()) || !(target.starts_with('/') || target == "*") {
        record.violates("target", target);
    } else if !is_origin_form(target) {
        record.violates("target-characters", target);
    }
    Ok(())
}

/// RFC 3986 `path [ "?" query ]`, every escape complete.
pub fn is_origin_form(target: &str) -> bool {
    let bytes = target.as_bytes();
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/?".contains(&b);
    let mut i = 0;
    while i < bytes.len() {
        if bytes[i] == b'%' {
            if !bytes.get(i + 1..i + 3).is_some_and(|h| h.iter().all(u8::is_ascii_hexdigit)) {
                return false;
            }
            i += 2;
        } else if !allowed(bytes[i]) {
            return false;
        }
        i += 1;
    }
    target.starts_with('/') || target == "*"
}

pub fn is_token(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b))
}

fn fields(wire: &mut Http1Stream, violations: &mut Vec<String>) -> Result<Vec<(String, Vec<u8>)>, Fault> {
    let mut found = Vec::new();
    loop {
        let line = strict_line(wire, false)?;
        if line.is_empty() {
            return Ok(found);
        }
        let colon = line.iter().position(|b| *b == b':');
        let (name, value) = match colon {
            Some(at) if is_token(&line[..at]) => (&line[..at], &line[at + 1..]),
            _ => return Err(Fault::Malformed(format!("field line {:?}", String::from_utf8_lossy(&line)))),
        };
        let value = value.trim_ascii();
        if value.iter().any(|b| (*b < 0x20 && *b != b'\t') || *b == 0x7f) {
            violations.push(format!("control byte: {:?}", String::from_utf8_lossy(&line)));
        }
        found.push((String::from_utf8_lossy(name).into_owned(), value.to_vec()));
    }
}

fn host(record: &mut Record) {
    let hosts = record.all("host");
    let valid = |h: &str| {
        let name =
            h.rsplit_once(':').filter(|(_, p)| p.bytes().all(|b| b.is_ascii_digit())).map_or(h, |(n, _)| n);
        let literal = name.starts_with('[') && name.ends_with(']');
        let letters = |b: u8| b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=%".contains(&b);
        !name.is_empty() && (literal || name.bytes().all(letters))
    };
    if hosts.len() != 1 || !valid(&hosts[0]) {
        record.violates("host", &hosts);
    }
}

fn chunked(wire: &mut Http1Stream, record: &mut Record) -> Result<(), Fault> {
    loop {
        let line = strict_line(wire, false)?;
        let text = String::from_utf8_lossy(&line).into_owned();
        let hex = !text.is_empty() && text.len() <= 15 && text.bytes().all(|b| b.is_ascii_hexdigit());
        if !hex {
            return Err(Fault::Malformed(format!("chunk size {text:?}")));
        }
        let size = u64::from_str_radix(&text, 16).map_err(|_| Fault::Malformed(text))?;
        if size == 0 {
            record.trailers = fields(wire, &mut record.violations)?;
            return Ok(());
        }
        wire.exactly(size, &mut |part| record.body.extend_from_slice(part))?;
        if !strict_line(wire, false)?.is_empty() {
            return Err(Fault::Malformed("data after a chunk".into()));
        }
    }
}
