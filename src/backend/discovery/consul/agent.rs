//! The HTTP client of a Consul agent, and blocking queries: the server holds a query until its result
//! changes.
//!
//! Source: Consul's HTTP API, "Features: Blocking Queries".

use super::settings::ConsulSettings;
use crate::{
    base::{backoff::half_jitter, percent, url::HttpUrl},
    net::http_client::{Client, Request, RequestLimits, Response},
};
use std::time::Duration;

/// Consul's default port.
const DEFAULT_PORT: u16 = 8500;
/// How long the server may block a query; it adds up to a sixteenth.
const BLOCKING_WAIT: Duration = Duration::from_secs(60);
/// The timeout of a response without blocking.
pub(super) const RESPONSE_TIMEOUT: Duration = Duration::from_secs(10);
/// The maximum size of a response body.
const MAX_RESPONSE_BYTES: usize = 8 << 20;
/// The default interval of queries to a server without blocking queries.
pub(super) const INTERVAL: Duration = Duration::from_secs(1);
/// The minimum interval of blocking queries, however fast the index changes.
const MIN_QUERY_INTERVAL: Duration = Duration::from_millis(20);

/// A Consul agent.
#[derive(Debug)]
pub(super) struct Agent {
    pub label: String,
    pub settings: ConsulSettings,
    base_url: HttpUrl,
    client: Client,
}

impl Agent {
    /// A client for the HTTP API of the configured agent; the first query opens the connection.
    pub fn new(settings: &ConsulSettings) -> Agent {
        Agent {
            label: format!("{} {}", settings.kind_name(), settings.server.address(DEFAULT_PORT)),
            settings: settings.clone(),
            base_url: settings.server.url(DEFAULT_PORT, "/"),
            client: Client::new(settings.server.trust.clone()),
        }
    }

    /// The URL of a path of the agent's API.
    pub fn url(&self, path: &str) -> HttpUrl {
        self.base_url.join_path(path)
    }

    /// Sends a request; accepts any status.
    pub async fn send(&self, request: Request<'_>, timeout: Duration) -> Result<Response, String> {
        let token = self.settings.server.token.as_ref().map(|token| token.reveal());
        let request = match token.filter(|token| !token.is_empty()) {
            Some(token) => request.header("X-Consul-Token", token),
            None => request,
        };
        self.client.send(&request, RequestLimits { timeout, max_body: MAX_RESPONSE_BYTES }).await
    }

    /// Sends a GET request; expects status 200.
    pub async fn get(&self, url: &HttpUrl, timeout: Duration) -> Result<Response, String> {
        let response = self.send(Request::get(url), timeout).await?;
        if response.status() == 200 { Ok(response) } else { Err(unexpected_status(url, &response)) }
    }
}

/// The error for an unexpected status.
pub(super) fn unexpected_status(url: &HttpUrl, response: &Response) -> String {
    match response.status() {
        403 => format!("{url}: status 403: the Token lacks the permission"),
        status => format!("{url}: unexpected status {status}"),
    }
}

/// The index of a response, if the server supports blocking queries.
pub(super) fn index(response: &Response) -> Option<u64> {
    response.header("X-Consul-Index")?.parse().ok()
}

/// The state of a blocking query.
#[derive(Debug, Default)]
pub(super) struct BlockingQuery {
    /// The index of the last response; 0: do not block.
    index: u64,
}

/// When the next query is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NextQuery {
    /// The server supports blocking queries: after this delay.
    Blocking(Duration),
    /// The server does not: at the interval of the provider, or on request.
    Unsupported,
}

impl BlockingQuery {
    /// Appends the parameters that make the server block.
    pub fn push_wait_params(&self, path: &mut String) {
        if self.index > 0 {
            *path += &format!("&index={}&wait={}s", self.index, BLOCKING_WAIT.as_secs());
        }
    }

    /// The timeout of the response.
    pub fn response_timeout(&self) -> Duration {
        if self.index > 0 { BLOCKING_WAIT + BLOCKING_WAIT / 16 + RESPONSE_TIMEOUT } else { RESPONSE_TIMEOUT }
    }

    /// Records the index of a response that took `duration`.
    pub fn next(&mut self, index: Option<u64>, duration: Duration) -> NextQuery {
        let previous = self.index;
        let current = index.filter(|index| *index > 0);
        // An index that goes backwards resets the query: the server was restored or replaced.
        self.index = current.filter(|index| *index >= previous).unwrap_or(0);
        match current {
            // The server should have blocked, and did not.
            Some(index) if index == previous && duration < INTERVAL => {
                NextQuery::Blocking(half_jitter(2 * INTERVAL))
            }
            Some(_) => NextQuery::Blocking(MIN_QUERY_INTERVAL),
            None => NextQuery::Unsupported,
        }
    }

    /// The next query does not block.
    pub fn reset_index(&mut self) {
        self.index = 0;
    }
}

/// Appends a text, percent-encoded, as a path segment or a query value.
pub(super) fn push_encoded(path: &mut String, text: &str) {
    path.push_str(&percent::percent_encoded(text));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_blocks_until_its_index_goes_backwards_or_disappears() {
        let mut query = BlockingQuery::default();
        let mut path = String::new();
        let (long, short) = (Duration::from_secs(60), Duration::from_millis(1));
        query.push_wait_params(&mut path);
        assert_eq!((path.as_str(), query.response_timeout()), ("", RESPONSE_TIMEOUT));
        assert_eq!(query.next(Some(7), short), NextQuery::Blocking(MIN_QUERY_INTERVAL));
        query.push_wait_params(&mut path);
        assert_eq!(path, "&index=7&wait=60s");
        assert!(query.response_timeout() > BLOCKING_WAIT);
        assert_eq!(
            query.next(Some(7), long),
            NextQuery::Blocking(MIN_QUERY_INTERVAL),
            "the wait time expired"
        );
        let NextQuery::Blocking(delay) = query.next(Some(7), short) else {
            panic!("the response has an index")
        };
        assert!(delay >= INTERVAL, "a server that does not block is not queried in a loop");
        query.next(Some(3), long);
        assert_eq!(query.index, 0);
        query.next(Some(3), long);
        assert_eq!(query.next(None, long), NextQuery::Unsupported);
        assert_eq!((query.next(Some(0), long), query.index), (NextQuery::Unsupported, 0));
    }
}
