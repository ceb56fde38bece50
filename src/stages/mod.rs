//! The table of stages: what a route may do with a request, in the one order in which it is done.
//!
//! The place of a key in the document never matters; the place in this table does.

pub mod address;
pub mod ascii;
pub mod authentication;
pub mod authorization;
pub mod cache;
pub mod claims;
pub mod client_certificate;
pub mod compression;
pub mod concurrency;
pub mod cors;
pub mod custom;
pub mod forwarded;
pub mod headers;
pub mod method;
pub mod partition;
pub mod rate_limit;
pub mod request_id;
pub mod trace_context;
pub mod size;
pub mod tunnels;
pub mod via;

use crate::pipeline::stage::BoxStage;
use std::sync::{Arc, atomic::AtomicU64};

/// One line of the table.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    pub name: &'static str,
    /// The setting that switches it on.
    pub setting: &'static str,
    /// Why it stands where it stands.
    pub why: &'static str,
}

/// The stages from the outside in.
pub const TABLE: &[Place] = &[
    Place {
        name: forwarded::NAME,
        setting: "ForwardedHeaders",
        why: "first: every later stage wants to know who asks, and through whom",
    },
    Place {
        name: client_certificate::NAME,
        setting: "Listeners.Tls.ClientCertificates",
        why: "beside the other fields that clients could forge",
    },
    Place {
        name: request_id::NAME,
        setting: "RequestIdKey",
        why: "before anything may refuse: a refusal has an id too",
    },
    Place {
        name: trace_context::NAME,
        setting: "TraceContext",
        why: "as early as the request id, whose place it takes where there is none; {TraceId} is read from it",
    },
    Place {
        name: cors::NAME,
        setting: "CorsOptions",
        why: "outside all that may refuse: a page must be able to read why",
    },
    Place {
        name: compression::NAME,
        setting: "CompressionOptions",
        why: "outside the header transforms, which may change what the service hears of Accept-Encoding, and outside the \
              cache, which keeps what the service gave: hits are compressed for each client",
    },
    Place {
        name: address::NAME,
        setting: "SecurityOptions",
        why: "who is kept out costs nothing more than this (Ocelot's step 7)",
    },
    Place {
        name: cors::NAME_PREFLIGHT,
        setting: "CorsOptions",
        why: "browsers ask without credentials and as often as they like: before authentication and limits",
    },
    Place {
        name: size::NAME,
        setting: "RequestSizeOptions",
        why: "what is too large is refused before it is counted, and before the service hears of it",
    },
    Place {
        name: tunnels::NAME,
        setting: "Limits.MaxTunnelsPerClient",
        why: "a connection that would stay is refused before anything is done for it",
    },
    Place {
        name: headers::NAME,
        setting: "UpstreamHeaderTransform, DownstreamHeaderTransform",
        why: "before anything reads headers: limits and authentication see what was set (Ocelot's step 9)",
    },
    Place {
        name: rate_limit::NAME,
        setting: "RateLimitOptions",
        why: "after the headers were set, before authentication: attempts count too (Ocelot's step 11)",
    },
    Place {
        name: authentication::NAME,
        setting: "AuthenticationOptions",
        why: "before everything that wants to know who calls (Ocelot's step 14)",
    },
    Place {
        name: claims::ADD_CLAIMS,
        setting: "AddClaimsToRequest",
        why: "before authorization: what is added counts there (Ocelot's step 15)",
    },
    Place {
        name: authorization::NAME,
        setting: "AllowedScopes, RouteClaimsRequirement, RouteClaimsExpression",
        why: "once it is known who calls, before anything of the request is changed by it (Ocelot's step 17)",
    },
    Place {
        name: rate_limit::NAME_BY_CLAIM,
        setting: "RateLimitOptions.PartitionBy",
        why: "a claim is known only now, and who may not call uses up nobody's share",
    },
    Place {
        name: concurrency::NAME,
        setting: "ConcurrencyLimitOptions",
        why: "a place is taken only by who may have it, and held until the answer is through",
    },
    Place {
        name: claims::ADD_HEADERS,
        setting: "AddHeadersToRequest",
        why: "behind the header transforms: nothing overwrites what is known of the caller (Ocelot's step 18)",
    },
    Place {
        name: claims::ADD_QUERIES,
        setting: "AddQueriesToRequest",
        why: "before the service's URL is built out of the query (Ocelot's step 20)",
    },
    Place {
        name: claims::CHANGE_PATH,
        setting: "ChangeDownstreamPathTemplate",
        why: "before the service's URL is built out of the path values (Ocelot's step 20)",
    },
    Place {
        name: ascii::NAME,
        setting: "Compatibility",
        why: "behind all that writes headers: Ocelot notices when it sends them",
    },
    Place {
        name: method::NAME,
        setting: "DownstreamHttpMethod",
        why: "after all that judges by the client's method",
    },
    Place {
        name: cache::NAME,
        setting: "CacheOptions",
        why: "behind all that judges, counts and rewrites: a hit is counted and shaped as if the service had answered \
              (Ocelot's step 22)",
    },
    Place {
        name: cache::NAME_INVALIDATE,
        setting: "CacheOptions.Mode",
        why: "in the same place on routes without a cache: what they change, others may keep",
    },
    Place {
        name: custom::NAME,
        setting: "DelegatingHandlers",
        why: "innermost, as in Ocelot: next to the service, in the order in which the route names them",
    },
    Place { name: via::NAME, setting: "Via", why: "last: it writes down that the request passed here" },
];

/// What stages keep beyond the life of a plan, each under keys of its own.
#[derive(Debug, Default)]
pub struct Kept {
    pub identity: authentication::Kept,
    pub counters: Arc<rate_limit::counters::Counters>,
    pub gates: concurrency::Gates,
    pub tunnels: Arc<tunnels::Open>,
    pub cache: Arc<cache::Kept>,
    /// Bytes of memory that encoders of streams take.
    pub compression: Arc<AtomicU64>,
}

/// Puts compiled stages into the order of the table.
pub fn in_order(mut stages: Vec<BoxStage>) -> Box<[BoxStage]> {
    debug_assert!(stages.iter().all(|stage| TABLE.iter().any(|place| place.name == stage.name())));
    stages.sort_by_key(|stage| TABLE.iter().position(|place| place.name == stage.name()));
    stages.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_stand_in_the_order_of_the_table_whatever_the_order_they_are_given_in() {
        let stages: Vec<BoxStage> = vec![
            Box::new(via::Via),
            Box::new(method::Method::new("post")),
            Box::new(request_id::RequestId::new("X-Id")),
        ];
        let names: Vec<_> = in_order(stages).iter().map(|s| s.name()).collect();
        assert_eq!(names, [request_id::NAME, method::NAME, via::NAME]);
    }
}
