//! What outlives a plan: registrations, the public ports of instances, the version and the events of the directory.

use super::{
    ports::PortMap,
    snapshot::{RegisteredInstance, Registrations},
};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::sync::watch;

/// Events that are kept for subscribers that connect again.
const MAX_EVENTS: usize = 1000;
/// Instances that may be registered.
const MAX_REGISTRATIONS: usize = 10_000;

/// The state of all roles.
#[derive(Debug)]
pub struct RoleState {
    inner: Mutex<StateTables>,
    version: watch::Sender<u64>,
    /// Requested and completed applications of the configuration, because public ports change.
    requested: watch::Sender<u64>,
    applied: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct StateTables {
    registrations: BTreeMap<(String, String), RegistrationEntry>,
    ports: PortMap,
    events: VecDeque<RoleEvent>,
}

#[derive(Clone, Debug, Default)]
struct RegistrationEntry {
    instance: RegisteredInstance,
    /// `None`: a status that an operator set, which does not end by itself.
    expires_at: Option<Instant>,
}

/// A change that subscribers of the directory see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleEvent {
    pub version: u64,
    pub role: String,
    /// The instance whose status changed; `None`: the instances, ports or endpoints of the role changed.
    pub instance: Option<String>,
}

/// What a registration contains; what is absent keeps what is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RegistrationRequest {
    pub host: Option<String>,
    pub ports: BTreeMap<String, u16>,
    pub is_busy: Option<bool>,
    pub ttl: Duration,
}

/// Why an instance is not registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegisterError {
    /// A new instance needs a host.
    MissingHost,
    TooMany,
}

/// The result of a registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Registered {
    Created,
    Renewed,
}

/// What a change concerns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StateChange {
    /// Instances, ports or hosts.
    pub topology: bool,
    pub status: bool,
}

impl StateChange {
    /// Whether anything changed.
    pub fn is_any(self) -> bool {
        self.topology || self.status
    }

    fn between(before: Option<&RegisteredInstance>, after: Option<&RegisteredInstance>) -> StateChange {
        let part = |of: Option<&RegisteredInstance>| of.map(|of| (of.host.clone(), of.ports.clone()));
        let has_ports =
            |of: Option<&RegisteredInstance>| of.is_some_and(|of| of.host.is_some() || !of.ports.is_empty());
        let topology = part(before) != part(after) && (has_ports(before) || has_ports(after));
        let status = before.and_then(|of| of.is_busy) != after.and_then(|of| of.is_busy);
        StateChange { topology, status }
    }
}

impl Default for RoleState {
    fn default() -> Self {
        RoleState {
            inner: Mutex::default(),
            version: watch::Sender::new(1),
            requested: watch::Sender::new(0),
            applied: watch::Sender::new(0),
        }
    }
}

impl RoleState {
    fn lock(&self) -> MutexGuard<'_, StateTables> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of changes so far.
    pub fn version(&self) -> u64 {
        *self.version.borrow()
    }

    /// Notified of every change.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    /// The registrations that have not ended.
    pub fn registrations(&self) -> Registrations {
        let tables = self.lock();
        tables.registrations.iter().map(|(key, entry)| (key.clone(), entry.instance.clone())).collect()
    }

    /// A copy of the registrations, for a change that is only tried.
    pub fn copy(&self) -> RoleState {
        let copy = RoleState::default();
        let registrations = self.lock().registrations.clone();
        copy.lock().registrations = registrations;
        copy
    }

    /// The public ports of the active plan.
    pub fn ports(&self) -> PortMap {
        self.lock().ports.clone()
    }

    /// Replaces the public ports: those of the file at the start, and those of each plan that becomes active.
    pub fn set_ports(&self, ports: PortMap) {
        self.lock().ports = ports;
    }

    /// Requests that the configuration is applied again; the number of the request.
    pub fn request_apply(&self) -> u64 {
        self.requested.send_modify(|requests| *requests += 1);
        *self.requested.borrow()
    }

    /// The requests.
    pub fn apply_requests(&self) -> watch::Receiver<u64> {
        self.requested.subscribe()
    }

    /// A request was served.
    pub fn set_applied(&self, request: u64) {
        self.applied.send_replace(request);
    }

    /// Waits until a request was served.
    pub async fn wait_applied(&self, request: u64, timeout: Duration) {
        let mut applied = self.applied.subscribe();
        let _ = tokio::time::timeout(timeout, applied.wait_for(|served| *served >= request)).await;
    }

    /// Registers an instance, or renews it. `is_static`: the document has it, and its host stays.
    ///
    /// # Errors
    ///
    /// [`RegisterError`].
    pub fn register(
        &self,
        (role, id): (&str, &str),
        request: &RegistrationRequest,
        is_static: bool,
        now: Instant,
    ) -> Result<(Registered, StateChange), RegisterError> {
        let mut tables = self.lock();
        let key = (role.to_owned(), id.to_owned());
        let before = tables.registrations.get(&key).cloned();
        let mut instance = before.clone().unwrap_or_default().instance;
        if let Some(host) = request.host.clone().filter(|_| !is_static) {
            instance.host = Some(host);
        }
        if instance.host.is_none() && !is_static {
            return Err(RegisterError::MissingHost);
        }
        if before.is_none() && tables.registrations.len() >= MAX_REGISTRATIONS {
            return Err(RegisterError::TooMany);
        }
        instance.ports.extend(request.ports.clone());
        instance.is_busy = request.is_busy.or(instance.is_busy);
        let change = StateChange::between(before.as_ref().map(|entry| &entry.instance), Some(&instance));
        let entry = RegistrationEntry { instance, expires_at: Some(now + request.ttl) };
        tables.registrations.insert(key, entry);
        let is_new = before.is_none() && !is_static;
        Ok((if is_new { Registered::Created } else { Registered::Renewed }, change))
    }

