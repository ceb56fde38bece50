//! The head of a message: one buffer and the positions of its parts.
//!
//! Edits append to the buffer and toggle `is_active`, so that a head is never moved and needs no map.

use super::head_parts::{ByteRange, EMPTY_PARTS, Field, Parts};
pub use super::known_header::{KnownHeader, KnownHeaders};
use crate::base::bytes::put_decimal;

/// The protocol version of the sender.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    Http10,
    #[default]
    Http11,
    Http2,
}

impl Version {
    /// The name in messages and in the access log.
    pub fn as_str(self) -> &'static str {
        match self {
            Version::Http10 => "HTTP/1.0",
            Version::Http11 => "HTTP/1.1",
            Version::Http2 => "HTTP/2",
        }
    }
}

/// The head of a request or of a response.
///
/// ```
/// let mut head = margay::pipeline::head::Head::request(b"GET", b"/orders");
/// head.append(b"Accept", b"text/html");
/// head.set(b"accept", b"application/json");
/// assert_eq!(head.get(b"ACCEPT"), Some(&b"application/json"[..]));
/// assert_eq!(head.fields().count(), 1);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Head {
    /// Boxed: a response is moved through the futures of its exchange. `None`: empty.
    parts: Option<Box<Parts>>,
    pub version: Version,
    /// Status of a response; 0 on a request.
    pub status: u16,
}

impl Head {
    /// Clears the message and keeps the memory.
    pub fn clear(&mut self) {
        (self.version, self.status) = (Version::default(), 0);
        if let Some(parts) = &mut self.parts {
            parts.clear();
        }
    }

    /// Allocated memory in bytes.
    pub fn capacity(&self) -> usize {
        self.parts().buf.capacity() + self.parts().fields.capacity() * size_of::<Field>()
    }

    /// A copy with room for `additional` bytes.
    pub fn copy(&self, additional: usize) -> Head {
        let parts = self.parts();
        let (mut buf, mut fields) =
            (Vec::with_capacity(parts.buf.len() + additional), Vec::with_capacity(parts.fields.len() + 4));
        buf.extend_from_slice(&parts.buf);
        fields.extend_from_slice(&parts.fields);
        Head { parts: Some(Box::new(Parts { buf, fields, ..*parts })), ..*self }
    }

    /// A copy with the status and the active headers only, for storing.
    pub fn to_stored(&self) -> Head {
        let bytes: usize = self.fields().map(|(_, name, value)| name.len() + value.len()).sum();
        let parts = Parts {
            buf: Vec::with_capacity(bytes + self.reason().len()),
            fields: Vec::with_capacity(self.len()),
            ..Parts::default()
        };
        let mut head = Head { parts: Some(Box::new(parts)), ..Head::default() };
        head.set_status(self.status, self.reason());
        self.fields().for_each(|(_, name, value)| head.append(name, value));
        head
    }

    /// A new response head.
    pub fn response(status: u16, reason: &[u8]) -> Head {
        let mut head = Head::default();
        head.set_status(status, reason);
        head
    }

    /// A new request head.
    pub fn request(method: &[u8], target: &[u8]) -> Head {
        let mut head = Head::default();
        head.set_method(method);
        head.set_target(target);
        head
    }

    /// The method of a request, as received.
    pub fn method(&self) -> &[u8] {
        let parts = self.parts();
        parts.first.slice(&parts.buf)
    }

    /// The reason phrase of a response; over HTTP/2 the standard one of the status.
    pub fn reason(&self) -> &[u8] {
        let parts = self.parts();
        parts.first.slice(&parts.buf)
    }

    /// The request target: normalized after routing, rewritten before it is sent to the target of the route.
    pub fn target(&self) -> &[u8] {
        let parts = self.parts();
        parts.target_range.slice(&parts.buf)
    }

    /// The target as the route matched it; path parameters are ranges of it.
    pub fn routed_target(&self) -> &[u8] {
        let parts = self.parts();
        parts.routed_target.unwrap_or(parts.target_range).slice(&parts.buf)
    }

    /// The target as received.
    pub fn original_target(&self) -> &[u8] {
        let parts = self.parts();
        parts.original_target.slice(&parts.buf)
    }

