//! `SignalROptions`: requests of a SignalR connection reach the server that owns it.
//!
//! - Elsewhere: sticky sessions, which SignalR's documentation requires of a load balancer.
//! - Entry point: [`SignalR`], the stage. It reads and removes the tag of the endpoint that a request names
//!   (`connection_id.rs`); `backend/affinity` sends the request to that endpoint and adds tags to negotiations.
//! - Callers: the table of stages builds it; `compile` checks the options; `plan/build` gives the target the same key.
//! - Outlives a reload: the random key of a process without a configured one.

mod compile;
mod connection_id;
mod options;
#[cfg(test)]
mod tests;

pub use options::{GlobalSignalROptions, SignalROptions};

use crate::{
    backend::affinity::{AffinityKey, AffinityMode},
    base::{content_coding::AcceptedCoding, secret::Secret},
    config::Span,
    pipeline::{
        affinity::Affinity,
        cookies::cookie_value,
        exchange::Exchange,
        stage::{BoxStage, Stage, Step},
    },
    stages::feature::{BuildContext, StageConfig},
};
use connection_id::read_ids;
use std::sync::{Arc, OnceLock};

/// Name of the stage in the metric label `stage`, in `margay explain` and in the reference.
pub const NAME: &str = "signalr";

/// The affinity of a route.
#[derive(Clone, Debug, PartialEq)]
pub struct SignalRConfig {
    pub mode: AffinityMode,
    /// `None`: the random key of the process.
    pub key: Option<Secret>,
    /// Where the options are set.
    pub span: Option<Span>,
}

/// The random key of a process.
#[derive(Debug, Default)]
pub struct ProcessKey(OnceLock<AffinityKey>);

impl SignalRConfig {
    /// The key of the tags.
    pub fn affinity_key(&self, process_key: &ProcessKey) -> AffinityKey {
        match &self.key {
            Some(secret) => AffinityKey::new(secret.reveal().as_bytes()),
            None => process_key.0.get_or_init(AffinityKey::random).clone(),
        }
    }
}

impl StageConfig for SignalRConfig {
    type State = Arc<ProcessKey>;

    fn build(&self, state: &Self::State, context: &BuildContext) -> Vec<BoxStage> {
        if !context.is_proxied {
            return Vec::new();
        }
        vec![Box::new(SignalR { mode: self.mode.clone(), key: self.affinity_key(state) })]
    }
}

/// Determines the endpoint that a request must reach.
#[derive(Debug)]
pub struct SignalR {
    mode: AffinityMode,
    key: AffinityKey,
}

impl SignalR {
    fn affinity(&self, exchange: &mut Exchange) -> Affinity {
        let target = exchange.request.target();
        let path_len = exchange.routing.path_len.min(target.len());
        let (path, query) = (&target[..path_len], target.get(path_len + 1..).unwrap_or_default());
        let is_negotiation = exchange.request.method() == b"POST" && is_negotiate_path(path);
        match &self.mode {
            AffinityMode::None if is_negotiation => Affinity::Negotiation(None),
            AffinityMode::None => Affinity::Unbound,
            AffinityMode::Token => {
                let ids = read_ids(query, |tag| self.key.decode(tag));
                if let Some(changed) = ids.query {
                    exchange.routing.query = changed;
                }
                match ids.first {
                    None if is_negotiation => Affinity::Negotiation(None),
                    None => Affinity::Unbound,
                    Some(affinity) => affinity,
                }
            }
            AffinityMode::Cookie(name) => {
                let cookie = cookie_value(&exchange.request, name);
                let tag = cookie.and_then(|cookie| self.key.decode(cookie));
                let has_id = read_ids(query, |_| None).first.is_some();
                match (has_id, cookie, tag) {
                    (true, _, Some(tag)) => Affinity::Endpoint(tag),
                    (true, None, None) => Affinity::MissingTag,
                    (true, Some(_), None) => Affinity::InvalidTag,
                    (false, _, earlier) if is_negotiation => Affinity::Negotiation(earlier),
                    (false, ..) => Affinity::Unbound,
                }
            }
        }
    }
}

/// Routing of SignalR servers ignores case.
fn is_negotiate_path(path: &[u8]) -> bool {
    const SUFFIX: &[u8] = b"/negotiate";
    path.len() >= SUFFIX.len() && path[path.len() - SUFFIX.len()..].eq_ignore_ascii_case(SUFFIX)
}

impl Stage for SignalR {
    fn name(&self) -> &'static str {
        NAME
    }

    fn on_request(&self, exchange: &mut Exchange) -> Step {
        let affinity = self.affinity(exchange);
        exchange.routing.affinity = affinity;
        if affinity != Affinity::Unbound {
            // Events and polls are sent as they arrive.
            exchange.response.accepted_coding = AcceptedCoding::default();
        }
        if matches!(affinity, Affinity::Negotiation(_)) {
            exchange.request.remove(b"Accept-Encoding");
        }
        Step::Next
    }

    fn describe(&self) -> String {
        match &self.mode {
            AffinityMode::Token => "affinity by connection token".to_owned(),
            AffinityMode::Cookie(name) => format!("affinity by the cookie {name}"),
            AffinityMode::None => "no affinity".to_owned(),
        }
    }
}
