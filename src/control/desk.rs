//! What the administration address can do beside telling: look into the cache, and forget what is in it. Only on an
//! address of this machine, for nobody is asked who they are.

use super::admin::problem;
use crate::{
    base::percent::percent_decoded,
    pipeline::{
        head::{Head, KnownHeader},
        response::Response,
    },
    stages::cache::{CacheRegistry, EntrySummary, Purge},
};
use std::net::IpAddr;

/// Answers shown at one time.
const MAX_LISTED: usize = 100;

/// Answers a request for `/cache` or `/cache/purge`; none: it is for something else.
pub fn handle(request: &Head, path: &[u8], query: &[u8], cache: &CacheRegistry) -> Option<Response> {
    let purge = match path {
        b"/cache" => false,
        b"/cache/purge" => true,
        _ => return None,
    };
    let allowed: &[&[u8]] = if purge { &[b"POST"] } else { &[b"GET", b"HEAD"] };
    if !allowed.contains(&request.method()) {
        let mut refused =
            problem(405, "admin.method", "Method Not Allowed", "GET /cache shows, POST /cache/purge forgets");
        refused.head.append(b"Allow", if purge { b"POST" } else { b"GET, HEAD" });
        return Some(refused);
    }
    if !is_cross_site_safe(request) {
        return Some(problem(403, "admin.origin", "Forbidden", "web pages have no business here"));
    }
    Some(match (parse_selector(query), purge) {
        (Err(detail), _) => problem(400, "admin.query", "Bad Request", detail),
        (Ok(None), true) => problem(400, "admin.query", "Bad Request", USAGE_ONE_SELECTOR),
        (Ok(Some(what)), true) => json(&serde_json::json!({ "purged": cache.purge(&what) })),
        (Ok(what), false) => list_entries(cache, &what.unwrap_or(Purge::All)),
    })
}

const USAGE_ONE_SELECTOR: &str = "say what: exactly one of url=, prefix=, tag=, region= and all";

/// A page in a browser of this machine can send requests here; it cannot hide where it comes from, nor name this
/// address as its own (RFC 6454; DNS rebinding).
fn is_cross_site_safe(request: &Head) -> bool {
    let host = request
        .get_known(KnownHeader::Host)
        .and_then(|host| std::str::from_utf8(host).ok())
        .unwrap_or_default();
    let bare = host
        .rsplit_once(':')
        .filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()))
        .map_or(host, |(name, _)| name);
    let bare = bare.trim_start_matches('[').trim_end_matches(']');
    let here =
        bare.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    here && request.get(b"origin").is_none()
        && request.get(b"sec-fetch-site").is_none_or(|site| site == b"none")
}

/// What the query names.
fn parse_selector(query: &[u8]) -> Result<Option<Purge>, &'static str> {
    let mut found = None;
    for part in query.split(|b| *b == b'&').filter(|part| !part.is_empty()) {
        let at = part.iter().position(|b| *b == b'=').unwrap_or(part.len());
        let value = percent_decoded(part.get(at + 1..).unwrap_or_default(), true).into_owned();
        let what = match (&part[..at], value.is_empty()) {
            (b"url", false) => Purge::Url(value),
            (b"prefix", false) => Purge::Prefix(value),
            (b"tag", false) => Purge::Tag(value),
            (b"region", false) => Purge::Region(value),
            (b"all", true) => Purge::All,
            _ => return Err(USAGE_ONE_SELECTOR),
        };
        if found.replace(what).is_some() {
            return Err(USAGE_ONE_SELECTOR);
        }
    }
    Ok(found)
}

fn list_entries(cache: &CacheRegistry, what: &Purge) -> Response {
    let (shown, count) = cache.inspect(what, MAX_LISTED);
    let entries: Vec<_> = shown.iter().map(entry).collect();
    json(&serde_json::json!({ "count": count, "entries": entries }))
}

fn entry(stored: &EntrySummary) -> serde_json::Value {
    serde_json::json!({
        "url": stored.url, "region": stored.region, "status": stored.status, "bytes": stored.bytes,
        "age": stored.age, "ttl": stored.ttl, "tags": stored.tags, "vary": stored.vary,
    })
}

fn json(value: &serde_json::Value) -> Response {
    Response::local(200, "application/json", format!("{value}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::body::Body;

    fn ask(method: &[u8], target: &str, fields: &[(&str, &str)]) -> (u16, String) {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut request = Head::request(method, target.as_bytes());
        fields.iter().for_each(|(name, value)| request.append(name.as_bytes(), value.as_bytes()));
        let answer = handle(&request, path.as_bytes(), query.as_bytes(), &CacheRegistry::default())
            .expect("an answer");
        let body = match &answer.body {
            Body::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            _ => String::new(),
        };
        (answer.status(), body)
    }

    const HERE: &[(&str, &str)] = &[("Host", "127.0.0.1:8081")];

    #[test]
    fn exactly_one_thing_is_named() {
        for query in ["url=http://h/a", "prefix=http://h/", "tag=a", "region=r", "all"] {
            let (status, body) = ask(b"POST", &format!("/cache/purge?{query}"), HERE);
            assert_eq!((status, body.as_str()), (200, "{\"purged\":0}\n"), "{query}");
        }
        for query in ["", "url=", "tag=a&tag=b", "all=1", "other=x"] {
            assert_eq!(ask(b"POST", &format!("/cache/purge?{query}"), HERE).0, 400, "{query}");
        }
        assert_eq!(ask(b"GET", "/cache", HERE), (200, "{\"count\":0,\"entries\":[]}\n".into()));
        assert_eq!(ask(b"GET", "/cache/purge?all", HERE).0, 405);
    }

    #[test]
    fn web_pages_cannot_purge() {
        for fields in [
            &[("Host", "evil.test:8081")][..],
            &[("Host", "localhost:8081"), ("Origin", "http://evil.test")],
            &[("Host", "[::1]:8081"), ("Sec-Fetch-Site", "cross-site")],
            &[],
        ] {
            assert_eq!(ask(b"POST", "/cache/purge?all", fields).0, 403, "{fields:?}");
        }
        assert_eq!(ask(b"POST", "/cache/purge?all", &[("Host", "[::1]:8081")]).0, 200);
    }

    #[test]
    fn values_are_decoded() {
        assert_eq!(
            parse_selector(b"url=http%3A%2F%2Fh%2Fa%3Fb"),
            Ok(Some(Purge::Url(b"http://h/a?b".to_vec())))
        );
    }
}