    /// The path as received, without the query.
    pub fn original_path(&self) -> &[u8] {
        self.original_target().split(|&b| b == b'?').next().unwrap_or_default()
    }

    /// Replaces the method of a request.
    pub fn set_method(&mut self, method: &[u8]) {
        let parts = self.parts_mut();
        parts.first = parts.push_bytes(method);
    }

    /// Replaces the target of a request: path and query, or the absolute form.
    pub fn set_target(&mut self, target: &[u8]) {
        let parts = self.parts_mut();
        parts.target_range = parts.push_bytes(target);
    }

    /// Sets the target that the backend receives; the matched target is kept.
    pub fn rewrite_target(&mut self, target: &[u8]) {
        let parts = self.parts_mut();
        parts.routed_target.get_or_insert(parts.target_range);
        parts.target_range = parts.push_bytes(target);
    }

    /// Replaces status and reason phrase of a response.
    pub fn set_status(&mut self, status: u16, reason: &[u8]) {
        self.status = status;
        let parts = self.parts_mut();
        parts.first = parts.push_bytes(reason);
    }

    /// The number of active header lines.
    pub fn len(&self) -> usize {
        self.parts().fields.iter().filter(|f| f.is_active).count()
    }

    /// Whether there is no active header line.
    pub fn is_empty(&self) -> bool {
        !self.parts().fields.iter().any(|f| f.is_active)
    }

    /// The number of received header lines and their size in bytes, regardless of edits; for a head that was not
    /// received, its current ones.
    pub fn received(&self) -> (usize, usize) {
        let parts = self.parts();
        if parts.received_len == 0 {
            let size: usize = self.fields().map(|(_, name, value)| name.len() + value.len() + 4).sum();
            return (self.len(), size);
        }
        let first =
            parts.fields.first().map_or(parts.received_len, |field| field.name.start.min(parts.received_len));
        let count = parts.fields.iter().take_while(|field| field.name.start < parts.received_len).count();
        (count, (parts.received_len - first) as usize)
    }

    /// The active header lines, in order.
    pub fn fields(&self) -> impl Iterator<Item = (KnownHeader, &[u8], &[u8])> {
        let Parts { fields, buf, .. } = self.parts();
        fields.iter().filter(|f| f.is_active).map(|f| (f.known, f.name.slice(buf), f.value.slice(buf)))
    }

    /// The first active value of this header.
    pub fn get(&self, name: &[u8]) -> Option<&[u8]> {
        self.fields().find(|(_, n, _)| n.eq_ignore_ascii_case(name)).map(|(_, _, v)| v)
    }

