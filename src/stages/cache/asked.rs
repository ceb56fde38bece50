//! What a request says to a cache.

use super::{directives::Directives, settings::Settings, status::Forward};
use crate::pipeline::{body::Framing, exchange::Exchange, head::Head};

/// A request that the cache has something to do with.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    pub head_only: bool,
    pub directives: Directives,
    /// It has conditions, or asks for a part.
    pub conditional: bool,
    /// It brings credentials that may decide about the answer.
    pub authorized: bool,
}

/// What is to be done with it.
pub enum Plan {
    Look(Asked),
    /// It is none for the cache.
    Pass(Forward),
    /// Its body is part of the key.
    Body,
}

/// Fields that matter here, found in one pass.
#[derive(Default)]
struct Noticed {
    control: bool,
    conditional: bool,
    unsafe_condition: bool,
    authorized: bool,
}

impl Noticed {
    fn of(request: &Head) -> Noticed {
        let mut noticed = Noticed::default();
        for (_, name, _) in request.fields() {
            let is = |known: &[u8]| name.eq_ignore_ascii_case(known);
            match (name.first().map(u8::to_ascii_lowercase), name.len()) {
                (Some(b'c'), 13) => noticed.control |= is(b"cache-control"),
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

impl Plan {
    /// RFC 9111.
    pub fn http(settings: &Settings, x: &Exchange) -> Plan {
        let head_only = match x.req.method() {
            b"GET" => false,
            b"HEAD" => true,
            _ => return Plan::Pass(Forward::Method),
        };
        let noticed = Noticed::of(&x.req);
        // A body of a GET may mean something to the service, and is not part of the key.
        let other = x.websocket || x.framing != Framing::None || noticed.unsafe_condition;
        if !takes(settings, x.req.method()) || other {
            return Plan::Pass(Forward::Bypass);
        }
        let directives = match noticed.control {
            true => Directives::of_lines(x.req.all(b"cache-control")),
            false => Directives::default(),
        };
        if directives.no_store {
            return Plan::Pass(Forward::Request);
        }
        Plan::Look(Asked {
            head_only,
            directives,
            conditional: noticed.conditional,
            authorized: noticed.authorized,
        })
    }

    /// Whatever the request says: its method decides.
    pub fn ocelot(settings: &Settings, x: &Exchange) -> Plan {
        if !takes(settings, x.req.method()) || x.websocket {
            return Plan::Pass(Forward::Method);
        }
        if settings.hash_body && x.framing != Framing::None && x.body.is_none() {
            return Plan::Body;
        }
        let head_only = x.req.method() == b"HEAD";
        let conditional = !settings.exact && Noticed::of(&x.req).conditional;
        Plan::Look(Asked { head_only, conditional, ..Asked::default() })
    }
}

/// Whether answers to that method are kept.
pub fn takes(settings: &Settings, method: &[u8]) -> bool {
    settings.methods.is_empty() || settings.methods.iter().any(|known| known.as_bytes() == method)
}

/// Methods that change nothing (RFC 9110 9.2.1).
pub fn is_safe(method: &[u8]) -> bool {
    matches!(method, b"GET" | b"HEAD" | b"OPTIONS" | b"TRACE")
}
