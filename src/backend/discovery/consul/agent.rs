//! An agent of Consul, and the turns in which it is asked: the server holds a question until the answer changes, where
//! it can.
//!
//! Source: Consul's HTTP API, "Features: Blocking Queries".

use super::super::{ProviderSettings, service_watch::jittered};
use crate::{
    base::{percent, url::HttpUrl},
    net::http_client::{Client, Request, RequestLimits, Response},
};
use std::time::Duration;

/// How long the server may hold a question; it adds up to a sixteenth.
const BLOCKING_WAIT: Duration = Duration::from_secs(60);
/// An answer without waiting.
pub(super) const MAX_PARALLEL_REQUESTS: Duration = Duration::from_secs(10);
/// The longest answer.
const MAX_RESPONSE: usize = 8 << 20;
/// Between two looks at a server that does not hold questions.
pub(super) const INTERVAL: Duration = Duration::from_secs(1);
/// Between two answers of a server that does, however fast its index moves.
const MIN_QUERY_INTERVAL: Duration = Duration::from_millis(20);

/// One agent.
#[derive(Debug)]
pub(super) struct Agent {
    pub label: String,
    pub settings: ProviderSettings,
    root: HttpUrl,
    client: Client,
}

impl Agent {
    pub fn new(settings: &ProviderSettings) -> Agent {
        let port = if settings.port == 0 { super::PORT } else { settings.port };
        let root = HttpUrl { tls: settings.tls, host: settings.host.clone(), port, target: "/".to_owned() };
        Agent {
            label: format!("{} {}", settings.kind.name, settings.address(super::PORT)),
            settings: settings.clone(),
            root,
            client: Client::new(settings.trust.clone()),
        }
    }

    /// What stands below the agent's address.
    pub fn url(&self, path: &str) -> HttpUrl {
        self.root.join_path(path)
    }

    /// A question; the answer may have any status.
    pub async fn send(&self, request: Request<'_>, time: Duration) -> Result<Response, String> {
        let token =
            self.settings.token.as_ref().map(|token| token.reveal()).filter(|token| !token.is_empty());
        let request = match token {
            Some(token) => request.header("X-Consul-Token", token),
            None => request,
        };
        self.client.send(&request, RequestLimits { timeout: time, max_body: MAX_RESPONSE }).await
    }

    /// A question whose answer must be a good one.
    pub async fn get(&self, url: &HttpUrl, time: Duration) -> Result<Response, String> {
        let reply = self.send(Request::get(url), time).await?;
        if reply.status() == 200 { Ok(reply) } else { Err(unexpected_status(url, &reply)) }
    }
}

/// What a status says that is none of the expected.
pub(super) fn unexpected_status(url: &HttpUrl, reply: &Response) -> String {
    match reply.status() {
        403 => format!("{url}: the answer is 403: the Token may not do this"),
        status => format!("{url}: the answer is {status}"),
    }
}

/// What the server calls its answer, if it does.
pub(super) fn index(reply: &Response) -> Option<u64> {
    reply.header("X-Consul-Index")?.parse().ok()
}

/// From question to question.
#[derive(Debug, Default)]
pub(super) struct BlockingQuery {
    /// What the server called the last answer; 0: nothing to wait for.
    index: u64,
}

/// When to ask again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum QueryMode {
    /// The server holds questions: after this little time.
    Blocking(Duration),
    /// It does not: whenever it seems good.
    Immediate,
}

impl BlockingQuery {
    /// Adds to the address until when the server shall hold the question.
    pub fn push_wait_params(&self, path: &mut String) {
        if self.index > 0 {
            *path += &format!("&index={}&wait={}s", self.index, BLOCKING_WAIT.as_secs());
        }
    }

    /// How long the answer may take.
    pub fn response_timeout(&self) -> Duration {
        if self.index > 0 {
            BLOCKING_WAIT + BLOCKING_WAIT / 16 + MAX_PARALLEL_REQUESTS
        } else {
            MAX_PARALLEL_REQUESTS
        }
    }

    /// Takes in what the answer, which took so long, was called.
    pub fn next(&mut self, index: Option<u64>, took: Duration) -> QueryMode {
        let before = self.index;
        let held = index.filter(|index| *index > 0);
        // One that goes backwards is begun anew: the server was restored, or is another one.
        self.index = held.filter(|index| *index >= before).unwrap_or(0);
        match held {
            // It should have held the question, and did not.
            Some(index) if index == before && took < INTERVAL => QueryMode::Blocking(jittered(2 * INTERVAL)),
            Some(_) => QueryMode::Blocking(MIN_QUERY_INTERVAL),
            None => QueryMode::Immediate,
        }
    }

    /// Asks without waiting next time.
    pub fn reset_index(&mut self) {
        self.index = 0;
    }
}

/// Appends a text as one segment of a path or one value of a query.
pub(super) fn push_wait_params(path: &mut String, text: &str) {
    path.push_str(&percent::percent_encoded(text));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_is_waited_for_until_it_goes_backwards_or_away() {
        let mut turns = BlockingQuery::default();
        let mut path = String::new();
        let (long, short) = (Duration::from_secs(60), Duration::from_millis(1));
        turns.push_wait_params(&mut path);
        assert_eq!((path.as_str(), turns.response_timeout()), ("", MAX_PARALLEL_REQUESTS));
        assert_eq!(turns.next(Some(7), short), QueryMode::Blocking(MIN_QUERY_INTERVAL));
        turns.push_wait_params(&mut path);
        assert_eq!(path, "&index=7&wait=60s");
        assert!(turns.response_timeout() > BLOCKING_WAIT);
        assert_eq!(turns.next(Some(7), long), QueryMode::Blocking(MIN_QUERY_INTERVAL), "the wait was over");
        let QueryMode::Blocking(pause) = turns.next(Some(7), short) else { panic!("it has an index") };
        assert!(pause >= INTERVAL, "a server that does not hold its questions is not asked in a loop");
        turns.next(Some(3), long);
        assert_eq!(turns.index, 0);
        turns.next(Some(3), long);
        assert_eq!(turns.next(None, long), QueryMode::Immediate);
        assert_eq!((turns.next(Some(0), long), turns.index), (QueryMode::Immediate, 0));
    }
}
