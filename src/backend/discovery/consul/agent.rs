//! An agent of Consul, and the turns in which it is asked: the server holds a question until the answer changes, where
//! it can.
//!
//! Source: Consul's HTTP API, "Features: Blocking Queries".

use super::super::{Settings, source::jittered};
use crate::{
    base::{percent, url::HttpUrl},
    wire::outbound::{Bounds, Client, Reply, Request},
};
use std::time::Duration;

/// How long the server may hold a question; it adds up to a sixteenth.
const WAIT: Duration = Duration::from_secs(60);
/// An answer without waiting.
pub(super) const AT_ONCE: Duration = Duration::from_secs(10);
/// The longest answer.
const LARGEST: usize = 8 << 20;
/// Between two looks at a server that does not hold questions.
pub(super) const INTERVAL: Duration = Duration::from_secs(1);
/// Between two answers of a server that does, however fast its index moves.
const GAP: Duration = Duration::from_millis(20);

/// One agent.
#[derive(Debug)]
pub(super) struct Agent {
    pub label: String,
    pub settings: Settings,
    root: HttpUrl,
    client: Client,
}

impl Agent {
    pub fn new(settings: &Settings) -> Agent {
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
    pub fn at(&self, path: &str) -> HttpUrl {
        self.root.below(path)
    }

    /// A question; the answer may have any status.
    pub async fn send(&self, request: Request<'_>, time: Duration) -> Result<Reply, String> {
        let token =
            self.settings.token.as_ref().map(|token| token.reveal()).filter(|token| !token.is_empty());
        let request = match token {
            Some(token) => request.field("X-Consul-Token", token),
            None => request,
        };
        self.client.send(&request, Bounds { time, size: LARGEST }).await
    }

    /// A question whose answer must be a good one.
    pub async fn get(&self, url: &HttpUrl, time: Duration) -> Result<Reply, String> {
        let reply = self.send(Request::get(url), time).await?;
        if reply.status() == 200 { Ok(reply) } else { Err(refused(url, &reply)) }
    }
}

/// What a status says that is none of the expected.
pub(super) fn refused(url: &HttpUrl, reply: &Reply) -> String {
    match reply.status() {
        403 => format!("{url}: the answer is 403: the Token may not do this"),
        status => format!("{url}: the answer is {status}"),
    }
}

/// What the server calls its answer, if it does.
pub(super) fn index(reply: &Reply) -> Option<u64> {
    reply.field("X-Consul-Index")?.parse().ok()
}

/// From question to question.
#[derive(Debug, Default)]
pub(super) struct Turns {
    /// What the server called the last answer; 0: nothing to wait for.
    index: u64,
}

/// When to ask again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// The server holds questions: after this little time.
    Held(Duration),
    /// It does not: whenever it seems good.
    Free,
}

impl Turns {
    /// Adds to the address until when the server shall hold the question.
    pub fn put(&self, path: &mut String) {
        if self.index > 0 {
            *path += &format!("&index={}&wait={}s", self.index, WAIT.as_secs());
        }
    }

    /// How long the answer may take.
    pub fn patience(&self) -> Duration {
        if self.index > 0 { WAIT + WAIT / 16 + AT_ONCE } else { AT_ONCE }
    }

    /// Takes in what the answer, which took so long, was called.
    pub fn next(&mut self, index: Option<u64>, took: Duration) -> Next {
        let before = self.index;
        let held = index.filter(|index| *index > 0);
        // One that goes backwards is begun anew: the server was restored, or is another one.
        self.index = held.filter(|index| *index >= before).unwrap_or(0);
        match held {
            // It should have held the question, and did not.
            Some(index) if index == before && took < INTERVAL => Next::Held(jittered(2 * INTERVAL)),
            Some(_) => Next::Held(GAP),
            None => Next::Free,
        }
    }

    /// Asks without waiting next time.
    pub fn begin_anew(&mut self) {
        self.index = 0;
    }
}

/// Appends a text as one segment of a path or one value of a query.
pub(super) fn put(path: &mut String, text: &str) {
    path.push_str(&percent::encoded(text));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_is_waited_for_until_it_goes_backwards_or_away() {
        let mut turns = Turns::default();
        let mut path = String::new();
        let (long, short) = (Duration::from_secs(60), Duration::from_millis(1));
        turns.put(&mut path);
        assert_eq!((path.as_str(), turns.patience()), ("", AT_ONCE));
        assert_eq!(turns.next(Some(7), short), Next::Held(GAP));
        turns.put(&mut path);
        assert_eq!(path, "&index=7&wait=60s");
        assert!(turns.patience() > WAIT);
        assert_eq!(turns.next(Some(7), long), Next::Held(GAP), "the wait was over");
        let Next::Held(pause) = turns.next(Some(7), short) else { panic!("it has an index") };
        assert!(pause >= INTERVAL, "a server that does not hold its questions is not asked in a loop");
        turns.next(Some(3), long);
        assert_eq!(turns.index, 0);
        turns.next(Some(3), long);
        assert_eq!(turns.next(None, long), Next::Free);
        assert_eq!((turns.next(Some(0), long), turns.index), (Next::Free, 0));
    }
}
