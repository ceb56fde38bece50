//! Expressions and their values.

use super::*;

fn value(source: &str) -> Value {
    let compiled = Expression::compile(source).unwrap_or_else(|error| panic!("{source}: {error:?}"));
    compiled.evaluate(&NoContext).unwrap_or_else(|error| panic!("{source}: {error}"))
}

fn json(source: &str) -> String {
    to_json(&value(source)).unwrap().to_string()
}

fn fails(source: &str) -> bool {
    Expression::compile(source).unwrap().evaluate(&NoContext).is_err()
}

#[track_caller]
fn check_values(cases: &[(&str, &str)]) {
    for (source, expected) in cases {
        assert_eq!(json(source), *expected, "{source}");
    }
}

#[test]
fn the_standard_library_has_the_values_of_the_specification() {
    check_values(&[
        ("1 + 2 * 3", "7"),
        ("[7 / 2, 7 % 2, -7 / 2, -7 % 2]", "[3,1,-3,-1]"),
        ("'straße x'.upper()", "\"STRASSE X\""),
        ("'abcb'.lastIndexOf('b')", "3"),
        ("'a,b,,c'.split(',')", r#"["a","b","","c"]"#),
        ("['abcdef'.substring(2), 'abcdef'.substring(1, 3)]", r#"["cdef","bc"]"#),
        ("concat('a', 1, true, null, 2.5, [1, 'b'])", "\"a1true2.51,b\""),
        ("coalesce(null, 'c', 1 / 0)", "\"c\""),
        ("[text(2.0), text(1.5), text({'a': 1})]", r#"["2","1.5","{\"a\":1}"]"#),
        ("[1, 2, 3].map(x, x * 2).filter(x, x > 2)", "[4,6]"),
        (
            "[[2, 4].all(x, x % 2 == 0), [1, 2, 2].exists_one(x, x == 2), [1].exists(x, x == 3)]",
            "[true,false,false]",
        ),
        ("cel.bind(x, 'ab', x + x)", "\"abab\""),
        ("'%s-%d %.2f %x%%'.format(['a', 3, 1.5, 255])", "\"a-3 1.50 ff%\""),
        (
            "[type(1) == int, type('a') == string, type([]) == list, math.sign(-3) == -1]",
            "[true,true,true,true]",
        ),
        ("{'a': {'b': 1}}.?a.?b.orValue(0) + {'a': 1}.?z.?b.orValue(2)", "3"),
        ("has({'a': 1}.a) && !has({'a': 1}.b)", "true"),
    ]);
}

#[test]
fn the_extensions_have_the_values_of_the_specification() {
    check_values(&[
        ("json.stringify({'b': [1.5, 'x', null], 'a': true})", r#""{\"b\":[1.5,\"x\",null],\"a\":true}""#),
        ("json.select({'items': [{'n': 1}, {'n': 2}]}, '$.items[*].n')", "[1,2]"),
        ("merge({'id': 'a', 'n': 1}, {'n': 9, 'z': null})", r#"{"id":"a","n":9,"z":null}"#),
        (
            "xml.parse('<o:a xmlns:o=\"u\"><o:b c=\"7\">1</o:b><o:b>2</o:b></o:a>').texts('//b')",
            r#"["1","2"]"#,
        ),
        ("xml.parse('<a><b c=\"7\"/></a>').text('a/b/@c')", "\"7\""),
        ("regex.groups('v12-x', 'v([0-9]+)')[1]", "\"12\""),
        ("regex.replace('a1b2', '[0-9]', '#')", "\"a#b#\""),
        ("hex.encode(hash.md5('abc'))", "\"900150983cd24fb0d6963f7d28e17f72\""),
        ("string(base64.decode(base64.encode('häl')))", "\"häl\""),
        ("text(timestamp('2024-02-29T23:59:30Z') + duration('45s'))", "\"2024-03-01T00:00:15Z\""),
        ("time.http(timestamp('2024-02-29T12:00:00Z'))", "\"Thu, 29 Feb 2024 12:00:00 GMT\""),
        ("[ip.in('10.1.2.3', '10.0.0.0/8'), ip.in('2001:db8::1', '2001:db8::/32')]", "[true,true]"),
        ("math.greatest(3, 7, 5)", "7"),
        ("'x=1;y=2'.split(';').filter(p, p.startsWith('y'))[0]", "\"y=2\""),
        ("false && 1 / 0 == 0", "false"),
        ("1 / 0 == 0 || true", "true"),
    ]);
}

#[test]
fn a_failing_evaluation_is_an_error() {
    for source in ["1 / 0", "int('x')", "{'a': 1}['b']", "'a' + 1", "null.a", "9223372036854775807 + 1"] {
        assert!(fails(source), "{source}");
    }
}

#[test]
fn an_expensive_expression_ends_with_an_error() {
    let nested = "lists.range(1000).map(a, lists.range(1000).map(b, a * b))";
    assert!(fails(nested));
    let long = format!("size('{}')", "x".repeat(MAX_EXPRESSION_BYTES));
    assert!(Expression::compile(&long).unwrap_err().message.contains("16384"));
}

#[test]
fn unknown_names_are_reported_with_the_known_ones() {
    let error = Expression::compile("lowerr('A')").unwrap_err();
    assert_eq!(error.unknown.as_ref().unwrap().0, "lowerr");
    let error = Expression::compile("context.Request.Methd").unwrap_err();
    assert!(error.unknown.unwrap().1.contains(&"Method"));
    assert!(Expression::compile("context.Subscription.PrimaryKey").is_err());
    let error = Expression::compile("context.Request.Method.StartsWith(\"G\")").unwrap_err();
    assert!(error.help.unwrap().contains("startsWith"));
}

#[test]
fn an_expression_names_what_it_reads() {
    let usage = Expression::compile("context.Request.Body.AsString() + 'x'").unwrap().usage();
    assert!(usage.request_body && !usage.response);
    assert!(Expression::compile("context.Response.StatusCode == 200").unwrap().usage().response);
}

#[test]
fn xml_and_json_are_converted_into_each_other() {
    let options = xml_json::ToXml::default();
    let document = value("{'a': {'b': 1, 'c': ['x', 'y'], 'd': null}}");
    let element = xml_json::value_to_xml(&document, &options);
    assert_eq!(xml::write_element(&element), "<a><b>1</b><c>x</c><c>y</c><d/></a>");
    let back = xml_json::xml_to_value(&element, xml_json::ToJson::default());
    assert_eq!(to_json(&back).unwrap().to_string(), r#"{"a":{"b":"1","c":["x","y"],"d":null}}"#);
    assert!(xml::parse("<!DOCTYPE a [<!ENTITY x \"boom\">]><a>&x;</a>").is_err());
}