    /// Sets the status of an instance until it is set again.
    pub fn set_busy(&self, role: &str, id: &str, is_busy: bool) -> StateChange {
        let mut tables = self.lock();
        let entry = tables.registrations.entry((role.to_owned(), id.to_owned())).or_default();
        let before = entry.instance.clone();
        entry.instance.is_busy = Some(is_busy);
        StateChange::between(Some(&before), Some(&entry.instance))
    }

    /// Ends a registration; whether there was one.
    pub fn remove(&self, role: &str, id: &str) -> Option<StateChange> {
        let entry = self.lock().registrations.remove(&(role.to_owned(), id.to_owned()))?;
        Some(StateChange::between(Some(&entry.instance), None))
    }

    /// Ends the registrations that were not renewed in time; the instances concerned.
    pub fn expire(&self, now: Instant) -> Vec<(String, String, StateChange)> {
        let mut tables = self.lock();
        let is_over = |entry: &RegistrationEntry| entry.expires_at.is_some_and(|at| at <= now);
        let over: Vec<_> = tables
            .registrations
            .iter()
            .filter(|(_, entry)| is_over(entry))
            .map(|(key, _)| key.clone())
            .collect();
        let mut ended = Vec::with_capacity(over.len());
        for key in over {
            let Some(entry) = tables.registrations.remove(&key) else { continue };
            let change = StateChange::between(Some(&entry.instance), None);
            ended.push((key.0, key.1, change));
        }
        ended
    }

    /// Publishes a change, after the active plan has it.
    pub fn publish(&self, role: &str, instance: Option<&str>) {
        let version = self.version() + 1;
        let event = RoleEvent { version, role: role.to_owned(), instance: instance.map(str::to_owned) };
        let mut tables = self.lock();
        if tables.events.len() == MAX_EVENTS {
            tables.events.pop_front();
        }
        tables.events.push_back(event);
        drop(tables);
        self.version.send_replace(version);
    }

    /// The events after a version; `None`: some of them are not known any more.
    pub fn events_since(&self, version: u64) -> Option<Vec<RoleEvent>> {
        let tables = self.lock();
        let first = tables.events.front().map_or(self.version() + 1, |event| event.version);
        (version + 1 >= first)
            .then(|| tables.events.iter().filter(|event| event.version > version).cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(host: Option<&str>, port: Option<u16>, is_busy: Option<bool>) -> RegistrationRequest {
        RegistrationRequest {
            host: host.map(str::to_owned),
            ports: port.map(|port| ("E".to_owned(), port)).into_iter().collect(),
            is_busy,
            ttl: Duration::from_secs(10),
        }
    }

    #[test]
    fn a_registration_ends_unless_it_is_renewed() {
        let (state, start) = (RoleState::default(), Instant::now());
        let register = |request, now| state.register(("R", "x"), &request, false, now);
        assert_eq!(register(request(None, Some(1), None), start), Err(RegisterError::MissingHost));
        let created = register(request(Some("10.0.0.9"), Some(1), None), start).unwrap();
        assert_eq!(created, (Registered::Created, StateChange { topology: true, status: false }));
        let later = start + Duration::from_secs(9);
        let renewed = register(request(None, None, None), later).unwrap();
        assert_eq!(renewed, (Registered::Renewed, StateChange::default()), "what is absent stays");
        assert_eq!(state.expire(start + Duration::from_secs(10)), []);
        assert_eq!(state.expire(later + Duration::from_secs(10)).len(), 1);
        assert!(state.registrations().is_empty());
    }

    #[test]
    fn the_host_of_an_instance_of_the_document_never_changes() {
        let (state, now) = (RoleState::default(), Instant::now());
        let changed = state.register(("R", "a"), &request(Some("10.6.6.6"), Some(7), Some(true)), true, now);
        assert_eq!(changed, Ok((Registered::Renewed, StateChange { topology: true, status: true })));
        let registered = &state.registrations()[&("R".to_owned(), "a".to_owned())];
        assert_eq!((registered.host.as_ref(), registered.ports["E"]), (None, 7));
    }

    #[test]
    fn a_subscriber_that_missed_too_many_events_starts_again() {
        let state = RoleState::default();
        for _ in 0..MAX_EVENTS + 5 {
            state.publish("R", None);
        }
        assert_eq!(state.version(), 1 + MAX_EVENTS as u64 + 5);
        assert_eq!(state.events_since(1), None);
        assert_eq!(state.events_since(state.version() - 2).map(|events| events.len()), Some(2));
        assert_eq!(state.events_since(state.version()), Some(Vec::new()));
    }
}
