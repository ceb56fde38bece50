//! The active form of the roles: it publishes instances to clusters, and decides who may reach what.

use super::{
    blueprint::{RoleEndpoint, RolesBlueprint},
    identity::{InstanceRef, Source},
    matrix::{Because, Decision},
    ports::{self, PortMap},
    snapshot::{Registrations, RoleSnapshot},
    state::RoleState,
};
use crate::{
    backend::Cluster,
    plan::blueprint::RoleTarget,
    telemetry::{Metrics, RoleDecision, RoleDecisionCounter},
};
use arc_swap::ArcSwap;
use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    sync::{Arc, Mutex, OnceLock, PoisonError, Weak},
};

/// The name of a source that is no instance of a role.
pub const UNKNOWN_SOURCE: &str = "(unknown)";

/// The roles of a plan.
pub struct RolesPlan {
    pub blueprint: Arc<RolesBlueprint>,
    pub state: Arc<RoleState>,
    snapshot: ArcSwap<RoleSnapshot>,
    clusters: Mutex<Vec<(RoleTarget, Weak<Cluster>)>>,
    /// The public ports of instances.
    pub ports: PortMap,
    /// The destinations, by index.
    guards: Box<[OnceLock<Arc<EndpointGuard>>]>,
    metrics: Arc<Metrics>,
}

impl fmt::Debug for RolesPlan {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_struct("RolesPlan").field("ports", &self.ports).finish_non_exhaustive()
    }
}

impl RolesPlan {
    /// The roles with the registrations of the state, and the next public ports.
    pub fn new(
        blueprint: Arc<RolesBlueprint>,
        state: Arc<RoleState>,
        metrics: Arc<Metrics>,
    ) -> Arc<RolesPlan> {
        let snapshot = RoleSnapshot::new(&blueprint, &state.registrations());
        let ports = next_ports(&blueprint, &snapshot, &state.ports());
        let guards = blueprint.matrix.destinations.iter().map(|_| OnceLock::new()).collect();
        let (snapshot, clusters) = (ArcSwap::from_pointee(snapshot), Mutex::default());
        Arc::new(RolesPlan { blueprint, state, snapshot, clusters, ports, guards, metrics })
    }

    /// The instances at the moment.
    pub fn snapshot(&self) -> Arc<RoleSnapshot> {
        self.snapshot.load_full()
    }

    /// Publishes the instances of an endpoint to a cluster, now and after each change.
    pub fn attach(&self, target: &RoleTarget, cluster: &Arc<Cluster>) {
        let mut clusters = self.clusters.lock().unwrap_or_else(PoisonError::into_inner);
        clusters.push((target.clone(), Arc::downgrade(cluster)));
        self.publish_to(target, cluster, &self.snapshot.load());
    }

    fn publish_to(&self, target: &RoleTarget, cluster: &Cluster, snapshot: &RoleSnapshot) {
        if let Some((role, endpoint)) = self.endpoint(&target.role, &target.endpoint) {
            cluster.set_instances(&snapshot.targets(role, endpoint));
        }
    }

    /// Takes a change of the registrations over; whether public ports change, which needs a new plan.
    pub fn refresh(&self) -> bool {
        let snapshot = Arc::new(RoleSnapshot::new(&self.blueprint, &self.state.registrations()));
        self.snapshot.store(snapshot.clone());
        let clusters = self.clusters.lock().unwrap_or_else(PoisonError::into_inner);
        for (target, cluster) in clusters.iter() {
            if let Some(cluster) = cluster.upgrade() {
                self.publish_to(target, &cluster, &snapshot);
            }
        }
        let has_instance_inputs = !self.blueprint.instance_inputs.is_empty();
        has_instance_inputs && next_ports(&self.blueprint, &snapshot, &self.ports) != self.ports
    }

    /// The index of a role, and its endpoint.
    pub fn endpoint(&self, role: &str, endpoint: &str) -> Option<(usize, &RoleEndpoint)> {
        let at = self.blueprint.roles.iter().position(|known| *known.name == *role)?;
        let found = self.blueprint.roles[at].endpoints.iter().find(|known| *known.name == *endpoint);
        Some((at, found?))
    }

    /// The clusters of an endpoint that are in use.
    pub fn clusters_of(&self, role: &str, endpoint: &str) -> Vec<Arc<Cluster>> {
        let clusters = self.clusters.lock().unwrap_or_else(PoisonError::into_inner);
        let own = clusters.iter().filter(|(target, _)| target.role == role && target.endpoint == endpoint);
        own.filter_map(|(_, cluster)| cluster.upgrade()).collect()
    }

    /// The instance that a source is.
    pub fn source(&self, source: &Source) -> Option<InstanceRef> {
        self.snapshot.load().identities.find(source).cloned()
    }

    /// The guard of an internal endpoint.
    pub fn guard(self: &Arc<Self>, full_name: &str) -> Option<Arc<EndpointGuard>> {
        let destination = self.blueprint.matrix.destination(full_name)?;
        let make = || {
            let sources = self.blueprint.matrix.sources.len() + 1;
            Arc::new(EndpointGuard {
                roles: Arc::downgrade(self),
                destination,
                name: full_name.into(),
                counters: (0..sources).map(|_| OnceLock::new()).collect(),
            })
        };
        Some(self.guards[destination].get_or_init(make).clone())
    }

    /// Decides about traffic to an internal endpoint with the rules of this plan, and counts the decision.
    pub fn admits(self: &Arc<Self>, full_name: &str, source: &Source) -> bool {
        self.guard(full_name).is_some_and(|guard| guard.admit(source).passes)
    }

