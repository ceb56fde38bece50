//! Registries as servers send them, and invalid ones.

use super::*;
use proptest::prelude::*;

fn instance(id: &str, status: &str, more: &str) -> String {
    format!(
        r#"{{"instanceId":"{id}","app":"ORDERS","hostName":"{id}.example","ipAddr":"10.0.0.1","status":"{status}",
            "port":{{"$":8080,"@enabled":"true"}},"securePort":{{"$":8443,"@enabled":"false"}},"vipAddress":"orders, Bestellungen"{more}}}"#
    )
}

fn response(hash: &str, instances: &[String]) -> Vec<u8> {
    let all = instances.join(",");
    format!(
        r#"{{"applications":{{"versions__delta":"1","apps__hashcode":"{hash}","application":[{{"name":"ORDERS","instance":[{all}]}}]}}}}"#
    )
    .into_bytes()
}

fn addresses(applications: &Applications, service: &str, secure: bool) -> Vec<String> {
    applications.instances(service, secure).iter().map(|i| format!("{}:{}", i.host, i.port)).collect()
}

fn two() -> Applications {
    Applications::parse_full(&response(
        "",
        &[instance("b", "UP", ""), instance("a", "UP", ""), instance("c", "DOWN", "")],
    ))
    .unwrap()
}

#[test]
fn instances_are_found_by_application_name_and_virtual_address_case_insensitively() {
    for name in ["ORDERS", "orders", "bestellungen"] {
        assert_eq!(addresses(&two(), name, false), ["a.example:8080", "b.example:8080"], "{name}");
    }
    assert!(addresses(&two(), "order", false).is_empty());
}

#[test]
fn a_port_that_is_not_enabled_is_no_port() {
    assert!(addresses(&two(), "orders", true).is_empty());
    let secure = instance("s", "UP", "").replace("\"false\"", "true").replace("\"true\"", "false");
    let applications = Applications::parse_full(&response("", &[secure])).unwrap();
    assert_eq!(addresses(&applications, "orders", true), ["s.example:8443"]);
    assert!(addresses(&applications, "orders", false).is_empty());
}

#[test]
fn a_delta_is_applied_and_checked_against_the_servers_hashcode() {
    let mut applications = two();
    let (added, gone) =
        (instance("d", "UP", r#","actionType":"ADDED""#), instance("a", "UP", r#","actionType":"DELETED""#));
    let down = instance("b", "OUT_OF_SERVICE", r#","actionType":"MODIFIED""#);
    assert_eq!(
        applications.apply_delta(&response("DOWN_1_OUT_OF_SERVICE_1_UP_1_", &[added, gone, down])),
        Ok(true)
    );
    assert_eq!(addresses(&applications, "orders", false), ["d.example:8080"]);
    assert_eq!(applications.apply_delta(&response("DOWN_1_UP_3_", &[])), Ok(false));
}

#[test]
fn a_list_of_one_may_be_a_single_element_and_a_port_a_string() {
    let body = r#"{"applications":{"apps__hashcode":"UP_1_","application":{"name":"A","instance":{"hostName":"h","status":"UP","port":{"$":"80","@enabled":"true"}}}}}"#;
    let applications = Applications::parse_full(body.as_bytes()).unwrap();
    assert_eq!(
        (addresses(&applications, "a", false), applications.apps_hashcode()),
        (vec!["h:80".to_owned()], "UP_1_".to_owned())
    );
    let empty = Applications::parse_full(br#"{"applications":{"application":null}}"#).unwrap();
    assert!(addresses(&empty, "a", false).is_empty());
}

#[test]
fn invalid_addresses_are_skipped_and_an_invalid_response_is_an_error() {
    let invalid = instance("x", "UP", "").replace("x.example", "a b").replace("8080", "0");
    assert!(
        addresses(&Applications::parse_full(&response("", &[invalid])).unwrap(), "orders", false).is_empty()
    );
    assert!(Applications::parse_full(b"[]").is_err() && Applications::parse_full(b"").is_err());
}

proptest! {
    #[test]
    fn any_input_is_a_result(junk in proptest::collection::vec(any::<u8>(), 0..100), host in ".{0,20}", port: i64) {
        let _ = (Applications::parse_full(&junk).is_ok(), Applications::default().apply_delta(&junk));
        let body = serde_json::json!({ "applications": { "application": [{ "name": "A", "instance": [
            { "hostName": host, "status": "UP", "port": { "$": port, "@enabled": true } }] }] } });
        for instance in Applications::parse_full(body.to_string().as_bytes()).unwrap().instances("a", false) {
            prop_assert!(instance.port > 0 && validate::parse_host(&instance.host).is_some());
        }
    }
}
