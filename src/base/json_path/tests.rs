use super::*;
use proptest::prelude::*;
use serde_json::json;

fn find(path: &str, document: &Value) -> Vec<Value> {
    let path = JsonPath::parse(path).unwrap_or_else(|error| panic!("{path}: {error}"));
    path.find(document).unwrap().into_iter().cloned().collect()
}

#[test]
fn paths_of_ocelot_users_select_what_json_net_selects() {
    let list = json!([{"id": 1, "user": {"id": 7}}, {"id": 2}, {"name": "x"}]);
    assert_eq!(find("$[*].id", &list), [json!(1), json!(2)]);
    assert_eq!(find("$[0].id", &list), [json!(1)]);
    assert_eq!(find("[1].id", &list), [json!(2)]);
    assert_eq!(find("$..id", &list), [json!(1), json!(7), json!(2)]);
    let object = json!({"id": "x", "items": [{"id": 5}, {"id": 6}, {"id": 5}], "a-b": {"c d": null}});
    assert_eq!(find("id", &object), [json!("x")]);
    assert_eq!(find("$", &object), std::slice::from_ref(&object));
    assert_eq!(find("$.items[*].id", &object), [json!(5), json!(6), json!(5)]);
    assert_eq!(find("$.a-b['c d']", &object), [json!(null)]);
    assert_eq!(find("$.none", &object), Vec::<Value>::new());
    assert_eq!(find("$.items.id", &object), Vec::<Value>::new());
    assert_eq!(find("$..id", &json!(true)), Vec::<Value>::new());
}

#[test]
fn items_belong_to_lists_and_members_to_objects() {
    let document = json!({"a": [1, 2], "b": {"x": 3}});
    assert_eq!(find("$.*", &document), [json!([1, 2]), json!({"x": 3})]);
    assert_eq!(find("$[*]", &document), Vec::<Value>::new());
    assert_eq!(find("$.a[*]", &document), [json!(1), json!(2)]);
    assert_eq!(find("$.a.*", &document), Vec::<Value>::new());
    assert_eq!(find("$..*", &document), [json!([1, 2]), json!(1), json!(2), json!({"x": 3}), json!(3)]);
}

#[test]
fn indexes_slices_and_unions_select() {
    let list = json!([0, 1, 2, 3, 4]);
    assert_eq!(find("$[-1]", &list), [json!(4)]);
    assert_eq!(find("$[0,2]", &list), [json!(0), json!(2)]);
    assert_eq!(find("$[1:3]", &list), [json!(1), json!(2)]);
    assert_eq!(find("$[:2]", &list), [json!(0), json!(1)]);
    assert_eq!(find("$[-2:]", &list), [json!(3), json!(4)]);
    assert_eq!(find("$[::2]", &list), [json!(0), json!(2), json!(4)]);
    assert_eq!(find("$[::-2]", &list), [json!(4), json!(2), json!(0)]);
    assert_eq!(find("$[9223372036854775807:]", &list), Vec::<Value>::new());
    assert_eq!(find("$[-9223372036854775808:9223372036854775807:9223372036854775807]", &list), [json!(0)]);
    assert_eq!(find("$['b', \"a\"]", &json!({"a": 1, "b": 2})), [json!(2), json!(1)]);
}

#[test]
fn conditions_select_items() {
    let shop = json!({"least": 5, "books": [
        {"id": 1, "price": 3, "kind": "novel"}, {"id": 2, "price": "8", "kind": "Essay"}, {"id": 3, "price": 12.5},
    ]});
    let ids = |condition: &str| find(&format!("$.books[?({condition})].id"), &shop);
    assert_eq!(ids("@.price > 5"), [json!(2), json!(3)]);
    assert_eq!(ids("@.price >= $.least && @.kind"), [json!(2)]);
    assert_eq!(ids("@.price == 8"), [json!(2)]);
    assert_eq!(ids("@.price === 8"), Vec::<Value>::new());
    assert_eq!(ids("@.kind != 'novel'"), [json!(2)]);
    assert_eq!(ids("!@.kind || @.kind == 'novel'"), [json!(1), json!(3)]);
    assert_eq!(ids("(@.id == 1 || @.id == 2) && @.kind =~ /^e/i"), [json!(2)]);
    assert_eq!(find("$.books[?@.id<2].price", &shop), [json!(3)]);
    assert_eq!(find("$..[?(@.id == 3)].price", &shop), [json!(12.5)]);
}

