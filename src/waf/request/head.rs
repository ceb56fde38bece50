//! The head of a request, and of a response, as named values.

use super::parts::{BodyProcessor, Kind, Request, Source, Span, Value};
use crate::base::percent::percent_decoded;
use crate::waf::bytes::is_space;
use crate::waf::transform::url;
use std::borrow::Cow;
use std::net::IpAddr;

/// The head of a request as the client sent it.
#[derive(Clone, Copy, Debug)]
pub struct RequestHead<'h> {
    /// The method.
    pub method: &'h [u8],
    /// The target of the request line.
    pub target: &'h [u8],
    /// Such as `HTTP/1.1`.
    pub protocol: &'h [u8],
    /// The fields in order.
    pub headers: &'h [(&'h [u8], &'h [u8])],
    /// The address of the client.
    pub remote_address: IpAddr,
    /// The id of the request.
    pub id: &'h [u8],
}

impl Request {
    /// The parts of a head.
    pub fn new(head: &RequestHead<'_>) -> Self {
        let mut request = Self::empty(head.remote_address);
        request.unique_id = request.add_text(head.id);
        request.add_line(head);
        for (name, value) in head.headers {
            request.add_header(name, value);
        }
        request
    }

    fn add_line(&mut self, head: &RequestHead<'_>) {
        let line = [head.method, b" ", head.target, b" ", head.protocol].concat();
        let line = self.add_text(&line);
        let target_start = head.method.len() + 1;
        let target_end = target_start + head.target.len();
        let raw = self.slice(line, target_start, target_end);
        let none = Span::default();
        self.add(Kind::Line, none, line);
        self.add(Kind::Method, none, self.slice(line, 0, head.method.len()));
        self.add(Kind::Protocol, none, self.slice(line, target_end + 1, line.len()));
        self.add(Kind::RawUri, none, raw);
        self.add_target(raw, head.target);
    }

    fn add_target(&mut self, raw: Span, target: &[u8]) {
        let none = Span::default();
        let query_start = memchr::memchr(b'?', target);
        let path_end = query_start.unwrap_or(target.len());
        let decoded = |request: &mut Self, start: usize, end: usize| {
            let text = &target[start..end];
            match memchr::memchr2(b'%', b'+', text) {
                Some(_) => request.add_text(&url::decode(text)),
                None => request.slice(raw, start, end),
            }
        };
        let uri = decoded(self, path_start(target), target.len());
        self.add(Kind::Uri, none, uri);
        let path = decoded(self, 0, path_end);
        self.add(Kind::Path, none, path);
        let text = self.bytes(path);
        let base = text.iter().rposition(|byte| matches!(byte, b'/' | b'\\')).map_or(0, |at| at + 1);
        let base = if base == 0 { text.len() } else { base };
        self.add(Kind::BaseName, none, self.slice(path, base, path.len()));
        if let Some(start) = query_start {
            self.add(Kind::QueryString, none, self.slice(raw, start + 1, target.len()));
            self.add_form(Source::Query, &target[start + 1..]);
        }
    }

    fn add_header(&mut self, name: &[u8], value: &[u8]) {
        let name_span = self.add_text(name);
        let value_span = self.add_text(value);
        let (source, path) = (Source::Head, Span::default());
        let field = Value { kind: Kind::HeaderValue, source, name: name_span, value: value_span, path };
        self.add_named(field, Kind::HeaderName);
        if name.eq_ignore_ascii_case(b"cookie") {
            self.add_cookies(value, value_span);
        }
        if name.eq_ignore_ascii_case(b"content-type") {
            self.processor = body_processor(value);
        }
    }

    fn add_cookies(&mut self, text: &[u8], span: Span) {
        let mut start = 0;
        for pair in text.split(|byte| *byte == b';') {
            let end = start + pair.len();
            let skipped = pair.iter().take_while(|byte| is_space(**byte)).count();
            let pair = &pair[skipped..];
            let name_length = memchr::memchr(b'=', pair).unwrap_or(pair.len());
            if name_length > 0 {
                let name = self.slice(span, start + skipped, start + skipped + name_length);
                let value_start = (start + skipped + name_length + 1).min(end);
                let value = self.slice(span, value_start, end);
                let (source, path) = (Source::Head, Span::default());
                self.add_named(
                    Value { kind: Kind::CookieValue, source, name, value, path },
                    Kind::CookieName,
                );
            }
            start = end + 1;
        }
    }

    /// The head of a response.
    pub fn add_response(&mut self, status: u16, protocol: &[u8], headers: &[(&[u8], &[u8])]) {
        let none = Span::default();
        let status = self.add_text(status.to_string().as_bytes());
        self.add(Kind::ResponseStatus, none, status);
        let protocol = self.add_text(protocol);
        self.add(Kind::ResponseProtocol, none, protocol);
        for (name, value) in headers {
            let name = self.add_text(name);
            let value = self.add_text(value);
            let (kind, source) = (Kind::ResponseHeaderValue, Source::Head);
            self.add_named(Value { kind, source, name, value, path: none }, Kind::ResponseHeaderName);
        }
    }
}

/// The path of a target without scheme, authority and query, percent-decoded.
pub fn decoded_path(target: &[u8]) -> Cow<'_, [u8]> {
    let end = memchr::memchr2(b'?', b'#', target).unwrap_or(target.len());
    percent_decoded(&target[path_start(target).min(end)..end], false)
}

/// Where the path of a target begins: behind the authority of an absolute target.
fn path_start(target: &[u8]) -> usize {
    if target.first() == Some(&b'/') {
        return 0;
    }
    let Some(authority) = memchr::memmem::find(target, b"://").map(|at| at + 3) else { return 0 };
    memchr::memchr(b'/', &target[authority..]).map_or(0, |at| authority + at)
}

/// How a body of a declared type is read.
pub fn body_processor(content_type: &[u8]) -> BodyProcessor {
    let media = content_type.split(|byte| matches!(byte, b';' | b',')).next().unwrap_or_default();
    let media = media.trim_ascii().to_ascii_lowercase();
    let is_json =
        media.ends_with(b"+json") || media == b"application/json" || media == b"application/csp-report";
    let is_xml = media.ends_with(b"+xml") || media == b"application/xml" || media == b"text/xml";
    if media == b"application/x-www-form-urlencoded" {
        BodyProcessor::UrlEncoded
    } else if media == b"multipart/form-data" {
        BodyProcessor::Multipart
    } else if is_json {
        BodyProcessor::Json
    } else if is_xml {
        BodyProcessor::Xml
    } else {
        BodyProcessor::None
    }
}
