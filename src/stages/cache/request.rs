//! What a request says to a cache.

use super::{directives::Directives, settings::CacheConfig, status::Forward};
use crate::pipeline::{body::Framing, exchange::Exchange, head::Head};

/// A request that the cache has something to do with.
#[derive(Clone, Debug, Default)]
pub struct CacheRequest {
    pub head_only: bool,
    pub directives: Directives,
    /// It has conditions, or asks for a part.
    pub conditional: bool,
    /// It brings credentials that may decide about the answer.
    pub authorized: bool,
}

/// What is to be done with it.
pub enum Lookup {
    Lookup(CacheRequest),
    /// It is none for the cache.
    Bypass(Forward),
    /// Its body is part of the key.
    Body,
}

/// Fields that matter here, found in one pass.
#[derive(Default)]
struct RelevantHeaders {
    cache_control: bool,
    conditional: bool,
    unsafe_condition: bool,
    authorized: bool,
}

impl RelevantHeaders {
    fn of(request: &Head) -> RelevantHeaders {
        let mut noticed = RelevantHeaders::default();
        for (_, name, _) in request.fields() {
            let is = |known: &[u8]| name.eq_ignore_ascii_case(known);
            match (name.first().map(u8::to_ascii_lowercase), name.len()) {
                (Some(b'c'), 13) => noticed.cache_control |= is(b"cache-control"),
                (Some(b'a'), 13) => noticed.authorized |= is(b"authorization"),
                (Some(b'r'), 5) => noticed.conditional |= is(b"range"),
                (Some(b'i'), 8) => {
                    noticed.conditional |= is(b"if-range");
                    noticed.unsafe_condition |= is(b"if-match");
                }
                (Some(b'i'), 13) => noticed.conditional |= is(b"if-none-match"),
                (Some(b'i'), 17) => noticed.conditional |= is(b"if-modified-since"),
                (Some(b'i'), 19) => noticed.unsafe_condition |= is(b"if-unmodified-since"),
                _ => {}
            }
        }
        noticed
    }
}

impl Lookup {
    /// RFC 9111.
    pub fn http(settings: &CacheConfig, exchange: &Exchange) -> Lookup {
        let head_only = match exchange.request.method() {
            b"GET" => false,
            b"HEAD" => true,
            _ => return Lookup::Bypass(Forward::Method),
        };
        let noticed = RelevantHeaders::of(&exchange.request);
        // A body of a GET may mean something to the service, and is not part of the key.
        let other =
            exchange.is_websocket || exchange.body.framing != Framing::None || noticed.unsafe_condition;
        if !is_cacheable_method(settings, exchange.request.method()) || other {
            return Lookup::Bypass(Forward::Bypass);
        }
        let directives = match noticed.cache_control {
            true => Directives::from_lines(exchange.request.get_all(b"cache-control")),
            false => Directives::default(),
        };
        if directives.no_store {
            return Lookup::Bypass(Forward::Request);
        }
        Lookup::Lookup(CacheRequest {
            head_only,
            directives,
            conditional: noticed.conditional,
            authorized: noticed.authorized,
        })
    }

    /// Whatever the request says: its method decides.
    pub fn ocelot(settings: &CacheConfig, exchange: &Exchange) -> Lookup {
        if !is_cacheable_method(settings, exchange.request.method()) || exchange.is_websocket {
            return Lookup::Bypass(Forward::Method);
        }
        if settings.hash_body && exchange.body.framing != Framing::None && exchange.body.collected.is_none() {
            return Lookup::Body;
        }
        let head_only = exchange.request.method() == b"HEAD";
        let conditional = !settings.ocelot_exact && RelevantHeaders::of(&exchange.request).conditional;
        Lookup::Lookup(CacheRequest { head_only, conditional, ..CacheRequest::default() })
    }
}

/// Whether answers to that method are kept.
pub fn is_cacheable_method(settings: &CacheConfig, method: &[u8]) -> bool {
    settings.methods.is_empty() || settings.methods.iter().any(|known| known.as_bytes() == method)
}

/// Methods that change nothing (RFC 9110 9.2.1).
pub fn is_safe(method: &[u8]) -> bool {
    matches!(method, b"GET" | b"HEAD" | b"OPTIONS" | b"TRACE")
}
