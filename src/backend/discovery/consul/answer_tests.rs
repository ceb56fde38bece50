//! Entries as Consul's documentation shows them, and as nobody should send them.

use super::*;
use proptest::prelude::*;

const PLAIN: settings::Consul = settings::Consul {
    datacenter: String::new(),
    tags: vec![],
    metadata: vec![],
    node_name: false,
    allow_stale: false,
};

fn found(body: &str, consul: &settings::Consul, ocelot: bool) -> ParsedInstances {
    let catalog = nodes(br#"[{"Node":"n2","Address":"10.1.0.2"}]"#).unwrap();
    read(body.as_bytes(), &catalog, ParseOptions { consul, ocelot }).unwrap()
}

fn hosts(found: &ParsedInstances) -> Vec<String> {
    found.instances.iter().map(|i| format!("{}:{}*{}", i.host, i.port, i.weight)).collect()
}

const TWO: &str = r#"[
  {"Node":{"ID":"x","Node":"n1","Address":"10.1.0.1"},
   "Service":{"ID":"a","Service":"orders","Tags":["v1"],"Address":"","Meta":{"zone":"a"},"Port":8000,
              "Weights":{"Passing":10,"Warning":1}},"Checks":[]},
  {"Service":{"ID":"b","Service":"orders","Tags":["v1","v2"],"Address":"10.1.0.2","Meta":null,"Port":8001}}]"#;

#[test]
fn the_address_of_the_service_counts_and_that_of_its_node_where_it_has_none() {
    assert_eq!(hosts(&found(TWO, &PLAIN, false)), ["10.1.0.1:8000*10", "10.1.0.2:8001*1"]);
}

#[test]
fn by_option_and_under_ocelot_the_name_of_the_node_is_the_host() {
    let by_name = settings::Consul { node_name: true, ..PLAIN };
    assert_eq!(hosts(&found(TWO, &by_name, false)), ["n1:8000*10", "n2:8001*1"]);
    let ocelot = found(TWO, &by_name, true);
    assert_eq!(hosts(&ocelot), ["n2:8001*1"], "Ocelot drops a service without an address");
    assert!(ocelot.warnings[0].contains("\"a\" at \":8000\""), "{ocelot:?}");
}

#[test]
fn tags_and_metadata_filter() {
    let tagged = settings::Consul { tags: vec!["v1".into(), "v2".into()], ..PLAIN };
    assert_eq!(hosts(&found(TWO, &tagged, false)), ["10.1.0.2:8001*1"]);
    let zoned = settings::Consul { metadata: vec![("zone".into(), "a".into())], ..PLAIN };
    assert_eq!(hosts(&found(TWO, &zoned, false)), ["10.1.0.1:8000*10"]);
}

#[test]
fn odd_entries_are_left_out_with_a_warning_and_the_rest_is_used() {
    let odd = r#"[{"Service":{"ID":"a","Address":"http://x","Port":1}}, {"Service":{"ID":"b","Address":"x","Port":0}},
        {"Service":{"ID":"c","Address":"x","Port":"8"}}, 7, {}, {"Service":{"ID":"d","Address":"ok","Port":8}},
        {"Service":{"ID":"e\n","Address":"a b","Port":1}}]"#;
    let found = found(odd, &PLAIN, false);
    assert_eq!(hosts(&found), ["ok:8*1"]);
    assert_eq!(found.warnings.len(), 6, "{:?}", found.warnings);
    assert!(found.warnings.iter().all(|w| !w.contains('\n')));
}

#[test]
fn a_thousand_odd_entries_are_not_a_thousand_lines() {
    let many = format!("[{}1]", "1,".repeat(999));
    let found = found(&many, &PLAIN, false);
    assert_eq!(found.warnings.len(), MAX_WARNINGS + 1);
    assert_eq!(found.warnings[MAX_WARNINGS], "992 more instances like these");
}

#[test]
fn what_is_no_list_is_an_error() {
    let rules = ParseOptions { consul: &PLAIN, ocelot: false };
    assert!(read(b"{}", &[], rules).is_err() && read(b"", &[], rules).is_err() && nodes(b"no").is_err());
}

proptest! {
    #[test]
    fn whatever_comes_is_a_result_and_instances_can_be_dialled(
        address in ".{0,20}", port in any::<i64>(), junk in proptest::collection::vec(any::<u8>(), 0..200), ocelot: bool,
    ) {
        let rules = ParseOptions { consul: &PLAIN, ocelot };
        let _ = read(&junk, &[], rules);
        let entry = serde_json::json!([{ "Service": { "Address": address, "Port": port } }]).to_string();
        for instance in read(entry.as_bytes(), &[], rules).unwrap().instances {
            prop_assert!(instance.port > 0 && validate::is_valid_host(&instance.host).is_some());
        }
    }
}
