use super::*;
use crate::backend::fabric::partition::KeyRange;
use crate::backend::fabric::registry::document::AddressSpec;
use crate::backend::fabric::service::ReplicaRole;
use proptest::prelude::*;
use serde_json::{Value, json};

fn registry(services: Value) -> Vec<u8> {
    json!({ "Applications": [{ "Name": "fabric:/A", "TypeName": "T", "TypeVersion": "1.0", "Services": services }] })
        .to_string()
        .into_bytes()
}

fn errors(services: Value) -> Vec<(String, String)> {
    let (document, faults) = read_registry(&registry(services));
    let errors: Vec<_> = faults.into_iter().filter(|fault| fault.is_error).collect();
    assert_eq!(document.is_none(), !errors.is_empty());
    errors.into_iter().map(|fault| (fault.place, fault.message)).collect()
}

fn stateful(partitioning: Value, partitions: Value) -> Value {
    json!([{ "Name": "fabric:/A/S", "ServiceKind": "Stateful", "Partitioning": partitioning, "Partitions": partitions }])
}

#[test]
fn partitions_that_are_not_listed_have_no_replicas() {
    let partitioning = json!({ "Kind": "Int64Range", "LowKey": "0", "HighKey": 33, "Count": 4 });
    let listed = json!([{ "LowKey": 9, "HighKey": "17", "Replicas": [
        { "ReplicaId": 11, "Role": "Primary", "Endpoints": { "": "http://h:1" }, "NodeName": "n1" },
        { "ReplicaId": "12", "Role": "ActiveSecondary", "Address": "{\"Endpoints\":{}}" }] }]);
    let (document, faults) = read_registry(&registry(stateful(partitioning, listed)));
    assert_eq!(faults, []);
    let document = document.unwrap();
    let service = document.services().next().unwrap();
    let ranges: Vec<_> = service
        .partitions
        .iter()
        .map(|partition| (partition.info.label(), partition.replicas.len()))
        .collect();
    let expected = [("0", 0), ("9", 2), ("18", 0), ("26", 0)].map(|(low, count)| (low.to_owned(), count));
    assert_eq!(ranges, expected);
    assert_eq!(service.partitions[1].info, PartitionInfo::Int64Range(KeyRange { low: 9, high: 17 }));
    let replicas = &service.partitions[1].replicas;
    assert_eq!((&*replicas[0].id, replicas[0].role, &*replicas[0].node), ("11", ReplicaRole::Primary, "n1"));
    assert_eq!(replicas[1].address, AddressSpec::Text("{\"Endpoints\":{}}".into()));
}

#[test]
fn ids_are_those_of_the_file_or_of_name_and_key() {
    let (document, _) = read_registry(&registry(json!([
        { "Name": "fabric:/A/S", "ServiceKind": "Stateless" },
        { "Name": "fabric:/A/T", "ServiceKind": "Stateless",
          "Partitions": [{ "PartitionId": "{1C8B0000-0000-4000-8000-000000000001}" }] },
    ])));
    let document = document.unwrap();
    let ids: Vec<_> = document.services().map(|service| service.partitions[0].id.to_string()).collect();
    assert_eq!(ids[1], "1c8b0000-0000-4000-8000-000000000001");
    assert!(is_uuid(&ids[0]) && ids[0].as_bytes()[14] == b'5', "{}", ids[0]);
    assert_eq!(*partition_id("fabric:/A/S", &PartitionInfo::Singleton), *ids[0]);
    assert_ne!(
        partition_id("fabric:/A/S", &PartitionInfo::Named("x".into())),
        partition_id("fabric:/A/S", &PartitionInfo::Named("y".into()))
    );
}

#[test]
fn an_id_is_the_uuid_of_its_text() {
    // python3: uuid.uuid5(uuid.NAMESPACE_URL, "fabric:/MyApp/Users|Int64Range|0")
    let info = PartitionInfo::Int64Range(KeyRange { low: 0, high: 8 });
    assert_eq!(&*partition_id("fabric:/MyApp/Users", &info), "40cfe71f-d099-59b0-aae9-f1afb17d1703");
}

/// Every service has the mistake at its place.
fn assert_places<const N: usize>(cases: [(Value, &str); N]) {
    for (services, place) in cases {
        let found: Vec<String> = errors(services.clone()).into_iter().map(|(place, _)| place).collect();
        assert_eq!(found, [format!("/Applications/0{place}")], "{services}");
    }
}

