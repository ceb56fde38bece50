//! Entries as Consul documents them, and invalid ones.

use super::*;
use proptest::prelude::*;

fn plain() -> ConsulSettings {
    ConsulSettings::default()
}

fn parsed(body: &str, settings: &ConsulSettings) -> ParsedInstances {
    let catalog = parse_nodes(br#"[{"Node":"n2","Address":"10.1.0.2"}]"#).unwrap();
    parse(body.as_bytes(), &catalog, settings).unwrap()
}

fn hosts(parsed: &ParsedInstances) -> Vec<String> {
    parsed.instances.iter().map(|i| format!("{}:{}*{}", i.host, i.port, i.weight)).collect()
}

const TWO: &str = r#"[
  {"Node":{"ID":"x","Node":"n1","Address":"10.1.0.1"},
   "Service":{"ID":"a","Service":"orders","Tags":["v1"],"Address":"","Meta":{"zone":"a"},"Port":8000,
              "Weights":{"Passing":10,"Warning":1}},"Checks":[]},
  {"Service":{"ID":"b","Service":"orders","Tags":["v1","v2"],"Address":"10.1.0.2","Meta":null,"Port":8001}}]"#;

#[test]
fn an_instance_has_the_address_of_its_service_or_else_of_its_node() {
    assert_eq!(hosts(&parsed(TWO, &plain())), ["10.1.0.1:8000*10", "10.1.0.2:8001*1"]);
}

#[test]
fn the_host_is_the_name_of_the_node_by_option_and_under_ocelot() {
    let by_name = ConsulSettings { node_name: true, ..plain() };
    assert_eq!(hosts(&parsed(TWO, &by_name)), ["n1:8000*10", "n2:8001*1"]);
    let ocelot = parsed(TWO, &ConsulSettings { ocelot: true, ..by_name });
    assert_eq!(hosts(&ocelot), ["n2:8001*1"], "Ocelot drops a service without an address");
    assert!(ocelot.warnings[0].contains("\"a\" ignored: invalid address \":8000\""), "{ocelot:?}");
}

#[test]
fn tags_and_metadata_select_instances() {
    let tagged = ConsulSettings { tags: vec!["v1".into(), "v2".into()], ..plain() };
    assert_eq!(hosts(&parsed(TWO, &tagged)), ["10.1.0.2:8001*1"]);
    let zoned = ConsulSettings { metadata: vec![("zone".into(), "a".into())], ..plain() };
    assert_eq!(hosts(&parsed(TWO, &zoned)), ["10.1.0.1:8000*10"]);
}

#[test]
fn invalid_entries_are_skipped_with_a_warning() {
    let invalid = r#"[{"Service":{"ID":"a","Address":"http://x","Port":1}}, {"Service":{"ID":"b","Address":"x","Port":0}},
        {"Service":{"ID":"c","Address":"x","Port":"8"}}, 7, {}, {"Service":{"ID":"d","Address":"ok","Port":8}},
        {"Service":{"ID":"e\n","Address":"a b","Port":1}}]"#;
    let parsed = parsed(invalid, &plain());
    assert_eq!(hosts(&parsed), ["ok:8*1"]);
    assert_eq!(parsed.warnings.len(), 6, "{:?}", parsed.warnings);
    assert!(parsed.warnings.iter().all(|w| !w.contains('\n')));
}

#[test]
fn the_number_of_warnings_is_limited() {
    let many = format!("[{}1]", "1,".repeat(999));
    let parsed = parsed(&many, &plain());
    assert_eq!(parsed.warnings.len(), MAX_WARNINGS + 1);
    assert_eq!(parsed.warnings[MAX_WARNINGS], "992 more invalid instances");
}

#[test]
fn a_response_that_is_not_a_list_is_an_error() {
    assert!(
        parse(b"{}", &[], &plain()).is_err()
            && parse(b"", &[], &plain()).is_err()
            && parse_nodes(b"no").is_err()
    );
}

proptest! {
    #[test]
    fn any_input_is_a_result_with_valid_instances(
        address in ".{0,20}", port in any::<i64>(), junk in proptest::collection::vec(any::<u8>(), 0..200), ocelot: bool,
    ) {
        let settings = ConsulSettings { ocelot, ..plain() };
        let _ = parse(&junk, &[], &settings);
        let entry = serde_json::json!([{ "Service": { "Address": address, "Port": port } }]).to_string();
        for instance in parse(entry.as_bytes(), &[], &settings).unwrap().instances {
            prop_assert!(instance.port > 0 && validate::parse_host(&instance.host).is_some());
        }
    }
}
