//! Objects as servers send them.

use super::*;
use proptest::prelude::*;

const ENDPOINTS: &str = r#"{"kind":"Endpoints","metadata":{"name":"orders","resourceVersion":"7"},"subsets":[
  {"addresses":[{"ip":"10.0.0.1","hostname":"a","targetRef":null},{"ip":"10.0.0.2"}],"notReadyAddresses":[{"ip":"10.0.0.9"}],
   "ports":[{"name":"https","port":8443,"protocol":"TCP"},{"name":"http","port":8080}]},
  {"addresses":[{"ip":"10.0.0.3"}],"ports":[{"name":"dns","port":53,"protocol":"UDP"},{"name":null,"port":9090}]},
  {"addresses":null,"ports":null}]}"#;

const SLICES: &str = r#"{"kind":"EndpointSliceList","metadata":{"resourceVersion":"41"},"items":[
  {"metadata":{"name":"orders-x"},"addressType":"IPv4","ports":[{"name":"","port":8080,"protocol":"TCP"}],"endpoints":[
    {"addresses":["10.0.0.1"],"conditions":{"ready":true}}, {"addresses":["10.0.0.2"],"conditions":{"ready":false}},
    {"addresses":["10.0.0.3","10.0.0.4"],"conditions":{}}, {"addresses":[]}, {"addresses":["10.0.0.5"]}]},
  {"metadata":{"name":"orders-y"},"addressType":"IPv6","ports":[{"port":8080}],"endpoints":[{"addresses":["fd00::1"]}]},
  {"metadata":{"name":"orders-z"},"addressType":"IPv4","ports":[],"endpoints":null}]}"#;

fn addresses(objects: &Objects) -> Vec<String> {
    objects.instances().iter().map(|i| format!("{}:{}", i.host, i.port)).collect()
}

fn endpoints(scheme: &str) -> Objects {
    let mut objects = Objects::new(Resource::Endpoints, scheme);
    objects.parse_single(ENDPOINTS.as_bytes()).unwrap();
    objects
}

#[test]
fn ready_addresses_of_endpoints_count_with_the_port_named_like_the_scheme_or_the_first() {
    assert_eq!(addresses(&endpoints("http")), ["10.0.0.1:8080", "10.0.0.2:8080", "10.0.0.3:9090"]);
    assert_eq!(addresses(&endpoints("https")), ["10.0.0.1:8443", "10.0.0.2:8443", "10.0.0.3:9090"]);
    assert_eq!(addresses(&endpoints("")), ["10.0.0.1:8443", "10.0.0.2:8443", "10.0.0.3:9090"]);
}

#[test]
fn ready_endpoints_of_slices_count_and_unknown_is_ready() {
    let mut objects = Objects::new(Resource::Slices, "http");
    objects.parse_list(SLICES.as_bytes()).unwrap();
    assert_eq!(addresses(&objects), ["10.0.0.1:8080", "10.0.0.3:8080", "10.0.0.5:8080", "fd00::1:8080"]);
    assert_eq!(objects.version, "41");
}

fn event(objects: &mut Objects, kind: &str, name: &str, host: &str) -> WatchOutcome {
    let line = format!(
        r#"{{"type":"{kind}","object":{{"metadata":{{"name":"{name}","resourceVersion":"9"}},"ports":[{{"port":1}}],
            "endpoints":[{{"addresses":["{host}"]}}]}}}}"#
    );
    objects.parse_event(line.as_bytes()).unwrap()
}

#[test]
fn events_add_change_and_delete_objects() {
    let mut objects = Objects::new(Resource::Slices, "http");
    assert_eq!(event(&mut objects, "ADDED", "a", "10.0.0.1"), WatchOutcome::Changed);
    assert_eq!(event(&mut objects, "ADDED", "b", "10.0.0.2"), WatchOutcome::Changed);
    assert_eq!(event(&mut objects, "MODIFIED", "a", "10.0.0.3"), WatchOutcome::Changed);
    assert_eq!(addresses(&objects), ["10.0.0.3:1", "10.0.0.2:1"]);
    assert_eq!(event(&mut objects, "DELETED", "a", "10.0.0.3"), WatchOutcome::Changed);
    let bookmark = br#"{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"12"}}}"#;
    assert_eq!(objects.parse_event(bookmark), Ok(WatchOutcome::Bookmark));
    assert_eq!((addresses(&objects), &*objects.version), (vec!["10.0.0.2:1".to_owned()], "12"));
}

#[test]
fn an_expired_version_is_not_an_error_and_everything_else_is() {
    let mut objects = Objects::new(Resource::Endpoints, "http");
    let error = |code: u16| {
        format!(r#"{{"type":"ERROR","object":{{"kind":"Status","message":"x\ny","code":{code}}}}}"#)
    };
    assert_eq!(objects.parse_event(error(410).as_bytes()), Ok(WatchOutcome::Expired));
    assert_eq!(objects.parse_event(error(500).as_bytes()), Err("the watch ended: xy".to_owned()));
    assert!(
        objects.parse_event(b"nonsense").is_err()
            && objects.parse_list(b"[").is_err()
            && objects.parse_single(b"").is_err()
    );
}

#[test]
fn invalid_addresses_are_skipped() {
    let mut objects = Objects::new(Resource::Endpoints, "http");
    let body = r#"{"metadata":{"name":"a"},"subsets":[{"addresses":[{"ip":"a b"},{"ip":"ok"}],"ports":[{"port":80}]},
        {"addresses":[{"ip":"b"}],"ports":[{"port":0}]},{"addresses":[{"ip":"c"}],"ports":[{"port":70000}]}]}"#;
    objects.parse_single(body.as_bytes()).unwrap();
    assert_eq!(addresses(&objects), ["ok:80"]);
}

#[test]
fn the_number_of_objects_is_limited() {
    let mut objects = Objects::new(Resource::Slices, "http");
    (0..=MAX_OBJECTS)
        .for_each(|n| assert_eq!(event(&mut objects, "ADDED", &n.to_string(), "h"), WatchOutcome::Changed));
    assert_eq!(objects.instances().len(), MAX_OBJECTS);
}

proptest! {
    #[test]
    fn any_input_is_a_result(junk in proptest::collection::vec(any::<u8>(), 0..100), ip in ".{0,20}", port: i64) {
        for resource in [Resource::Endpoints, Resource::Slices] {
            let mut objects = Objects::new(resource, "http");
            let _ = (objects.parse_list(&junk), objects.parse_single(&junk), objects.parse_event(&junk));
        }
        let mut objects = Objects::new(Resource::Endpoints, "http");
        let body = serde_json::json!({ "subsets": [{ "addresses": [{ "ip": ip }], "ports": [{ "port": port }] }] });
        objects.parse_single(body.to_string().as_bytes()).unwrap();
        for instance in objects.instances() {
            prop_assert!(instance.port > 0 && validate::parse_host(&instance.host).is_some());
        }
    }
}