#[test]
fn mistakes_of_services_and_partitioning_have_their_place() {
    assert_places([
        (json!([{ "Name": "A/S", "ServiceKind": "Stateless" }]), "/Services/0/Name"),
        (json!([{ "Name": "fabric:/A/$S", "ServiceKind": "Stateless" }]), "/Services/0/Name"),
        (json!([{ "Name": "fabric:/A/S" }]), "/Services/0/ServiceKind"),
        (
            json!([{ "Name": "fabric:/A/S", "ServiceKind": "Stateless" }, { "Name": "fabric:/A/S", "ServiceKind": "Stateless" }]),
            "/Services/1/Name",
        ),
        (stateful(json!({ "Kind": "Other" }), json!([])), "/Services/0/Partitioning/Kind"),
        (
            stateful(json!({ "Kind": "Named", "Names": ["a", "a"] }), json!([])),
            "/Services/0/Partitioning/Names",
        ),
        (
            stateful(json!({ "Kind": "Named", "Names": ["a"] }), json!([{ "Name": "b" }])),
            "/Services/0/Partitions/0",
        ),
        (
            stateful(json!({ "Kind": "Int64Range", "LowKey": 0, "HighKey": 2, "Count": 4 }), json!([])),
            "/Services/0/Partitioning/Count",
        ),
        (
            stateful(json!({ "Kind": "Int64Range", "HighKey": 2, "Count": 1 }), json!([])),
            "/Services/0/Partitioning/LowKey",
        ),
        (
            stateful(
                json!({ "Kind": "Int64Range", "LowKey": 0, "HighKey": 9, "Count": 2 }),
                json!([{ "LowKey": 0, "HighKey": 5 }]),
            ),
            "/Services/0/Partitions/0",
        ),
    ]);
}

#[test]
fn mistakes_of_partitions_and_replicas_have_their_place() {
    let one =
        |primary: &str| json!({ "ReplicaId": primary, "Role": "Primary", "Endpoints": { "": "http://h:1" } });
    assert_places([
        (
            stateful(
                json!({ "Kind": "Int64Range", "LowKey": 0, "HighKey": 9 }),
                json!([{ "LowKey": 0, "HighKey": 4 }, { "LowKey": 6, "HighKey": 9 }]),
            ),
            "/Services/0/Partitioning",
        ),
        (stateful(json!({}), json!([{}, {}])), "/Services/0/Partitions/1"),
        (stateful(json!({}), json!([{ "PartitionId": "x" }])), "/Services/0/Partitions/0/PartitionId"),
        (stateful(json!({}), json!([{ "Instances": [one("1")] }])), "/Services/0/Partitions/0/Instances"),
        (
            stateful(json!({}), json!([{ "Replicas": [one("1"), one("2")] }])),
            "/Services/0/Partitions/0/Replicas",
        ),
        (
            stateful(
                json!({}),
                json!([{ "Replicas": [{ "ReplicaId": "1", "Role": "Primary", "Endpoints": { "": "no url" } }] }]),
            ),
            "/Services/0/Partitions/0/Replicas/0/Endpoints",
        ),
        (
            stateful(json!({}), json!([{ "Replicas": [{ "ReplicaId": "1" }] }])),
            "/Services/0/Partitions/0/Replicas/0/Role",
        ),
        (
            stateful(json!({}), json!([{ "Replicas": [{ "Role": "Primary" }] }])),
            "/Services/0/Partitions/0/Replicas/0/ReplicaId",
        ),
    ]);
}

#[test]
fn syntax_errors_and_unknown_members_have_a_line() {
    for text in ["{ broken", "[]", r#"{ "Applications": [{ "Nmae": "fabric:/A" }] }"#] {
        let (document, faults) = read_registry(text.as_bytes());
        assert!(
            document.is_none() && faults.len() == 1 && faults[0].place.starts_with("line 1"),
            "{faults:?}"
        );
    }
}

#[test]
fn a_partition_without_a_primary_is_a_warning() {
    let replica = json!({ "ReplicaId": "1", "Role": "ActiveSecondary", "Endpoints": { "": "http://h:1" } });
    let (document, faults) =
        read_registry(&registry(stateful(json!({}), json!([{ "Replicas": [replica] }]))));
    assert!(document.is_some() && faults.len() == 1 && !faults[0].is_error);
}

#[test]
fn mistakes_beyond_twenty_are_counted() {
    let services: Vec<_> =
        (0..50).map(|at| json!({ "Name": format!("S{at}"), "ServiceKind": "Stateless" })).collect();
    let found = errors(services.into());
    assert_eq!(found.len(), 21);
    assert!(found[20].1.contains("more mistakes"), "{found:?}");
}

proptest! {
    #[test]
    fn any_file_is_read_or_refused(text in ".{0,80}", junk in proptest::collection::vec(any::<u8>(), 0..80)) {
        let _ = (read_registry(text.as_bytes()), read_registry(&junk));
    }
}
