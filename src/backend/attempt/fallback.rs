//! What is answered when all attempts failed: another cluster's answer, or a fixed one.

use crate::{
    backend::cluster::Cluster,
    pipeline::{
        answer::{Answer, Outcome},
        cause::{Fault, Why},
    },
};
use std::sync::Arc;

/// What a route says about it; plain data. The other cluster is named beside it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    pub on: Vec<Failure>,
    pub statuses: Vec<u16>,
    pub reply: Option<Reply>,
}

/// Ways in which all attempts may have failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    Connect,
    Reset,
    Timeout,
    Malformed,
    Breaker,
    NoEndpoint,
    Busy,
}

impl Failure {
    /// All of them, by the words of the configuration.
    pub const ALL: [(&'static str, Failure); 7] = [
        ("Connect", Failure::Connect),
        ("Reset", Failure::Reset),
        ("Timeout", Failure::Timeout),
        ("Malformed", Failure::Malformed),
        ("Breaker", Failure::Breaker),
        ("NoEndpoint", Failure::NoEndpoint),
        ("Busy", Failure::Busy),
    ];

    /// Which one a cause is; none if it is not the service's.
    fn of(why: Why) -> Option<Failure> {
        Some(match why {
            Why::BackendSend | Why::BackendReset => Failure::Reset,
            Why::BackendTimeout | Why::BackendConnectTimeout => Failure::Timeout,
            Why::BackendMalformed | Why::BackendSwitch => Failure::Malformed,
            Why::BackendBreaker => Failure::Breaker,
            Why::BackendNone => Failure::NoEndpoint,
            Why::BackendBusy => Failure::Busy,
            why if why.fault() == Fault::Backend => Failure::Connect,
            _ => return None,
        })
    }
}

/// A fixed answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reply {
    pub status: u16,
    pub fields: Vec<(String, String)>,
    pub body: String,
}

impl Reply {
    /// The answer; its type is that of a text, unless it says another one.
    pub fn answer(&self) -> Answer {
        let mut answer = Answer::reply(self.status, "text/plain; charset=utf-8", self.body.clone());
        for (name, value) in &self.fields {
            answer.head.set(name.as_bytes(), value.as_bytes());
        }
        answer
    }
}

/// The settings, with the other cluster.
#[derive(Debug)]
pub struct Fallback {
    pub settings: Settings,
    pub cluster: Option<Arc<Cluster>>,
}

impl Fallback {
    /// Whether it takes the place of this outcome.
    pub fn takes(&self, outcome: &Outcome) -> bool {
        match outcome {
            Ok(answer) => self.settings.statuses.contains(&answer.status()),
            Err(cause) => Failure::of(cause.why).is_some_and(|failure| self.settings.on.contains(&failure)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::cause::Cause;

    #[test]
    fn it_stands_in_for_the_failures_and_statuses_that_are_named() {
        let settings =
            Settings { on: vec![Failure::Connect, Failure::Breaker], statuses: vec![500], reply: None };
        let fallback = Fallback { settings, cluster: None };
        let of = |why| fallback.takes(&Err(Cause::new(why, "x")));
        assert!(of(Why::BackendConnect) && of(Why::BackendName) && of(Why::BackendBreaker));
        assert!(!of(Why::BackendTimeout) && !of(Why::ClientGone) && !of(Why::RequestBody));
        assert!(fallback.takes(&Ok(Answer::reply(500, "", ""))));
        assert!(!fallback.takes(&Ok(Answer::reply(503, "", ""))));
    }

    #[test]
    fn a_reply_has_the_type_it_says() {
        let fields = vec![("Content-Type".to_owned(), "application/json".to_owned())];
        let answer = Reply { status: 200, fields, body: "[]".into() }.answer();
        assert_eq!(answer.head.all(b"content-type").collect::<Vec<_>>(), [b"application/json"]);
        assert_eq!((answer.status(), answer.body.length()), (200, Some(2)));
    }
}
