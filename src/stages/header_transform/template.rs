//! A value that is written into a header: text and placeholders.

use crate::{
    pipeline::{exchange::Exchange, head::KnownHeader},
    stages::trace_context,
};
use std::fmt;

/// A value, compiled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderValueTemplate(pub Vec<Segment>);

/// A piece of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Segment {
    HeaderValueTemplate(Box<str>),
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

impl HeaderValueTemplate {
    /// The same text always.
    pub fn literal(text: &str) -> HeaderValueTemplate {
        HeaderValueTemplate(vec![Segment::HeaderValueTemplate(text.into())])
    }

    /// Appends the value to `out`; writes nothing and says false if a placeholder has no value.
    pub(super) fn write(&self, exchange: &Exchange, buffer: &mut Vec<u8>) -> bool {
        let start = buffer.len();
        let known = self.0.iter().all(|piece| piece.write(exchange, buffer));
        if !known {
            buffer.truncate(start);
        }
        known
    }
}

impl Segment {
    fn write(&self, exchange: &Exchange, buffer: &mut Vec<u8>) -> bool {
        let value = match self {
            Segment::HeaderValueTemplate(text) => Some(text.as_bytes()),
            Segment::ClientAddress => return write_address(exchange, buffer),
            Segment::Host => exchange.request.get_known(KnownHeader::Host),
            Segment::TraceId => trace_context::trace_id(&exchange.request),
            Segment::BackendUrl => return write_backend(exchange, buffer),
            Segment::Value { index, .. } => exchange
                .routing
                .path_params
                .get(*index, exchange.request.routed_target())
                .map(|value| value.bytes),
        };
        value.map(|value| buffer.extend_from_slice(value)).is_some()
    }
}

/// The text of the peer's address is there already; another client is written.
fn write_address(exchange: &Exchange, buffer: &mut Vec<u8>) -> bool {
    use std::io::Write;
    match exchange.client.ip == exchange.client.peer.ip() {
        true => {
            buffer.extend_from_slice(exchange.client.peer.ip_text());
            true
        }
        false => write!(buffer, "{}", exchange.client.ip).is_ok(),
    }
}

fn write_backend(exchange: &Exchange, buffer: &mut Vec<u8>) -> bool {
    let Some(endpoint) = &exchange.record.endpoint else { return false };
    let (scheme, usual) =
        if exchange.record.endpoint_secure { ("https://", ":443") } else { ("http://", ":80") };
    buffer.extend_from_slice(scheme.as_bytes());
    buffer.extend_from_slice(endpoint.strip_suffix(usual).unwrap_or(endpoint).as_bytes());
    buffer.push(b'/');
    true
}

impl fmt::Display for HeaderValueTemplate {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("\"")?;
        for piece in &self.0 {
            match piece {
                Segment::HeaderValueTemplate(text) => f.write_str(text)?,
                Segment::ClientAddress => f.write_str("{RemoteIpAddress}")?,
                Segment::Host => f.write_str("{UpstreamHost}")?,
                Segment::TraceId => f.write_str("{TraceId}")?,
                Segment::BackendUrl => f.write_str("{DownstreamBaseUrl}")?,
                Segment::Value { name, .. } => write!(f, "{{{name}}}")?,
            }
        }
        f.write_str("\"")
    }
}
