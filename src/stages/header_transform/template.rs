//! Header values with placeholders.

use crate::{
    pipeline::{exchange::Exchange, head::KnownHeader},
    stages::trace_context,
};
use std::fmt;

/// A compiled value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderValueTemplate(pub Vec<Segment>);

/// A segment of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Segment {
    Literal(Box<str>),
    /// `{RemoteIpAddress}`: the client as reported by trusted proxies.
    ClientAddress,
    /// `{UpstreamHost}`: the Host field.
    Host,
    /// `{TraceId}`: the trace ID of `traceparent`.
    TraceId,
    /// `{DownstreamBaseUrl}`: `scheme://host:port/` of the endpoint that responded.
    BackendUrl,
    /// A path or query parameter of the route.
    Value {
        index: usize,
        name: Box<str>,
    },
}

impl HeaderValueTemplate {
    /// A constant value.
    pub fn literal(text: &str) -> HeaderValueTemplate {
        HeaderValueTemplate(vec![Segment::Literal(text.into())])
    }

    /// Appends the value to `out`; returns false and appends nothing if a placeholder has no value.
    pub(super) fn write(&self, exchange: &Exchange, buffer: &mut Vec<u8>) -> bool {
        let start = buffer.len();
        let is_complete = self.0.iter().all(|piece| piece.write(exchange, buffer));
        if !is_complete {
            buffer.truncate(start);
        }
        is_complete
    }
}

impl Segment {
    fn write(&self, exchange: &Exchange, buffer: &mut Vec<u8>) -> bool {
        let value = match self {
            Segment::Literal(text) => Some(text.as_bytes()),
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

/// Uses the preformatted address of the peer, unless the client has another one.
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
    let (scheme, default_port) =
        if exchange.record.endpoint_secure { ("https://", ":443") } else { ("http://", ":80") };
    buffer.extend_from_slice(scheme.as_bytes());
    buffer.extend_from_slice(endpoint.strip_suffix(default_port).unwrap_or(endpoint).as_bytes());
    buffer.push(b'/');
    true
}

impl fmt::Display for HeaderValueTemplate {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("\"")?;
        for piece in &self.0 {
            match piece {
                Segment::Literal(text) => f.write_str(text)?,
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
