//! The ClientHello of a TLS connection (RFC 8446 4.1.2), as far as routing needs it: the server name and the ALPN protocols. Pure:
//! bytes in, no sockets (Envoy: TLS inspector, nginx: `ssl_preread`).
//!
//! The bytes are pushed as they arrive, however they are cut into segments and records; the caller keeps them to forward
//! them unchanged.

/// Maximum size of the handshake message, with its header.
pub const MAX_HELLO_BYTES: usize = 16 * 1024;
/// Maximum size of a record (RFC 8446 5.1).
const MAX_RECORD_BYTES: usize = 1 << 14;
const RECORD_HEADER_BYTES: usize = 5;
const MESSAGE_HEADER_BYTES: usize = 4;

/// The content type of handshake records, and the type of the message.
const HANDSHAKE: u8 = 0x16;
const CLIENT_HELLO: u8 = 1;

const SERVER_NAME: u16 = 0;
const ALPN: u16 = 16;

/// What the client requests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientHello {
    /// The server name (RFC 6066 3), in lower case; an address is no name.
    pub server_name: Option<Box<str>>,
    /// The ALPN protocols (RFC 7301), in the order of the client.
    pub alpn: Vec<Box<[u8]>>,
}

/// The result of parsing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HelloOutcome {
    Hello(ClientHello),
    /// Not TLS, or not a valid ClientHello.
    Malformed,
    /// Larger than [`MAX_HELLO_BYTES`].
    TooLarge,
}

/// Parses a ClientHello as it arrives. Each byte is looked at once.
#[derive(Debug, Default)]
pub struct HelloParser {
    /// The header of the current record.
    header: [u8; RECORD_HEADER_BYTES],
    header_len: usize,
    /// Bytes of the current record that have not arrived.
    remaining: usize,
    /// The handshake message so far, without the record headers.
    message: Vec<u8>,
}

impl HelloParser {
    /// Adds bytes; the outcome once it is known.
    pub fn push(&mut self, mut bytes: &[u8]) -> Option<HelloOutcome> {
        while let Some(first) = bytes.first() {
            if self.remaining == 0 {
                self.header[self.header_len] = *first;
                self.header_len += 1;
                bytes = &bytes[1..];
                if !self.is_header_valid() {
                    return Some(HelloOutcome::Malformed);
                }
                if self.header_len == RECORD_HEADER_BYTES {
                    self.remaining = usize::from(u16::from_be_bytes([self.header[3], self.header[4]]));
                    self.header_len = 0;
                }
                continue;
            }
            let (now, rest) = bytes.split_at(self.remaining.min(bytes.len()));
            self.message.extend_from_slice(now);
            self.remaining -= now.len();
            bytes = rest;
            if let Some(outcome) = self.outcome() {
                return Some(outcome);
            }
        }
        None
    }

    /// Whether the header of the record can still become that of a handshake record.
    fn is_header_valid(&self) -> bool {
        let header = &self.header;
        match self.header_len {
            1 => header[0] == HANDSHAKE,
            2 => header[1] == 3,
            3 => header[2] < 0x10,
            5 => (1..=MAX_RECORD_BYTES).contains(&usize::from(u16::from_be_bytes([header[3], header[4]]))),
            _ => true,
        }
    }

    fn outcome(&self) -> Option<HelloOutcome> {
        if self.message.first().is_some_and(|kind| *kind != CLIENT_HELLO) {
            return Some(HelloOutcome::Malformed);
        }
        let length = self.message.get(1..MESSAGE_HEADER_BYTES)?;
        let length = length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
        if MESSAGE_HEADER_BYTES + length > MAX_HELLO_BYTES {
            return Some(HelloOutcome::TooLarge);
        }
        let body = self.message.get(MESSAGE_HEADER_BYTES..MESSAGE_HEADER_BYTES + length)?;
        Some(parse_body(body).map_or(HelloOutcome::Malformed, HelloOutcome::Hello))
    }
}

/// Parses the beginning of a connection; `None`: more bytes are needed.
pub fn parse(bytes: &[u8]) -> Option<HelloOutcome> {
    HelloParser::default().push(bytes)
}

/// The rest of a message that is parsed from the front.
struct Fields<'b>(&'b [u8]);

impl<'b> Fields<'b> {
    fn take(&mut self, length: usize) -> Option<&'b [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self, bytes: usize) -> Option<usize> {
        Some(self.take(bytes)?.iter().fold(0, |number, byte| number << 8 | usize::from(*byte)))
    }

    /// A vector with a length of this many bytes in front.
    fn vector(&mut self, length_bytes: usize) -> Option<&'b [u8]> {
        let length = self.number(length_bytes)?;
        self.take(length)
    }
}

fn parse_body(body: &[u8]) -> Option<ClientHello> {
    let mut fields = Fields(body);
    // Version and random.
    fields.take(2 + 32)?;
    let session = fields.vector(1)?;
    let suites = fields.vector(2)?;
    let compressions = fields.vector(1)?;
    if session.len() > 32 || suites.is_empty() || suites.len() % 2 == 1 || compressions.is_empty() {
        return None;
    }
    let mut hello = ClientHello::default();
    if fields.0.is_empty() {
        return Some(hello);
    }
    let mut extensions = Fields(fields.vector(2)?);
    if !fields.0.is_empty() {
        return None;
    }
    let (mut has_name, mut has_alpn) = (false, false);
    while !extensions.0.is_empty() {
        let (kind, content) = (extensions.number(2)? as u16, extensions.vector(2)?);
        match kind {
            SERVER_NAME if !std::mem::replace(&mut has_name, true) => {
                hello.server_name = parse_server_name(content)?;
            }
            ALPN if !std::mem::replace(&mut has_alpn, true) => hello.alpn = parse_alpn(content)?,
            SERVER_NAME | ALPN => return None,
            _ => {}
        }
    }
    Some(hello)
}

/// The one name of the list; `Some(None)`: an address. `None`: malformed.
fn parse_server_name(content: &[u8]) -> Option<Option<Box<str>>> {
    let mut fields = Fields(content);
    let mut list = Fields(fields.vector(2)?);
    let (kind, name) = (list.number(1)?, list.vector(2)?);
    let is_name_byte = |b: &u8| b.is_ascii_alphanumeric() || b"-_.".contains(b);
    let is_valid = fields.0.is_empty()
        && list.0.is_empty()
        && kind == 0
        && (1..=255).contains(&name.len())
        && name.iter().all(is_name_byte);
    let name = std::str::from_utf8(name).ok().filter(|_| is_valid)?;
    let is_address = name.parse::<std::net::Ipv4Addr>().is_ok();
    Some((!is_address).then(|| name.to_ascii_lowercase().into()))
}

fn parse_alpn(content: &[u8]) -> Option<Vec<Box<[u8]>>> {
    let mut fields = Fields(content);
    let mut list = Fields(fields.vector(2)?);
    let mut protocols: Vec<Box<[u8]>> = Vec::new();
    while !list.0.is_empty() {
        protocols.push(list.vector(1)?.into());
    }
    let is_valid = fields.0.is_empty() && !protocols.is_empty();
    (is_valid && protocols.iter().all(|name| !name.is_empty())).then_some(protocols)
}

#[cfg(test)]
#[path = "client_hello_tests.rs"]
mod tests;
