//! Which replica of a partition gets a request, and which of its endpoints.

use super::{
    address::{EndpointScheme, ListenerEndpoint},
    service::{PartitionSnapshot, Replica, ReplicaRole, ReplicaState, ServiceKind},
};
use smallvec::SmallVec;
use std::sync::Arc;

/// The replicas that a request may be sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Selector {
    /// The primary of a stateful service, any instance of a stateless one: `PrimaryReplica` and `RandomInstance`.
    Primary,
    RandomReplica,
    RandomSecondary,
}

impl Selector {
    /// The names, in the order of help texts.
    pub const NAMES: [&str; 4] =
        ["PrimaryReplica", "RandomReplica", "RandomSecondaryReplica", "RandomInstance"];

    /// The selector of exactly this name.
    pub fn by_name(name: &[u8]) -> Option<Selector> {
        match name {
            b"PrimaryReplica" | b"RandomInstance" => Some(Selector::Primary),
            b"RandomReplica" => Some(Selector::RandomReplica),
            b"RandomSecondaryReplica" => Some(Selector::RandomSecondary),
            _ => None,
        }
    }

    /// Whether a service of this kind has such replicas.
    pub fn fits(self, kind: ServiceKind) -> bool {
        kind == ServiceKind::Stateful || self == Selector::Primary
    }

    fn selects(self, role: ReplicaRole) -> bool {
        match self {
            Selector::Primary => matches!(role, ReplicaRole::Primary | ReplicaRole::Instance),
            Selector::RandomSecondary => role == ReplicaRole::Secondary,
            Selector::RandomReplica => true,
        }
    }
}

/// Which endpoints of a replica may be used.
#[derive(Clone, Copy, Debug)]
pub struct EndpointRule<'r> {
    pub http: bool,
    pub https: bool,
    /// The scheme of endpoints without one; `None`: they are not used.
    pub assumed_scheme: Option<EndpointScheme>,
    /// The listener, compared without regard to case; `None`: the first.
    pub listener: Option<&'r str>,
    /// Addresses of this machine and of its link are not used.
    pub refuses_loopback: bool,
    pub refuses_link_local: bool,
    /// Hosts that the configuration maps to another one may be used wherever they are.
    pub host_map: &'r std::collections::BTreeMap<Box<str>, Box<str>>,
}

impl EndpointRule<'_> {
    /// The scheme with which an endpoint is used; `None`: it is not used.
    fn scheme_of(&self, endpoint: &ListenerEndpoint) -> Option<EndpointScheme> {
        let scheme = endpoint.scheme.or(self.assumed_scheme)?;
        let is_allowed = match scheme {
            EndpointScheme::Http => self.http,
            EndpointScheme::Https => self.https,
        };
        let is_refused = (self.refuses_loopback && endpoint.is_local() && !endpoint.is_link_local()
            || self.refuses_link_local && endpoint.is_link_local())
            && !self.host_map.contains_key(&endpoint.host);
        (is_allowed && !is_refused).then_some(scheme)
    }

    /// The endpoint to use: of the eligible ones, in the byte order of their listeners, the named one or the first.
    pub fn select(&self, endpoints: &[ListenerEndpoint]) -> Option<(usize, EndpointScheme)> {
        let eligible = endpoints.iter().enumerate().filter_map(|(at, endpoint)| {
            let is_named = self.listener.is_none_or(|name| eq_ignore_case(name, &endpoint.name));
            Some((at, self.scheme_of(endpoint)?)).filter(|_| is_named)
        });
        let mut eligible = eligible;
        eligible.next()
    }
}

fn eq_ignore_case(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other) || !one.is_ascii() && one.to_lowercase() == other.to_lowercase()
}

/// The replica and the endpoint of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplicaChoice {
    pub replica: usize,
    pub endpoint: usize,
    pub scheme: EndpointScheme,
}

/// Why no replica can be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChoiceError {
    /// No replica, for now.
    Offline,
    /// Replicas without an endpoint that may be used.
    NoEndpoint,
}

/// The replicas that may be chosen, with their endpoints.
type Candidates = SmallVec<[ReplicaChoice; 8]>;

/// Replicas with which this request failed.
pub type TriedReplicas = SmallVec<[Arc<ReplicaState>; 4]>;

fn candidates(
    snapshot: &PartitionSnapshot,
    selector: Selector,
    rule: &EndpointRule,
) -> Result<Candidates, ChoiceError> {
    let (mut all, mut error) = (Candidates::new(), ChoiceError::Offline);
    let selected = snapshot.replicas.iter().enumerate().filter(|(_, replica)| selector.selects(replica.role));
    for (at, replica) in selected {
        let Some(address) = &replica.address else { continue };
        match rule.select(&address.endpoints) {
            Some((endpoint, scheme)) => all.push(ReplicaChoice { replica: at, endpoint, scheme }),
            None => error = ChoiceError::NoEndpoint,
        }
    }
    if all.is_empty() { Err(error) } else { Ok(all) }
}

fn is_tried(replica: &Replica, tried: &[Arc<ReplicaState>]) -> bool {
    tried.iter().any(|state| Arc::ptr_eq(state, &replica.state))
}

/// Chooses a replica. Those that were tried, and those that refused a connection lately, are left out while there is
/// another. `random` returns a number below its argument.
pub fn choose(
    snapshot: &PartitionSnapshot,
    selector: Selector,
    rule: &EndpointRule,
    tried: &[Arc<ReplicaState>],
    now_ms: u64,
    random: impl FnOnce(usize) -> usize,
) -> Result<ReplicaChoice, ChoiceError> {
    let mut all = candidates(snapshot, selector, rule)?;
    if let [only] = all[..] {
        return Ok(only);
    }
    let rank = |choice: &ReplicaChoice| {
        let replica = &snapshot.replicas[choice.replica];
        (is_tried(replica, tried), replica.state.is_left_out(now_ms))
    };
    let best = all.iter().map(rank).min().unwrap_or_default();
    all.retain(|choice| rank(choice) == best);
    let at = random(all.len());
    Ok(all[at.min(all.len() - 1)])
}

/// Whether the partition has a replica that this request did not try.
pub fn has_untried(
    snapshot: &PartitionSnapshot,
    selector: Selector,
    rule: &EndpointRule,
    tried: &[Arc<ReplicaState>],
) -> bool {
    let all = candidates(snapshot, selector, rule).unwrap_or_default();
    all.iter().any(|choice| !is_tried(&snapshot.replicas[choice.replica], tried))
}

#[cfg(test)]
#[path = "choice_tests.rs"]
mod tests;
