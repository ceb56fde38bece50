//! Registries as servers send them.

use super::*;
use proptest::prelude::*;

fn instance(id: &str, status: &str, more: &str) -> String {
    format!(
        r#"{{"instanceId":"{id}","app":"ORDERS","hostName":"{id}.example","ipAddr":"10.0.0.1","status":"{status}",
            "port":{{"$":8080,"@enabled":"true"}},"securePort":{{"$":8443,"@enabled":"false"}},"vipAddress":"orders, Bestellungen"{more}}}"#
    )
}

fn answer(hash: &str, instances: &[String]) -> Vec<u8> {
    let all = instances.join(",");
    format!(
        r#"{{"applications":{{"versions__delta":"1","apps__hashcode":"{hash}","application":[{{"name":"ORDERS","instance":[{all}]}}]}}}}"#
    )
    .into_bytes()
}

fn shown(registry: &Registry, service: &str, secure: bool) -> Vec<String> {
    registry.instances(service, secure).iter().map(|i| format!("{}:{}", i.host, i.port)).collect()
}

fn two() -> Registry {
    Registry::parse_full(&answer(
        "",
        &[instance("b", "UP", ""), instance("a", "UP", ""), instance("c", "DOWN", "")],
    ))
    .unwrap()
}

#[test]
fn those_that_are_up_are_found_by_application_and_by_virtual_address_in_any_case() {
    for name in ["ORDERS", "orders", "bestellungen"] {
        assert_eq!(shown(&two(), name, false), ["a.example:8080", "b.example:8080"], "{name}");
    }
    assert!(shown(&two(), "order", false).is_empty());
}

#[test]
fn a_port_that_is_not_enabled_is_no_port() {
    assert!(shown(&two(), "orders", true).is_empty());
    let secure = instance("s", "UP", "").replace("\"false\"", "true").replace("\"true\"", "false");
    let registry = Registry::parse_full(&answer("", &[secure])).unwrap();
    assert_eq!(shown(&registry, "orders", true), ["s.example:8443"]);
    assert!(shown(&registry, "orders", false).is_empty());
}

#[test]
fn changes_are_applied_and_checked_against_the_servers_count() {
    let mut registry = two();
    let (added, gone) =
        (instance("d", "UP", r#","actionType":"ADDED""#), instance("a", "UP", r#","actionType":"DELETED""#));
    let down = instance("b", "OUT_OF_SERVICE", r#","actionType":"MODIFIED""#);
    assert_eq!(
        registry.apply_delta(&answer("DOWN_1_OUT_OF_SERVICE_1_UP_1_", &[added, gone, down])),
        Ok(true)
    );
    assert_eq!(shown(&registry, "orders", false), ["d.example:8080"]);
    assert_eq!(registry.apply_delta(&answer("DOWN_1_UP_3_", &[])), Ok(false));
}

#[test]
fn a_list_of_one_may_be_the_one_itself_and_a_port_a_text() {
    let body = r#"{"applications":{"apps__hashcode":"UP_1_","application":{"name":"A","instance":{"hostName":"h","status":"UP","port":{"$":"80","@enabled":"true"}}}}}"#;
    let registry = Registry::parse_full(body.as_bytes()).unwrap();
    assert_eq!(
        (shown(&registry, "a", false), registry.apps_hashcode()),
        (vec!["h:80".to_owned()], "UP_1_".to_owned())
    );
    let empty = Registry::parse_full(br#"{"applications":{"application":null}}"#).unwrap();
    assert!(shown(&empty, "a", false).is_empty());
}

#[test]
fn what_cannot_be_dialled_is_left_out_and_what_is_no_registry_is_an_error() {
    let odd = instance("x", "UP", "").replace("x.example", "a b").replace("8080", "0");
    assert!(shown(&Registry::parse_full(&answer("", &[odd])).unwrap(), "orders", false).is_empty());
    assert!(Registry::parse_full(b"[]").is_err() && Registry::parse_full(b"").is_err());
}

proptest! {
    #[test]
    fn whatever_comes_is_a_result(junk in proptest::collection::vec(any::<u8>(), 0..100), host in ".{0,20}", port: i64) {
        let _ = (Registry::parse_full(&junk).is_ok(), Registry::default().apply_delta(&junk));
        let body = serde_json::json!({ "applications": { "application": [{ "name": "A", "instance": [
            { "hostName": host, "status": "UP", "port": { "$": port, "@enabled": true } }] }] } });
        for instance in Registry::parse_full(body.to_string().as_bytes()).unwrap().instances("a", false) {
            prop_assert!(instance.port > 0 && validate::is_valid_host(&instance.host).is_some());
        }
    }
}
