//! Requests from the view of the cache: whether to look up, to bypass, or to read the body first.

use super::{directives::Directives, settings::CacheConfig, status::Forward};
use crate::pipeline::{body::Framing, exchange::Exchange, head::Head};

/// A request that the cache handles.
#[derive(Clone, Debug, Default)]
pub struct CacheRequest {
    pub head_only: bool,
    pub directives: Directives,
    /// It has conditions or a `Range`.
    pub conditional: bool,
    /// It has credentials that may affect the response.
    pub authorized: bool,
}

/// How the cache handles a request.
pub enum CacheDecision {
    /// Look it up, and store its response.
    LookUp(CacheRequest),
    /// Forward it without the cache.
    Bypass(Forward),
    /// Read its body, which is part of the key.
    Body,
}

/// The presence of relevant fields, found in one pass.
#[derive(Default)]
struct RelevantHeaders {
    cache_control: bool,
    conditional: bool,
    unsafe_condition: bool,
    authorized: bool,
}

impl RelevantHeaders {
    fn of(request: &Head) -> RelevantHeaders {
        let mut headers = RelevantHeaders::default();
        for (_, name, _) in request.fields() {
            let is = |known: &[u8]| name.eq_ignore_ascii_case(known);
            match (name.first().map(u8::to_ascii_lowercase), name.len()) {
                (Some(b'c'), 13) => headers.cache_control |= is(b"cache-control"),
                (Some(b'a'), 13) => headers.authorized |= is(b"authorization"),
                (Some(b'r'), 5) => headers.conditional |= is(b"range"),
                (Some(b'i'), 8) => {
                    headers.conditional |= is(b"if-range");
                    headers.unsafe_condition |= is(b"if-match");
                }
                (Some(b'i'), 13) => headers.conditional |= is(b"if-none-match"),
                (Some(b'i'), 17) => headers.conditional |= is(b"if-modified-since"),
                (Some(b'i'), 19) => headers.unsafe_condition |= is(b"if-unmodified-since"),
                _ => {}
            }
        }
        headers
    }
}

impl CacheDecision {
    /// RFC 9111.
    pub fn http(settings: &CacheConfig, exchange: &Exchange) -> CacheDecision {
        let head_only = match exchange.request.method() {
            b"GET" => false,
            b"HEAD" => true,
            _ => return CacheDecision::Bypass(Forward::Method),
        };
        let headers = RelevantHeaders::of(&exchange.request);
        // The body of a GET may affect the response, and is not part of the key.
        let must_bypass =
            exchange.is_websocket || exchange.body.framing != Framing::None || headers.unsafe_condition;
        if !is_cacheable_method(settings, exchange.request.method()) || must_bypass {
            return CacheDecision::Bypass(Forward::Bypass);
        }
        let directives = match headers.cache_control {
            true => Directives::from_lines(exchange.request.get_all(b"cache-control")),
            false => Directives::default(),
        };
        if directives.no_store {
            return CacheDecision::Bypass(Forward::Request);
        }
        CacheDecision::LookUp(CacheRequest {
            head_only,
            directives,
            conditional: headers.conditional,
            authorized: headers.authorized,
        })
    }

    /// Ocelot: only the method decides.
    pub fn ocelot(settings: &CacheConfig, exchange: &Exchange) -> CacheDecision {
        if !is_cacheable_method(settings, exchange.request.method()) || exchange.is_websocket {
            return CacheDecision::Bypass(Forward::Method);
        }
        if settings.hash_body && exchange.body.framing != Framing::None && exchange.body.collected.is_none() {
            return CacheDecision::Body;
        }
        let head_only = exchange.request.method() == b"HEAD";
        let conditional = !settings.ocelot_exact && RelevantHeaders::of(&exchange.request).conditional;
        CacheDecision::LookUp(CacheRequest { head_only, conditional, ..CacheRequest::default() })
    }
}

/// Whether responses to the method are stored.
pub fn is_cacheable_method(settings: &CacheConfig, method: &[u8]) -> bool {
    settings.methods.is_empty() || settings.methods.iter().any(|known| known.as_bytes() == method)
}

/// Safe methods (RFC 9110 9.2.1).
pub fn is_safe(method: &[u8]) -> bool {
    matches!(method, b"GET" | b"HEAD" | b"OPTIONS" | b"TRACE")
}
