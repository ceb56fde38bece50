//! The cache pages: `GET /cache` lists entries, `POST /cache/purge` removes them.

use super::{context::AdminContext, error::AdminError, page::JsonPage};
use crate::{
    base::percent::percent_decoded,
    stages::cache::{CacheRegistry, EntrySummary, Purge},
};
use axum::extract::State;
use http::{StatusCode, Uri};
use serde::Serialize;

/// Maximum number of entries in one response.
const MAX_LISTED: usize = 100;
const USAGE_ONE_SELECTOR: &str = "exactly one of url=, prefix=, tag=, region= and all is required";

/// Stored responses.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct CacheList {
    /// The number of entries that match; at most 100 are listed.
    pub count: usize,
    pub entries: Vec<CacheEntry>,
}

/// A stored response.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct CacheEntry {
    pub url: String,
    pub region: String,
    pub status: u16,
    pub bytes: u64,
    /// Seconds since the response was generated.
    pub age: u64,
    /// Seconds of freshness left.
    pub ttl: i64,
    pub tags: Vec<String>,
    pub vary: Option<String>,
}

/// The number of removed responses.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct CachePurge {
    pub purged: usize,
}

/// The parameters of both pages, for their description: values may be any bytes, so that they are parsed from the query.
#[derive(Debug, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "only described")]
struct CacheSelector {
    /// The whole URL.
    url: Option<String>,
    /// The beginning of the URL.
    prefix: Option<String>,
    /// A tag of the response.
    tag: Option<String>,
    /// The region of the route.
    region: Option<String>,
    /// Without a value: all.
    all: Option<String>,
}

/// The stored responses, all or those of one selector.
#[utoipa::path(get, path = "/cache", tag = "cache",
    params(CacheSelector),
    responses((status = 200, body = CacheList)))]
pub async fn list_cache(
    State(context): State<AdminContext>,
    uri: Uri,
) -> Result<JsonPage<CacheList>, AdminError> {
    let selector = selector(&uri)?.unwrap_or(Purge::All);
    Ok(JsonPage(list_entries(&context.gateway()?.shared_state.stage_state.cache, &selector)))
}

/// Removes the stored responses of exactly one selector.
#[utoipa::path(post, path = "/cache/purge", tag = "cache",
    params(CacheSelector),
    responses((status = 200, body = CachePurge)))]
pub async fn purge_cache(
    State(context): State<AdminContext>,
    uri: Uri,
) -> Result<JsonPage<CachePurge>, AdminError> {
    let selector = selector(&uri)?.ok_or_else(|| AdminError::query(USAGE_ONE_SELECTOR))?;
    Ok(JsonPage(CachePurge { purged: purge(&context, &selector).await? }))
}

/// Purges on this gateway and on those that share its responses; returns the number removed here.
pub(super) async fn purge(context: &AdminContext, selector: &Purge) -> Result<usize, AdminError> {
    let gateway = context.gateway()?;
    let cache = &gateway.shared_state.stage_state.cache;
    let purged = cache.purge(selector);
    cache.purge_shared(selector).await.map_err(|error| {
        let detail = format!("only this gateway has purged: {error}");
        AdminError::new(StatusCode::SERVICE_UNAVAILABLE, "admin.shared_state", detail)
    })?;
    Ok(purged)
}

fn selector(uri: &Uri) -> Result<Option<Purge>, AdminError> {
    parse_selector(uri.query().unwrap_or_default().as_bytes()).map_err(AdminError::query)
}

/// The selector of a query.
fn parse_selector(query: &[u8]) -> Result<Option<Purge>, &'static str> {
    let mut selector = None;
    for part in query.split(|b| *b == b'&').filter(|part| !part.is_empty()) {
        let at = part.iter().position(|b| *b == b'=').unwrap_or(part.len());
        let value = percent_decoded(part.get(at + 1..).unwrap_or_default(), true).into_owned();
        let parsed = match (&part[..at], value.is_empty()) {
            (b"url", false) => Purge::Url(value),
            (b"prefix", false) => Purge::Prefix(value),
            (b"tag", false) => Purge::Tag(value),
            (b"region", false) => Purge::Region(value),
            (b"all", true) => Purge::All,
            _ => return Err(USAGE_ONE_SELECTOR),
        };
        if selector.replace(parsed).is_some() {
            return Err(USAGE_ONE_SELECTOR);
        }
    }
    Ok(selector)
}

fn list_entries(cache: &CacheRegistry, selector: &Purge) -> CacheList {
    let (listed, count) = cache.inspect(selector, MAX_LISTED);
    CacheList { count, entries: listed.into_iter().map(CacheEntry::from).collect() }
}

impl From<EntrySummary> for CacheEntry {
    fn from(stored: EntrySummary) -> CacheEntry {
        let EntrySummary { url, region, status, bytes, age_secs, ttl_secs, tags, vary } = stored;
        CacheEntry { url, region, status, bytes, age: age_secs, ttl: ttl_secs, tags, vary }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::Pages;
    use super::*;

    fn request(method: &str, target: &str, fields: &[(&str, &str)]) -> (u16, String) {
        let (status, _, _, body) = Pages::local().request(method, target, fields);
        (status, body)
    }

    const HERE: &[(&str, &str)] = &[("Host", "127.0.0.1:8081")];

    #[test]
    fn exactly_one_selector_is_required() {
        for query in ["url=http://h/a", "prefix=http://h/", "tag=a", "region=r", "all"] {
            let (status, body) = request("POST", &format!("/cache/purge?{query}"), HERE);
            assert_eq!((status, body.as_str()), (200, "{\"purged\":0}\n"), "{query}");
        }
        for query in ["", "url=", "tag=a&tag=b", "all=1", "other=x"] {
            assert_eq!(request("POST", &format!("/cache/purge?{query}"), HERE).0, 400, "{query}");
        }
        assert_eq!(request("GET", "/cache", HERE), (200, "{\"count\":0,\"entries\":[]}\n".into()));
        assert_eq!(request("GET", "/cache/purge?all", HERE).0, 405);
    }

    #[test]
    fn web_pages_cannot_purge() {
        for fields in [
            &[("Host", "evil.test:8081")][..],
            &[("Host", "localhost:8081"), ("Origin", "http://evil.test")],
            &[("Host", "[::1]:8081"), ("Sec-Fetch-Site", "cross-site")],
            &[],
        ] {
            assert_eq!(request("POST", "/cache/purge?all", fields).0, 403, "{fields:?}");
        }
        assert_eq!(request("POST", "/cache/purge?all", &[("Host", "[::1]:8081")]).0, 200);
    }

    #[test]
    fn values_are_decoded() {
        assert_eq!(
            parse_selector(b"url=http%3A%2F%2Fh%2Fa%3Fb"),
            Ok(Some(Purge::Url(b"http://h/a?b".to_vec())))
        );
    }
}
