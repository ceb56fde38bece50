//! Comparison of a token's audience with the URL of the request.

use crate::{
    base::{percent::percent_decoded, url::HttpUrl},
    realtime::config::ServiceConfig,
};

/// The decoded segments of a path.
type Segments = Vec<Vec<u8>>;

/// A URL that a token was issued for.
struct Audience {
    url: HttpUrl,
    /// `client?hub=H` is `client/hubs/H`.
    segments: Segments,
}

/// The path of the request with the name of its hub, which is compared without regard to case.
pub struct RequestPath {
    segments: Segments,
    hub_at: Option<usize>,
}

impl RequestPath {
    /// `path` is the path that the client requested, `service_path` the part of it within the service; both undecoded. `hub` is
    /// the hub of the request.
    pub fn new(path: &str, service_path: &str, hub: &str) -> RequestPath {
        let (mut segments, service) = (path_segments(path), path_segments(service_path));
        let is_mounted = segments.len() >= service.len();
        let mut hub_at = (is_mounted && service.len() >= 3).then(|| segments.len() - service.len() + 2);
        if segments.last().is_some_and(|last| last == b"client") && service.len() == 1 {
            hub_at = Some(segments.len() + 1);
            segments.extend([b"hubs".to_vec(), hub.as_bytes().to_vec()]);
        }
        RequestPath { segments, hub_at }
    }

    /// The same request below the path of a public URL.
    fn below(url: &HttpUrl, service_path: &str, hub: &str) -> RequestPath {
        let mut path = url.target.split('?').next().unwrap_or_default().trim_end_matches('/').to_owned();
        path.push_str(service_path);
        RequestPath::new(&path, service_path, hub)
    }

    fn is_equal(&self, segments: &Segments) -> bool {
        self.segments.len() == segments.len()
            && self.segments.iter().zip(segments).enumerate().all(|(at, (own, other))| match self.hub_at {
                Some(hub_at) if hub_at == at => own.eq_ignore_ascii_case(other),
                _ => own == other,
            })
    }
}

/// Whether the audience is the URL of the request. With public URLs, its host and port must be those of one of them.
pub fn is_match(config: &ServiceConfig, audience: &str, path: &str, service_path: &str, hub: &str) -> bool {
    let Some(audience) = Audience::parse(audience) else { return false };
    let requested = || RequestPath::new(path, service_path, hub).is_equal(&audience.segments);
    if config.public_urls.is_empty() {
        return requested();
    }
    let mut same_host = config.public_urls.iter().filter(|url| is_same_host(url, &audience.url)).peekable();
    same_host.peek().is_some()
        && (requested()
            || same_host.any(|url| RequestPath::below(url, service_path, hub).is_equal(&audience.segments)))
}

fn is_same_host(one: &HttpUrl, other: &HttpUrl) -> bool {
    one.port == other.port && one.host.eq_ignore_ascii_case(&other.host)
}

impl Audience {
    /// `None`: not an absolute URL with a host, or one that this comparison does not understand.
    fn parse(text: &str) -> Option<Audience> {
        let (scheme, rest) = text.split_once("://")?;
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "http" | "ws" => "http",
            "https" | "wss" => "https",
            _ => return None,
        };
        if rest.contains(['#', '\\']) {
            return None;
        }
        let url = HttpUrl::parse(&format!("{scheme}://{rest}")).ok()?;
        let (path, query) = url.target.split_once('?').unwrap_or((&url.target, ""));
        let mut segments = path_segments(path);
        if segments.last().is_some_and(|last| last == b"client") {
            let mut hubs = query.split('&').filter_map(hub_of);
            if let Some(hub) = hubs.next() {
                segments.extend([b"hubs".to_vec(), hub]);
            }
            if hubs.next().is_some() {
                return None;
            }
        }
        Some(Audience { url, segments })
    }
}

/// The value, if the parameter of a query is `hub`.
fn hub_of(parameter: &str) -> Option<Vec<u8>> {
    let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
    let is_hub = *percent_decoded(name.as_bytes(), true) == *b"hub";
    is_hub.then(|| percent_decoded(value.as_bytes(), true).into_owned())
}

/// The segments of a path, without dot segments and without one trailing slash; each is decoded once.
fn path_segments(path: &str) -> Segments {
    let mut segments: Vec<&str> = Vec::new();
    let mut remaining = path.strip_prefix('/').unwrap_or(path).split('/').peekable();
    while let Some(segment) = remaining.next() {
        let is_last = remaining.peek().is_none();
        match segment {
            "." => {}
            ".." => {
                segments.pop();
            }
            "" if is_last => {}
            _ => segments.push(segment),
        }
    }
    segments.iter().map(|segment| percent_decoded(segment.as_bytes(), false).into_owned()).collect()
}
