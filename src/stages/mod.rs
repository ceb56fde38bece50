//! The table of stages: what a route may do with a request, in the one order in which it is done.
//!
//! The place of a key in the document never matters; the place in this table does.

pub mod ip_filter;
pub mod ascii_headers;
pub mod authentication;
pub mod authorization;
pub mod cache;
pub mod claims;
pub mod client_certificate;
pub mod compression;
pub mod concurrency_limit;
pub mod cors;
pub mod custom;
pub mod forwarded_headers;
pub mod header_transform;
pub mod method;
pub mod partition_key;
pub mod rate_limit;
pub mod request_id;
pub mod trace_context;
pub mod request_size;
pub mod websocket_limit;
pub mod via;

use crate::pipeline::stage::BoxStage;
use std::sync::{Arc, atomic::AtomicU64};

/// One line of the table.
#[derive(Clone, Copy, Debug)]
pub struct StageOrder {
    pub name: &'static str,
    /// The setting that switches it on.
    pub setting: &'static str,
    /// Why it stands where it stands.
    pub reason: &'static str,
}

/// The stages from the outside in.
pub const TABLE: &[StageOrder] = &[
    StageOrder {
        name: forwarded_headers::NAME,
        setting: "ForwardedHeaders",
        reason: "first: every later stage wants to know who asks, and through whom",
    },
    StageOrder {
        name: client_certificate::NAME,
        setting: "Listeners.Tls.ClientCertificates",
        reason: "beside the other fields that clients could forge",
    },
    StageOrder {
        name: request_id::NAME,
        setting: "RequestIdKey",
        reason: "before anything may refuse: a refusal has an id too",
    },
    StageOrder {
        name: trace_context::NAME,
        setting: "TraceContext",
        reason: "as early as the request id, whose place it takes where there is none; {TraceId} is read from it",
    },
    StageOrder {
        name: cors::NAME,
        setting: "CorsOptions",
        reason: "outside all that may refuse: a page must be able to read why",
    },
    StageOrder {
        name: compression::NAME,
        setting: "CompressionOptions",
        reason: "outside the header transforms, which may change what the service hears of Accept-Encoding, and outside the \
              cache, which keeps what the service gave: hits are compressed for each client",
    },
    StageOrder {
        name: ip_filter::NAME,
        setting: "SecurityOptions",
        reason: "who is kept out costs nothing more than this (Ocelot's step 7)",
    },
    StageOrder {
        name: cors::NAME_PREFLIGHT,
        setting: "CorsOptions",
        reason: "browsers ask without credentials and as often as they like: before authentication and limits",
    },
    StageOrder {
        name: request_size::NAME,
        setting: "RequestSizeOptions",
        reason: "what is too large is refused before it is counted, and before the service hears of it",
    },
    StageOrder {
        name: websocket_limit::NAME,
        setting: "Limits.MaxWebSocketsPerClient",
        reason: "a connection that would stay is refused before anything is done for it",
    },
    StageOrder {
        name: header_transform::NAME,
        setting: "UpstreamHeaderTransform, DownstreamHeaderTransform",
        reason: "before anything reads headers: limits and authentication see what was set (Ocelot's step 9)",
    },
    StageOrder {
        name: rate_limit::NAME,
        setting: "RateLimitOptions",
        reason: "after the headers were set, before authentication: attempts count too (Ocelot's step 11)",
    },
    StageOrder {
        name: authentication::NAME,
        setting: "AuthenticationOptions",
        reason: "before everything that wants to know who calls (Ocelot's step 14)",
    },
    StageOrder {
        name: claims::ADD_CLAIMS,
        setting: "AddClaimsToRequest",
        reason: "before authorization: what is added counts there (Ocelot's step 15)",
    },
    StageOrder {
        name: authorization::NAME,
        setting: "AllowedScopes, RouteClaimsRequirement, RouteClaimsExpression",
        reason: "once it is known who calls, before anything of the request is changed by it (Ocelot's step 17)",
    },
    StageOrder {
        name: rate_limit::NAME_BY_CLAIM,
        setting: "RateLimitOptions.PartitionBy",
        reason: "a claim is known only now, and who may not call uses up nobody's share",
    },
    StageOrder {
        name: concurrency_limit::NAME,
        setting: "ConcurrencyLimitOptions",
        reason: "a place is taken only by who may have it, and held until the answer is through",
    },
    StageOrder {
        name: claims::ADD_HEADERS,
        setting: "AddHeadersToRequest",
        reason: "behind the header transforms: nothing overwrites what is known of the caller (Ocelot's step 18)",
    },
    StageOrder {
        name: claims::ADD_QUERIES,
        setting: "AddQueriesToRequest",
        reason: "before the service's URL is built out of the query (Ocelot's step 20)",
    },
    StageOrder {
        name: claims::CHANGE_PATH,
        setting: "ChangeDownstreamPathTemplate",
        reason: "before the service's URL is built out of the path values (Ocelot's step 20)",
    },
    StageOrder {
        name: ascii_headers::NAME,
        setting: "Compatibility",
        reason: "behind all that writes headers: Ocelot notices when it sends them",
    },
    StageOrder {
        name: method::NAME,
        setting: "DownstreamHttpMethod",
        reason: "after all that judges by the client's method",
    },
    StageOrder {
        name: cache::NAME,
        setting: "CacheOptions",
        reason: "behind all that judges, counts and rewrites: a hit is counted and shaped as if the service had answered \
              (Ocelot's step 22)",
    },
    StageOrder {
        name: cache::NAME_INVALIDATE,
        setting: "CacheOptions.Mode",
        reason: "in the same place on routes without a cache: what they change, others may keep",
    },
    StageOrder {
        name: custom::NAME,
        setting: "DelegatingHandlers",
        reason: "innermost, as in Ocelot: next to the service, in the order in which the route names them",
    },
    StageOrder {
        name: via::NAME,
        setting: "Via",
        reason: "last: it writes down that the request passed here",
    },
];

/// What stages keep beyond the life of a plan, each under keys of its own.
#[derive(Debug, Default)]
pub struct StageState {
    pub authentication: authentication::AuthState,
    pub rate_limits: Arc<rate_limit::store::CounterStore>,
    pub concurrency: concurrency_limit::ConcurrencyLimiters,
    pub tunnels: Arc<websocket_limit::OpenWebSockets>,
    pub cache: Arc<cache::CacheRegistry>,
    /// Bytes of memory that encoders of streams take.
    pub compression: Arc<AtomicU64>,
}

/// Puts compiled stages into the order of the table.
pub fn sort_by_table(mut stages: Vec<BoxStage>) -> Box<[BoxStage]> {
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
            Box::new(method::MethodOverride::new("post")),
            Box::new(request_id::RequestId::new("X-Id")),
        ];
        let names: Vec<_> = sort_by_table(stages).iter().map(|s| s.name()).collect();
        assert_eq!(names, [request_id::NAME, method::NAME, via::NAME]);
    }
}
