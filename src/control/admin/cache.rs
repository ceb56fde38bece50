//! The cache pages: `GET /cache` lists entries, `POST /cache/purge` removes them. Only on a local address, because clients
//! are not authenticated there.

use super::{context::AdminContext, error::AdminError, host, page::json};
use crate::{
    base::percent::percent_decoded,
    pipeline::internal::Response,
    stages::cache::{CacheRegistry, EntrySummary, Purge},
};
use axum::{
    Router,
    extract::State,
    routing::{get, post},
};
use http::{HeaderMap, StatusCode, Uri, header};

/// Maximum number of entries in one response.
const MAX_LISTED: usize = 100;
const USAGE_ONE_SELECTOR: &str = "exactly one of url=, prefix=, tag=, region= and all is required";
const USAGE_METHODS: &str = "GET /cache lists entries, POST /cache/purge removes them";

/// The pages.
pub fn router() -> Router<AdminContext> {
    Router::new()
        .route(
            "/cache",
            get(list).fallback(|| async { AdminError::method_not_allowed("GET, HEAD", USAGE_METHODS) }),
        )
        .route(
            "/cache/purge",
            post(purge).fallback(|| async { AdminError::method_not_allowed("POST", USAGE_METHODS) }),
        )
}

async fn list(
    State(context): State<AdminContext>,
    uri: Uri,
    fields: HeaderMap,
) -> Result<Response, AdminError> {
    let selector = selector(&uri, &fields, &context)?.unwrap_or(Purge::All);
    Ok(list_entries(&context.gateway()?.shared_state.stage_state.cache, &selector))
}

async fn purge(
    State(context): State<AdminContext>,
    uri: Uri,
    fields: HeaderMap,
) -> Result<Response, AdminError> {
    let selector = selector(&uri, &fields, &context)?.ok_or_else(|| bad_query(USAGE_ONE_SELECTOR))?;
    let purged = context.gateway()?.shared_state.stage_state.cache.purge(&selector);
    Ok(json(&serde_json::json!({ "purged": purged })))
}

/// The selector in the query, if the request cannot come from a web page of another site.
fn selector(uri: &Uri, fields: &HeaderMap, context: &AdminContext) -> Result<Option<Purge>, AdminError> {
    if !is_cross_site_safe(fields, context) {
        let detail = "requests of web pages are rejected: Host must be a loopback address, and Origin absent";
        return Err(AdminError::new(StatusCode::FORBIDDEN, "admin.origin", detail));
    }
    parse_selector(uri.query().unwrap_or_default().as_bytes()).map_err(bad_query)
}

fn bad_query(detail: &'static str) -> AdminError {
    AdminError::new(StatusCode::BAD_REQUEST, "admin.query", detail)
}

/// A page in a local browser can send requests here, but it can neither hide its origin nor use this address as its own
/// (RFC 6454; DNS rebinding).
fn is_cross_site_safe(fields: &HeaderMap, context: &AdminContext) -> bool {
    host::host(fields).is_some_and(|host| host::is_accepted(host, context))
        && !fields.contains_key(header::ORIGIN)
        && fields.get("sec-fetch-site").is_none_or(|site| site == "none")
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

fn list_entries(cache: &CacheRegistry, selector: &Purge) -> Response {
    let (listed, count) = cache.inspect(selector, MAX_LISTED);
    let entries: Vec<_> = listed.iter().map(entry).collect();
    json(&serde_json::json!({ "count": count, "entries": entries }))
}

fn entry(stored: &EntrySummary) -> serde_json::Value {
    serde_json::json!({
        "url": stored.url, "region": stored.region, "status": stored.status, "bytes": stored.bytes,
        "age": stored.age_secs, "ttl": stored.ttl_secs, "tags": stored.tags, "vary": stored.vary,
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::Pages;
    use super::*;

    fn request(method: &str, target: &str, fields: &[(&str, &str)]) -> (u16, String) {
        let (status, _, _, body) = Pages::new(true).request(method, target, fields);
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
