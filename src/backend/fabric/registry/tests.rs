use super::*;
use crate::backend::fabric::{partition::PartitionKey, service::PartitionMatch};
use serde_json::{Value, json};
use std::collections::BTreeMap;

fn document(partitions: Value) -> Arc<RegistryDocument> {
    let text = json!({ "Applications": [{ "Name": "fabric:/A", "Services": [
        { "Name": "fabric:/A/S", "ServiceKind": "Stateful", "Partitions": partitions }] }] });
    let (document, faults) = read_registry(text.to_string().as_bytes());
    Arc::new(document.unwrap_or_else(|| panic!("{faults:?}")))
}

fn replica(id: &str, role: &str) -> Value {
    json!({ "ReplicaId": id, "Role": role, "Endpoints": { "": format!("http://{id}:1") } })
}

fn registration(role: ReplicaRole, host: &str, ttl: Option<Duration>) -> Registration {
    let listeners = BTreeMap::from([("".into(), format!("http://{host}:1").into())]);
    Registration { role: Some(role), address: AddressSpec::Listeners(listeners), node: "n".into(), ttl }
}

struct TestRegistry(Arc<Registry>);

impl TestRegistry {
    fn new(partitions: Value) -> TestRegistry {
        let registry = Registry::new(BackgroundRuntime::default());
        registry.apply(&document(partitions));
        TestRegistry(Arc::new(registry))
    }

    fn partition(&self) -> Arc<crate::backend::fabric::service::Partition> {
        let names = self.0.names();
        let found = names.get("A/S").unwrap().partitions.load().find(&PartitionKey::None);
        let PartitionMatch::Known(partition) = found else { panic!("a singleton") };
        partition
    }

    fn replicas(&self) -> Vec<String> {
        let snapshot = self.partition().snapshot();
        snapshot.replicas.iter().map(|replica| format!("{} {}", replica.id, replica.role.label())).collect()
    }

    fn register(&self, id: &str, registration: Registration) -> Result<(), RegistrationError> {
        self.0.register(("A/S", &self.partition().id.clone()), id, registration)
    }
}

#[test]
fn a_second_primary_makes_the_first_a_secondary() {
    let registry = TestRegistry::new(json!([{ "Replicas": [replica("1", "Primary")] }]));
    let before = registry.partition().version();
    registry.register("2", registration(ReplicaRole::Primary, "two", None)).unwrap();
    assert_eq!(registry.replicas(), ["2 primary", "1 secondary"]);
    assert_eq!(registry.partition().version(), before + 1);
    registry.register("2", registration(ReplicaRole::Primary, "two", None)).unwrap();
    assert_eq!(registry.partition().version(), before + 1, "a renewal changes nothing");
    let id = registry.partition().id.clone();
    registry.0.swap_primary(("A/S", &id), "1").unwrap();
    assert_eq!(registry.replicas(), ["1 primary", "2 secondary"]);
    registry.0.deregister(("A/S", &id), "1").unwrap();
    assert_eq!(registry.replicas(), ["2 secondary"]);
    assert_eq!(registry.0.deregister(("A/S", &id), "1"), Err(RegistrationError::ReplicaMissing));
    assert_eq!(registry.0.swap_primary(("A/T", &id), "2"), Err(RegistrationError::PartitionMissing));
}

#[test]
fn a_registration_ends_with_its_time_unless_it_is_renewed() {
    let registry = TestRegistry::new(json!([]));
    let (short, now) = (Duration::from_secs(1), Instant::now());
    registry.register("1", registration(ReplicaRole::Primary, "one", Some(short))).unwrap();
    registry.register("2", registration(ReplicaRole::Secondary, "two", Some(10 * short))).unwrap();
    assert!(registry.0.expire(now) && registry.replicas().len() == 2);
    assert!(registry.0.expire(now + 3 * short));
    assert_eq!(registry.replicas(), ["2 secondary"]);
    registry.register("2", registration(ReplicaRole::Secondary, "two", None)).unwrap();
    assert!(!registry.0.expire(now + 60 * short), "nothing is left that ends");
    assert_eq!(registry.replicas(), ["2 secondary"]);
}

#[test]
fn a_change_of_the_file_replaces_its_replicas_and_registered_ones_stay() {
    let registry = TestRegistry::new(
        json!([{ "Replicas": [replica("1", "Primary"), replica("2", "ActiveSecondary")] }]),
    );
    registry.register("9", registration(ReplicaRole::Primary, "nine", None)).unwrap();
    let (before, changes) = (registry.partition(), registry.0.changes());
    registry.0.apply(&document(
        json!([{ "Replicas": [replica("3", "Primary"), replica("2", "ActiveSecondary")] }]),
    ));
    assert!(Arc::ptr_eq(&before, &registry.partition()) && changes.has_changed().unwrap());
    assert_eq!(registry.replicas(), ["9 primary", "3 secondary", "2 secondary"]);
}

#[test]
fn the_same_file_changes_nothing() {
    let partitions = json!([{ "Replicas": [replica("1", "Primary")] }]);
    let registry = TestRegistry::new(partitions.clone());
    let (version, changes) = (registry.partition().version(), registry.0.changes());
    registry.0.apply(&document(partitions));
    assert_eq!(registry.partition().version(), version);
    assert!(!changes.has_changed().unwrap());
}

#[test]
fn registrations_that_do_not_fit_are_refused() {
    let registry = TestRegistry::new(json!([]));
    let bare = |role| Registration { role, address: AddressSpec::Absent, node: "".into(), ttl: None };
    assert_eq!(registry.register("1", bare(None)), Err(RegistrationError::BadRole));
    assert_eq!(registry.register("", bare(Some(ReplicaRole::Primary))), Err(RegistrationError::BadReplicaId));
    let role = || registration(ReplicaRole::Secondary, "h", None);
    for id in 0..document::MAX_REPLICAS {
        registry.register(&id.to_string(), role()).unwrap();
    }
    assert_eq!(registry.register("more", role()), Err(RegistrationError::TooManyReplicas));
    let id = registry.partition().id.clone();
    assert_eq!(registry.0.register(("A/S", "other"), "1", role()), Err(RegistrationError::PartitionMissing));
    assert!(registry.0.partition(&id).is_some_and(|view| &*view.nodes[0] == "n"));
}