#[test]
fn a_path_to_one_value_is_singular() {
    for path in ["$", "$.a.b", "a", "$['a'][0]"] {
        assert!(JsonPath::parse(path).unwrap().is_singular(), "{path}");
    }
    for path in ["$[*]", "$.*", "$..a", "$[0,1]", "$[0:1]", "$[?(@.a)]"] {
        assert!(!JsonPath::parse(path).unwrap().is_singular(), "{path}");
    }
}

#[test]
fn errors_have_a_position() {
    for (path, column, what) in [
        ("", 1, "empty"),
        ("$.", 3, "a name"),
        ("$.a[", 5, "end of the expression"),
        ("$.a[1", 6, "expected ]"),
        ("$['a", 3, "quote"),
        ("$[::0]", 6, "step"),
        ("$ x", 3, "'x'"),
        ("$[?(@.a =~ /(/)]", 12, "regular expression"),
        ("$[?(1)]", 6, "')'"),
        ("$[99999999999999999999]", 3, "integer"),
    ] {
        let error = JsonPath::parse(path).unwrap_err();
        assert!(error.column == column && error.message.contains(what), "{path}: {error}");
    }
    assert!(JsonPath::parse(&format!("$[?{}@.a", "(".repeat(1000))).is_err());
    assert!(JsonPath::parse(&format!("$[?{}@.a]", "!".repeat(1000))).is_err());
}

#[test]
fn an_expression_that_needs_too_much_work_is_aborted() {
    let list = Value::Array((0..2000).map(|n| json!({"a": n})).collect());
    let path = JsonPath::parse("$[?(@.a == $..a)]").unwrap();
    assert_eq!(path.find(&list), Err(BudgetExceeded));
}

/// Every value of a document with its key, by plain recursion.
fn all<'v>(value: &'v Value, key: Option<&'v str>, found: &mut Vec<(Option<&'v str>, &'v Value)>) {
    found.push((key, value));
    match value {
        Value::Array(items) => items.iter().for_each(|item| all(item, None, found)),
        Value::Object(members) => members.iter().for_each(|(key, value)| all(value, Some(key), found)),
        _ => {}
    }
}

fn document() -> impl Strategy<Value = Value> {
    let leaf =
        prop_oneof![Just(json!(null)), any::<bool>().prop_map(Value::from), (0..9i64).prop_map(Value::from)];
    leaf.prop_recursive(4, 40, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            prop::collection::vec(("[abc]", inner), 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_text_is_an_expression_or_an_error(text in "[$@.\\[\\]()?*:,'\"a0=<>!&|~/\\\\ -]{0,24}", json in document()) {
        if let Ok(path) = JsonPath::parse(&text) {
            let found = path.find(&json).unwrap();
            prop_assert!(!path.is_singular() || found.len() <= 1);
        }
    }

    #[test]
    fn a_scan_finds_every_member_of_the_name_in_order(json in document()) {
        let mut every = Vec::new();
        all(&json, None, &mut every);
        let named: Vec<&Value> = every.iter().filter(|(key, _)| *key == Some("b")).map(|(_, value)| *value).collect();
        prop_assert_eq!(JsonPath::parse("$..b").unwrap().find(&json).unwrap(), named);
        let inner: Vec<&Value> = every[1..].iter().map(|(_, value)| *value).collect();
        prop_assert_eq!(JsonPath::parse("$..*").unwrap().find(&json).unwrap(), inner);
    }

    #[test]
    fn a_slice_selects_what_skip_and_step_by_select(len in 0usize..8, start in -9i64..9, end in -9i64..9, step in 1usize..4) {
        let list = Value::Array((0..len).map(|n| json!(n)).collect());
        let absolute = |at: i64| if at < 0 { len.saturating_sub(at.unsigned_abs() as usize) } else { at as usize };
        let want: Vec<Value> =
            (0..len).take(absolute(end)).skip(absolute(start)).step_by(step).map(|n| json!(n)).collect();
        prop_assert_eq!(find(&format!("$[{start}:{end}:{step}]"), &list), want);
    }
}