    /// All active values of this header.
    pub fn get_all<'a>(&'a self, name: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        self.fields().filter(move |(_, n, _)| n.eq_ignore_ascii_case(name)).map(|(_, _, v)| v)
    }

    /// The first active value of a known header.
    pub fn get_known(&self, known: KnownHeader) -> Option<&[u8]> {
        self.get_all_known(known).next()
    }

    /// All active values of a known header.
    pub fn get_all_known(&self, known: KnownHeader) -> impl Iterator<Item = &[u8]> {
        let Parts { fields, buf, added, .. } = self.parts();
        let fields = if added.intersects(KnownHeaders::of(&[known])) { &fields[..] } else { &[] };
        fields.iter().filter(move |f| f.is_active && f.known == known).map(|f| f.value.slice(buf))
    }

    /// Whether one of these headers was added; false is certain, true includes headers that were removed since.
    pub fn may_have(&self, headers: KnownHeaders) -> bool {
        self.parts().added.intersects(headers)
    }

    /// Appends a header line.
    pub fn append(&mut self, name: &[u8], value: &[u8]) {
        let parts = self.parts_mut();
        let (name, value) = (parts.push_bytes(name), parts.push_bytes(value));
        parts.add(name, value);
    }

    /// Appends a header line with a number as its value.
    pub fn append_number(&mut self, name: &[u8], n: u64) {
        let parts = self.parts_mut();
        let name = parts.push_bytes(name);
        let start = parts.buf.len() as u32;
        put_decimal(&mut parts.buf, n);
        let value = ByteRange { start, end: parts.buf.len() as u32 };
        parts.add(name, value);
    }

    /// Appends a header line with the value of a known header, if present; the bytes are shared, not copied.
    pub fn append_copy(&mut self, name: &[u8], known: KnownHeader) {
        let parts = self.parts_mut();
        if let Some(value) = parts.fields.iter().find(|f| f.is_active && f.known == known).map(|f| f.value) {
            let name = parts.push_bytes(name);
            parts.add(name, value);
        }
    }

    /// Replaces all lines of this header with one.
    pub fn set(&mut self, name: &[u8], value: &[u8]) {
        self.remove(name);
        self.append(name, value);
    }

    /// Replaces the values of this header with what `change` appends to its buffer; `false` keeps a value.
    pub fn edit(
        &mut self,
        name: &[u8],
        buffer: &mut Vec<u8>,
        mut change: impl FnMut(&[u8], &mut Vec<u8>) -> bool,
    ) {
        let (end, parts) = (buffer.len(), self.parts_mut());
        for at in 0..parts.fields.len() {
            let field = parts.fields[at];
            let named = field.is_active && field.name.slice(&parts.buf).eq_ignore_ascii_case(name);
            if named && change(field.value.slice(&parts.buf), buffer) {
                parts.fields[at].value = parts.push_bytes(&buffer[end..]);
            }
            buffer.truncate(end);
        }
    }

    /// Removes all lines of this header; returns whether there were any.
    pub fn remove(&mut self, name: &[u8]) -> bool {
        self.deactivate(|f, buf| f.name.slice(buf).eq_ignore_ascii_case(name))
    }

    /// Removes all lines of a known header; returns whether there were any.
    pub fn remove_known(&mut self, known: KnownHeader) -> bool {
        self.may_have(KnownHeaders::of(&[known])) && self.deactivate(|f, _| f.known == known)
    }

    /// Removes the header lines for which `predicate` returns true.
    pub fn remove_if(&mut self, mut predicate: impl FnMut(KnownHeader, &[u8]) -> bool) {
        self.deactivate(|f, buf| predicate(f.known, f.name.slice(buf)));
    }

    fn deactivate(&mut self, mut predicate: impl FnMut(&Field, &[u8]) -> bool) -> bool {
        let Some(parts) = self.parts.as_deref_mut() else { return false };
        let mut any = false;
        for field in parts.fields.iter_mut().filter(|f| f.is_active) {
            if predicate(field, &parts.buf) {
                field.is_active = false;
                any = true;
            }
        }
        any
    }

    /// Copies the bytes of a received head; the parser then sets the positions with the functions below.
    pub fn load(&mut self, bytes: &[u8]) {
        self.clear();
        let parts = self.parts_mut();
        parts.buf.extend_from_slice(bytes);
        parts.received_len = bytes.len() as u32;
    }

    /// Begins a head that is received in parts; [`Head::finish`] ends it.
    pub fn begin(&mut self, method: &[u8], target: &[u8]) {
        self.clear();
        self.set_method(method);
        self.set_target(target);
        let parts = self.parts_mut();
        parts.original_target = parts.target_range;
    }

    /// Marks the current content as received; later additions are the gateway's own.
    pub fn finish(&mut self) {
        let parts = self.parts_mut();
        parts.received_len = parts.buf.len() as u32;
    }

    /// The loaded bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.parts().buf
    }

    /// Sets the positions of method and target, or of the reason phrase.
    pub fn set_start_line(&mut self, first: (usize, usize), second: (usize, usize)) {
        let parts = self.parts_mut();
        parts.first = ByteRange { start: first.0 as u32, end: first.1 as u32 };
        parts.target_range = ByteRange { start: second.0 as u32, end: second.1 as u32 };
        parts.original_target = parts.target_range;
    }

    /// Adds a header line by its positions.
    pub fn push_field(&mut self, name: (usize, usize), value: (usize, usize)) -> KnownHeader {
        let name = ByteRange { start: name.0 as u32, end: name.1 as u32 };
        let value = ByteRange { start: value.0 as u32, end: value.1 as u32 };
        self.parts_mut().add(name, value)
    }

    fn parts(&self) -> &Parts {
        self.parts.as_deref().unwrap_or(&EMPTY_PARTS)
    }

    fn parts_mut(&mut self) -> &mut Parts {
        self.parts.get_or_insert_default()
    }
}

#[cfg(test)]
#[path = "head_tests.rs"]
mod tests;
