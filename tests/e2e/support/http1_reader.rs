//! HTTP/1.1 messages read from a socket, strictly and without the gateway's own codec.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;
use tokio_rustls::rustls::{Connection, HandshakeKind};

/// The reason why a message could not be read to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The peer closed (or reset) before the first byte.
    Closed,
    /// The peer closed (or reset) in the middle.
    CutShort(String),
    /// No byte arrived within the read timeout.
    Timeout,
    /// Bytes that are not HTTP.
    Malformed(String),
}

pub type Result<T> = std::result::Result<T, Fault>;

/// A start line and header lines, as received.
#[derive(Clone, Debug, Default)]
pub struct Head {
    pub start: String,
    pub headers: Vec<(String, String)>,
    /// The raw bytes.
    pub raw: Vec<u8>,
}

impl Head {
    /// The first value of a header.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.all(name).into_iter().next()
    }

    /// Every value of a header, in order.
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str()).collect()
    }

    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Whether a comma-separated header contains this element.
    pub fn lists(&self, name: &str, element: &str) -> bool {
        self.all(name).iter().any(|v| v.split(',').any(|e| e.trim().eq_ignore_ascii_case(element)))
    }

    pub fn parse(raw: &[u8]) -> Result<Head> {
        let text = latin1_or_utf8(raw);
        let mut lines = text.split("\r\n");
        let start = lines.next().unwrap_or_default().to_owned();
        let mut headers = Vec::new();
        for line in lines.filter(|l| !l.is_empty()) {
            let (name, value) =
                line.split_once(':').ok_or_else(|| Fault::Malformed(format!("no colon in {line:?}")))?;
            headers.push((name.to_owned(), value.trim_matches([' ', '\t']).to_owned()));
        }
        Ok(Head { start, headers, raw: raw.to_vec() })
    }
}

fn latin1_or_utf8(raw: &[u8]) -> String {
    match std::str::from_utf8(raw) {
        Ok(text) => text.to_owned(),
        Err(_) => raw.iter().map(|b| char::from(*b)).collect(),
    }
}

/// A socket and the bytes that were read ahead.
pub struct Http1Stream {
    pub stream: TcpStream,
    /// The TLS session, if there is one.
    pub tls: Option<Box<Connection>>,
    ahead: Vec<u8>,
    at: usize,
}

impl Http1Stream {
    pub fn new(stream: TcpStream) -> Http1Stream {
        let _ = stream.set_nodelay(true);
        Http1Stream { stream, tls: None, ahead: Vec::new(), at: 0 }
    }

    /// Starts TLS; whether the handshake succeeds.
    pub fn encrypt(&mut self, tls: Connection) -> std::io::Result<()> {
        let tls = self.tls.insert(Box::new(tls));
        while tls.is_handshaking() || tls.wants_write() {
            tls.complete_io(&mut self.stream)?;
        }
        Ok(())
    }

