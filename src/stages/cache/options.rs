//! `CacheOptions` and the section `Cache` as the document has them.

use crate::{
    base::units::{DurationText, SizeText},
    config::{
        Spanned, SpannedMap,
        options::option_objects,
        values::{List, Setting},
    },
};
use schemars::JsonSchema;
use serde::Deserialize;

option_objects! {
    /// Response caching.
    CacheOptions, GlobalCacheOptions {
        /// Lifetime of a cached response in seconds; in mode `Http` only of responses without an explicit lifetime.
        /// Default: 0, no caching; in mode `Http` a tenth of the time since `Last-Modified`, at most one day. Source:
        /// Ocelot, Caching.
        ttl_seconds: Setting<i32>,
        /// The cache region: a name under which responses can be purged together. Default: a separate region for each
        /// route. Source: Ocelot, Caching.
        region: Setting<String>,
        /// The request header whose value is part of the cache key. Default: `OC-Cache-Control`; none in mode `Http`.
        /// Source: Ocelot, Caching.
        header: Setting<String>,
        /// Whether the request body is part of the cache key. Default: false. Source: Ocelot, Caching (since 23.3).
        enable_content_hashing: Setting<bool>,
        /// `Ocelot`: responses are cached for `TtlSeconds`, regardless of their headers; `Http`: HTTP caching (RFC
        /// 9111), controlled by the headers of the response; `Off`: no caching. Default: `Ocelot`.
        mode: Setting<String>,
        /// Methods whose responses are cached. Default: `["GET", "HEAD"]`; all methods under `"Compatibility":
        /// "Ocelot"`.
        methods: List<String>,
        /// Response statuses that are cached, 200 to 599. Default: those that RFC 9111 allows in mode `Http`, else 200
        /// to 299; every status under `"Compatibility": "Ocelot"`.
        status_codes: List<i32>,
        /// Query parameters that are part of the cache key; `*` is the whole query. Default: `["*"]`.
        vary_by_query: List<String>,
        /// Request header fields that are part of the cache key. Default: `[]`.
        vary_by_header: List<String>,
        /// Claims of the caller that are part of the cache key, instead of the caller's whole identity. Default: `[]`.
        vary_by_claim: List<String>,
        /// Whether each caller has its own cache entries. Default: true; false if `VaryByClaim` is set, or under
        /// `"Compatibility": "Ocelot"`.
        vary_by_identity: Setting<bool>,
        /// Mode `Http`: how long a stale response may be served while it is revalidated in the background. 0s to 365d.
        /// Default: `0s`. Source: RFC 5861.
        stale_while_revalidate: Setting<DurationText>,
        /// Mode `Http`: how long a stale response may be served instead of an error. 0s to 365d. Default: `0s`. Source:
        /// RFC 5861.
        stale_if_error: Setting<DurationText>,
        /// Mode `Http`: lifetime of responses with status 404, 405, 410, 414 or 501 without an explicit lifetime. 0s to
        /// 365d. Default: not cached.
        negative_ttl: Setting<DurationText>,
        /// Request coalescing: whether concurrent requests for the same cache entry share one backend request. Default:
        /// true; false under `"Compatibility": "Ocelot"`.
        collapse: Setting<bool>,
        /// Request coalescing: how long a request waits for the response of another one; then it is sent to the backend
        /// itself. 0s to 365d. Default: `5s`. Source: nginx, `proxy_cache_lock_timeout`.
        collapse_timeout: Setting<DurationText>,
        /// Whether `Set-Cookie` fields are stored and served to all callers. Default: false; true under
        /// `"Compatibility": "Ocelot"`.
        store_cookies: Setting<bool>,
    }
}

/// The memory of the response cache, shared by all routes with `CacheOptions`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct CacheDocument {
    /// Memory of all stored responses, including their heads and the index. 1 MiB to 1 TiB. Default: `256MiB`.
    pub max_size: Setting<SizeText>,
    /// Maximum body size of a stored response; larger ones are not cached. 1 byte to a quarter of `MaxSize`. Default:
    /// `16MiB`, or that quarter.
    pub max_object_size: Setting<SizeText>,
    /// Region → its own share of `MaxSize`, which other regions cannot evict. Default: `{}`.
    pub regions: Setting<SpannedMap<Spanned<CacheRegionDocument>>>,
    /// Whether gateways with the same `SharedState` share stored responses: memory first, then Redis, then the backend.
    /// Default: false.
    pub shared: Setting<bool>,
}

/// The memory of one cache region.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct CacheRegionDocument {
    /// Memory of the stored responses of the region. 1 MiB or more. Required.
    pub max_size: Setting<SizeText>,
}
