//! What kind of request it is: a page or a call of a script, of this site or of another one.

use super::settings::SessionSettings;
use crate::pipeline::{
    exchange::Exchange,
    head::{Head, KnownHeader},
};

/// Facts of a request that outlive the exchange while the provider is called.
#[derive(Clone, Debug)]
pub struct BrowserRequest {
    /// Scheme and authority of the application.
    pub origin: String,
    /// Path and query as received.
    pub target: String,
    pub is_page: bool,
    pub is_dry_run: bool,
}

impl BrowserRequest {
    /// Reads the facts.
    pub fn new(exchange: &Exchange, settings: &SessionSettings) -> BrowserRequest {
        BrowserRequest {
            origin: origin(exchange, settings),
            target: String::from_utf8_lossy(exchange.request.original_target()).into_owned(),
            is_page: is_page(&exchange.request),
            is_dry_run: exchange.is_dry_run,
        }
    }

    /// The path without the query.
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// The query, without its question mark.
    pub fn query(&self) -> &str {
        self.target.split_once('?').map_or("", |(_, query)| query)
    }
}

/// The origin of the application as browsers know it.
fn origin(exchange: &Exchange, settings: &SessionSettings) -> String {
    if let Some(origin) = &settings.public_origin {
        return origin.clone();
    }
    let host = exchange.request.get_known(KnownHeader::Host).unwrap_or_default();
    let scheme = if exchange.client.is_tls { "https" } else { "http" };
    format!("{scheme}://{}", String::from_utf8_lossy(host))
}

/// Whether a browser loads a page, so that a redirect to the provider makes sense.
pub fn is_page(head: &Head) -> bool {
    if !matches!(head.method(), b"GET" | b"HEAD") {
        return false;
    }
    match (head.get(b"sec-fetch-mode"), head.get(b"sec-fetch-dest")) {
        (Some(mode), destination) => mode == b"navigate" && destination.is_none_or(|to| to == b"document"),
        (None, _) => {
            let accept = head.get(b"accept").unwrap_or_default().to_ascii_lowercase();
            let is_script = head.get(b"x-requested-with").is_some() || head.get(b"x-csrf").is_some();
            accept.windows(9).any(|part| part == b"text/html") && !is_script
        }
    }
}

/// Why a request with a session may have been caused by another site; `None`: it was not.
pub fn cross_site_reason(
    head: &Head,
    is_websocket: bool,
    own_origin: &str,
    settings: &SessionSettings,
) -> Option<&'static str> {
    let same_origin = |value: &[u8]| value.eq_ignore_ascii_case(own_origin.as_bytes());
    let origins: Vec<&[u8]> = head.get_all(b"origin").collect();
    if is_websocket {
        let is_own = matches!(origins.as_slice(), [origin] if same_origin(origin));
        return (!is_own).then_some("the Origin of the WebSocket is not that of the application");
    }
    if matches!(head.method(), b"GET" | b"HEAD" | b"OPTIONS" | b"TRACE") {
        return None;
    }
    // A field that a page of another site can send only after a preflight.
    if head.get(settings.csrf_header.as_bytes()).is_some_and(|value| !value.is_empty()) {
        return None;
    }
    let mut fetch_site = head.get_all(b"sec-fetch-site");
    match (fetch_site.next(), fetch_site.next(), origins.as_slice()) {
        (Some(b"same-origin"), None, [] | [_]) => {
            let differs = origins.first().is_some_and(|origin| !same_origin(origin));
            differs.then_some("the Origin is not that of the application")
        }
        (None, None, [origin]) if same_origin(origin) => None,
        _ => Some(
            "the request has neither the field against cross-site requests nor the origin of the application",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(method: &str, fields: &[(&str, &str)]) -> Head {
        let mut head = Head::request(method.as_bytes(), b"/");
        fields.iter().for_each(|(name, value)| head.append(name.as_bytes(), value.as_bytes()));
        head
    }

    #[test]
    fn pages_are_navigations() {
        for (method, fields, expected) in [
            ("GET", &[("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "document")][..], true),
            ("GET", &[("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "iframe")], false),
            ("GET", &[("Sec-Fetch-Mode", "cors"), ("Accept", "text/html")], false),
            ("GET", &[("Accept", "text/html,*/*;q=0.8")], true),
            ("GET", &[("Accept", "application/json")], false),
            ("GET", &[("Accept", "text/html"), ("X-Requested-With", "XMLHttpRequest")], false),
            ("GET", &[], false),
            ("POST", &[("Sec-Fetch-Mode", "navigate"), ("Accept", "text/html")], false),
        ] {
            assert_eq!(is_page(&head(method, fields)), expected, "{method} {fields:?}");
        }
    }
}