    /// Publishes what differs from the plan before.
    pub fn publish_changes(&self, before: &RolesPlan) {
        let (snapshot, old) = (self.snapshot(), before.snapshot());
        let view = |roles: &RolesPlan, snapshot: &RoleSnapshot, name: &str| {
            let at = roles.blueprint.roles.iter().position(|role| *role.name == *name)?;
            let endpoints: Vec<_> =
                roles.blueprint.roles[at].endpoints.iter().map(RoleEndpoint::summary).collect();
            let ports =
                roles.ports.iter().filter(|(of, _)| of.split_once('.').is_some_and(|(role, _)| role == name));
            let ports: PortMap = ports.map(|(of, ports)| (of.clone(), ports.clone())).collect();
            Some((endpoints, ports, snapshot.roles.get(at).cloned()))
        };
        let names = before.blueprint.roles.iter().chain(&self.blueprint.roles).map(|role| role.name.clone());
        for name in names.collect::<BTreeSet<_>>() {
            if view(self, &snapshot, &name) != view(before, &old, &name) {
                self.state.publish(&name, None);
            }
        }
    }

    /// The roles, endpoints and instances that have no public port.
    pub fn ports_short(&self) -> HashMap<String, usize> {
        let snapshot = self.snapshot.load();
        let short = |input: &super::blueprint::InstanceInput| {
            let role = self.blueprint.roles.iter().position(|role| role.name == input.role);
            let instances = role.and_then(|role| snapshot.roles.get(role)).map_or(0, Vec::len);
            let with_port = self.ports.get(&input.full_name).map_or(0, |ports| ports.len());
            (input.full_name.clone(), instances.saturating_sub(with_port))
        };
        self.blueprint.instance_inputs.iter().map(short).collect()
    }

    /// The number of ready and of busy instances of each role.
    pub fn instance_counts(&self) -> Vec<(Arc<str>, [usize; 2])> {
        let snapshot = self.snapshot.load();
        let roles = self.blueprint.roles.iter().zip(&snapshot.roles);
        roles
            .map(|(role, instances)| {
                let busy = instances.iter().filter(|instance| instance.is_busy).count();
                (role.name.clone(), [instances.len() - busy, busy])
            })
            .collect()
    }

    /// Writes the counts of instances and ports to the metrics.
    pub fn publish_metrics(&self) {
        self.metrics.transport.roles.set_instances(self.instance_counts());
        self.metrics.transport.roles.set_ports_short(self.ports_short().into_iter().collect());
    }
}

fn next_ports(blueprint: &RolesBlueprint, snapshot: &RoleSnapshot, old: &PortMap) -> PortMap {
    let none = ports::InstancePorts::new();
    let next = |input: &super::blueprint::InstanceInput| {
        let role = blueprint.roles.iter().position(|role| role.name == input.role);
        let instances = role.and_then(|role| snapshot.roles.get(role)).map_or(&[][..], Vec::as_slice);
        let ids: Vec<&str> = instances.iter().map(|instance| &*instance.id).collect();
        let old = old.get(&input.full_name).unwrap_or(&none);
        (input.full_name.clone(), ports::next(old, &ids, input.public_ports))
    };
    blueprint.instance_inputs.iter().map(next).collect()
}

/// Combines the document with registrations, without a plan: for explanations.
pub fn snapshot_of(blueprint: &RolesBlueprint) -> RoleSnapshot {
    RoleSnapshot::new(blueprint, &Registrations::new())
}

/// The guard of one internal endpoint.
pub struct EndpointGuard {
    roles: Weak<RolesPlan>,
    destination: usize,
    /// `Role.Endpoint`.
    pub name: Arc<str>,
    /// The decisions by source; the last one is the unknown source.
    counters: Box<[OnceLock<Arc<RoleDecisionCounter>>]>,
}

impl fmt::Debug for EndpointGuard {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "EndpointGuard({})", self.name)
    }
}

/// The result of a decision for traffic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuardOutcome {
    /// Whether the traffic is let through: also if it is only audited.
    pub passes: bool,
    /// The role of the source; `None`: unknown.
    pub source: Option<Arc<str>>,
    pub because: Because,
}

impl EndpointGuard {
    /// Decides, and counts the decision.
    pub fn admit(&self, source: &Source) -> GuardOutcome {
        let Some(roles) = self.roles.upgrade() else {
            return GuardOutcome { passes: false, source: None, because: Because::Unknown };
        };
        let (matrix, role) = (&roles.blueprint.matrix, roles.source(source).map(|found| found.role));
        let Decision { allowed, because } = matrix.decide(role, self.destination);
        let outcome = match (allowed, matrix.audits()) {
            (true, _) => RoleDecision::Allowed,
            (false, true) => RoleDecision::Audited,
            (false, false) => RoleDecision::Denied,
        };
        let name = role.map(|role| matrix.sources[role].clone());
        let counter = self.counters[role.unwrap_or(self.counters.len() - 1)].get_or_init(|| {
            let from = name.as_deref().unwrap_or(UNKNOWN_SOURCE);
            roles.metrics.transport.roles.decisions(from, &self.name)
        });
        counter.count(outcome);
        if outcome == RoleDecision::Audited {
            let from = name.as_deref().unwrap_or(UNKNOWN_SOURCE);
            log::warn!("traffic rules (audit): {from} would be denied {}: {}", self.name, because.name());
        }
        GuardOutcome { passes: outcome != RoleDecision::Denied, source: name, because }
    }

    /// Whether the rules of another plan allow what this guard let through; nothing is counted.
    pub fn is_allowed_by(&self, roles: &RolesPlan, source: &Source) -> bool {
        let matrix = &roles.blueprint.matrix;
        let Some(destination) = matrix.destination(&self.name) else { return false };
        let role = roles.source(source).map(|found| found.role);
        matrix.audits() || matrix.decide(role, destination).allowed
    }
}
