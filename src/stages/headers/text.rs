//! A value that is written into a header: text and placeholders.

use crate::{
    pipeline::{exchange::Exchange, head::Known},
    stages::trace_context,
};
use std::fmt;

/// A value, compiled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text(pub Vec<Piece>);

/// A piece of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    Text(Box<str>),
    /// `{RemoteIpAddress}`: the client as seen through trusted proxies.
    ClientAddress,
    /// `{UpstreamHost}`: the Host field.
    Host,
    /// `{TraceId}`: the trace id of `traceparent`.
    TraceId,
    /// `{DownstreamBaseUrl}`: `scheme://host:port/` of the service that answered.
    BackendUrl,
    /// A value of the route: its place and name.
    Value {
        index: usize,
        name: Box<str>,
    },
}

impl Text {
    /// The same text always.
    pub fn fixed(text: &str) -> Text {
        Text(vec![Piece::Text(text.into())])
    }

    /// Appends the value to `out`; writes nothing and says false if a placeholder has no value.
    pub(super) fn write(&self, x: &Exchange, out: &mut Vec<u8>) -> bool {
        let start = out.len();
        let known = self.0.iter().all(|piece| piece.write(x, out));
        if !known {
            out.truncate(start);
        }
        known
    }
}

impl Piece {
    fn write(&self, x: &Exchange, out: &mut Vec<u8>) -> bool {
        let value = match self {
            Piece::Text(text) => Some(text.as_bytes()),
            Piece::ClientAddress => return write_address(x, out),
            Piece::Host => x.req.known(Known::Host),
            Piece::TraceId => trace_context::trace_id(&x.req),
            Piece::BackendUrl => return write_backend(x, out),
            Piece::Value { index, .. } => x.values.get(*index, x.req.matched()).map(|value| value.bytes),
        };
        value.map(|value| out.extend_from_slice(value)).is_some()
    }
}

/// The text of the peer's address is there already; another client is written.
fn write_address(x: &Exchange, out: &mut Vec<u8>) -> bool {
    use std::io::Write;
    match x.client == x.peer.ip() {
        true => {
            out.extend_from_slice(x.peer.ip_text());
            true
        }
        false => write!(out, "{}", x.client).is_ok(),
    }
}

fn write_backend(x: &Exchange, out: &mut Vec<u8>) -> bool {
    let Some(endpoint) = &x.record.endpoint else { return false };
    let (scheme, usual) = if x.record.endpoint_secure { ("https://", ":443") } else { ("http://", ":80") };
    out.extend_from_slice(scheme.as_bytes());
    out.extend_from_slice(endpoint.strip_suffix(usual).unwrap_or(endpoint).as_bytes());
    out.push(b'/');
    true
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("\"")?;
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => f.write_str(text)?,
                Piece::ClientAddress => f.write_str("{RemoteIpAddress}")?,
                Piece::Host => f.write_str("{UpstreamHost}")?,
                Piece::TraceId => f.write_str("{TraceId}")?,
                Piece::BackendUrl => f.write_str("{DownstreamBaseUrl}")?,
                Piece::Value { name, .. } => write!(f, "{{{name}}}")?,
            }
        }
        f.write_str("\"")
    }
}