    /// Whether the session was resumed.
    pub fn is_resumed(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.handshake_kind() == Some(HandshakeKind::Resumed))
    }

    pub fn read_timeout(&self, limit: Duration) {
        self.stream.set_read_timeout(Some(limit)).expect("a read timeout");
    }

    /// Sends bytes; false when the peer has closed.
    pub fn send(&mut self, bytes: &[u8]) -> bool {
        match &mut self.tls {
            None => self.stream.write_all(bytes).is_ok(),
            Some(tls) => write(tls, &mut self.stream, bytes).is_ok(),
        }
    }

    /// Closes the sending direction (FIN).
    pub fn finish(&self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// The bytes that were read ahead.
    pub fn unused(&self) -> &[u8] {
        &self.ahead[self.at..]
    }

    /// Takes the bytes that were read ahead.
    pub fn take(&mut self) -> Vec<u8> {
        let rest = self.unused().to_vec();
        self.at = self.ahead.len();
        rest
    }

    /// Reads once; 0 is the end of the stream (a reset counts as one).
    pub fn fill(&mut self) -> Result<usize> {
        if self.at == self.ahead.len() {
            self.ahead.clear();
            self.at = 0;
        }
        let mut part = [0_u8; 64 * 1024];
        let read = match &mut self.tls {
            None => self.stream.read(&mut part),
            Some(tls) => read(tls, &mut self.stream, &mut part),
        };
        match read {
            Ok(n) => {
                self.ahead.extend_from_slice(&part[..n]);
                Ok(n)
            }
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Err(Fault::Timeout),
            Err(e) if e.kind() == ErrorKind::Interrupted => self.fill(),
            Err(_) => Ok(0),
        }
    }

    /// Everything until the peer closes; `None` when it does not within the read timeout.
    pub fn drain(&mut self) -> Option<Vec<u8>> {
        loop {
            match self.fill() {
                Ok(0) => return Some(self.take()),
                Ok(_) => {}
                Err(_) => return None,
            }
        }
    }

    /// The bytes up to and including the empty line.
    pub fn head(&mut self) -> Result<Head> {
        loop {
            if let Some(end) = find(self.unused(), b"\r\n\r\n") {
                let head = Head::parse(&self.unused()[..end + 4]);
                self.at += end + 4;
                return head;
            }
            if self.fill()? == 0 {
                let rest = String::from_utf8_lossy(self.unused()).into_owned();
                return Err(if rest.is_empty() { Fault::Closed } else { Fault::CutShort(rest) });
            }
        }
    }

    /// One line without its CRLF.
    pub fn line(&mut self) -> Result<String> {
        loop {
            if let Some(end) = find(self.unused(), b"\r\n") {
                let line = String::from_utf8_lossy(&self.unused()[..end]).into_owned();
                self.at += end + 2;
                return Ok(line);
            }
            if self.fill()? == 0 {
                return Err(Fault::CutShort(String::from_utf8_lossy(self.unused()).into_owned()));
            }
        }
    }

    /// Exactly `n` bytes into `sink`.
    pub fn exactly(&mut self, mut n: u64, sink: &mut dyn FnMut(&[u8])) -> Result<()> {
        while n > 0 {
            if self.unused().is_empty() && self.fill()? == 0 {
                return Err(Fault::CutShort(format!("{n} bytes of the body missing")));
            }
            let here = usize::try_from(n).unwrap_or(usize::MAX).min(self.unused().len());
            sink(&self.ahead[self.at..self.at + here]);
            self.at += here;
            n -= here as u64;
        }
        Ok(())
    }

    /// A chunked body into `sink`; returns the trailers.
    pub fn chunked(&mut self, sink: &mut dyn FnMut(&[u8])) -> Result<Vec<(String, String)>> {
        loop {
            let line = self.line()?;
            let digits = line.split(';').next().unwrap_or_default().trim();
            let size = u64::from_str_radix(digits, 16)
                .map_err(|_| Fault::Malformed(format!("chunk size {line:?}")))?;
            if size == 0 {
                return self.trailers();
            }
            self.exactly(size, sink)?;
            let end = self.line()?;
            if !end.is_empty() {
                return Err(Fault::Malformed(format!("{end:?} after a chunk")));
            }
        }
    }

    fn trailers(&mut self) -> Result<Vec<(String, String)>> {
        let mut found = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Ok(found);
            }
            let (name, value) =
                line.split_once(':').ok_or_else(|| Fault::Malformed(format!("trailer {line:?}")))?;
            found.push((name.to_owned(), value.trim().to_owned()));
        }
    }
}

/// Reads once through TLS; 0 is the end.
fn read(tls: &mut Connection, stream: &mut TcpStream, part: &mut [u8]) -> std::io::Result<usize> {
    loop {
        match tls.reader().read(part) {
            Err(e) if e.kind() == ErrorKind::WouldBlock => {}
            read => return read,
        }
        if tls.read_tls(stream)? == 0 {
            return Ok(0);
        }
        let processed = tls.process_new_packets().map_err(std::io::Error::other);
        while tls.wants_write() {
            tls.write_tls(stream)?;
        }
        processed?;
    }
}

/// Writes everything through TLS.
fn write(tls: &mut Connection, stream: &mut TcpStream, mut bytes: &[u8]) -> std::io::Result<()> {
    while !bytes.is_empty() {
        let n = tls.writer().write(bytes)?;
        bytes = &bytes[n..];
        while tls.wants_write() {
            tls.write_tls(stream)?;
        }
    }
    Ok(())
}

/// The position of `needle` in `hay`.
pub fn find(hay: &[u8], needle: &[u8]) -> Option<usize> {
    memchr::memmem::find(hay, needle)
}
