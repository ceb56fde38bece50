use super::*;
use proptest::prelude::*;

const LENIENT: ContractRules =
    ContractRules { forwards_timeout: false, drops_empty_parts: false, keeps_key_encoded: false };
const STRICT: ContractRules =
    ContractRules { forwards_timeout: true, drops_empty_parts: true, keeps_key_encoded: true };

fn rest(query: &str, rules: ContractRules) -> String {
    let mut rest = Vec::new();
    parse_query(query.as_bytes(), rules, &mut rest).unwrap();
    String::from_utf8(rest).unwrap()
}

fn parsed(query: &str) -> Result<ContractQuery<'_>, AddressError> {
    parse_query(query.as_bytes(), LENIENT, &mut Vec::new())
}

#[test]
fn the_parameters_of_the_contract_are_taken_out_and_the_others_stay() {
    for (query, lenient, strict) in [
        ("", "", ""),
        ("?", "", ""),
        ("?x=1&ListenerName=&y=2", "?x=1&y=2", "?x=1&y=2"),
        ("?Timeout=5&x", "?x", "?Timeout=5&x"),
        ("?Timeout=5", "", "?Timeout=5"),
        ("?&&x=1&", "?&&x=1&", "?x=1"),
        ("?a&b=&=c", "?a&b=&=c", "?a&b=&=c"),
        ("?partitionkey=3", "?partitionkey=3", "?partitionkey=3"),
        ("?b=c%20d&e=%26", "?b=c%20d&e=%26", "?b=c%20d&e=%26"),
        ("?filter[0]=x&y={z}", "?filter[0]=x&y={z}", "?filter[0]=x&y={z}"),
        ("?Timeout=1&Timeout=2&x", "?x", "?Timeout=1&Timeout=2&x"),
        ("?PartitionKey=abc&PartitionKind=Singleton", "", ""),
    ] {
        assert_eq!((rest(query, LENIENT), rest(query, STRICT)), (lenient.into(), strict.into()), "{query}");
    }
}

#[test]
fn values_are_read_with_regard_to_case() {
    let key = |query| parsed(query).map(|parsed| parsed.key);
    assert_eq!(key("?PartitionKind=Int64Range&PartitionKey=-08"), Ok(PartitionKey::Int64(-8)));
    assert_eq!(key("?PartitionKind=Named&PartitionKey=eu%20w"), Ok(PartitionKey::Named("eu w".into())));
    assert_eq!(key("?PartitionKey=3"), Ok(PartitionKey::None));
    assert_eq!(key("?PartitionKind=Singleton&PartitionKey=3"), Ok(PartitionKey::None));
    let last = "?PartitionKind=Named&PartitionKind=Int64Range&PartitionKey=x&PartitionKey=3";
    assert_eq!(key(last), Ok(PartitionKey::Int64(3)), "the last one counts");
    let timeout = |query| parsed(query).map(|parsed| parsed.timeout.map(|timeout| timeout.as_secs()));
    assert_eq!(
        [timeout("?Timeout=5"), timeout("?Timeout=0"), timeout("?Timeout=-3")],
        [Ok(Some(5)), Ok(None), Ok(None)]
    );
    assert_eq!(timeout("?Timeout=99999999999999999999999"), Ok(Some(i64::MAX.cast_unsigned())));
    let name = |query| parsed(query).map(|parsed| parsed.service);
    assert_eq!(name("?ServiceName=fabric%3A%2FA%2FS"), Ok(Some("A/S".into())));
    assert_eq!(parsed("?ListenerName=w%65b").map(|parsed| parsed.listener), Ok(Some("web".into())));
    assert!(parsed("?PartitionKind=Named").is_ok_and(|parsed| parsed.is_key_missing));
}

#[test]
fn bad_values_are_refused() {
    for query in [
        "?PartitionKind=int64range",
        "?PartitionKind=",
        "?PartitionKind=Int64Range",
        "?PartitionKind=Int64Range&PartitionKey=",
        "?PartitionKind=Int64Range&PartitionKey=+8",
        "?PartitionKind=Int64Range&PartitionKey=%208",
        "?PartitionKind=Int64Range&PartitionKey=9223372036854775808",
        "?Timeout=abc",
        "?Timeout=",
        "?Timeout=1.5",
        "?TargetReplicaSelector=Any",
        "?TargetReplicaSelector=",
    ] {
        assert!(matches!(parsed(query), Err(AddressError::BadValue(..))), "{query}");
    }
    for query in ["?ServiceName=", "?ServiceName=A/S", "?ServiceName=fabric:/"] {
        assert_eq!(parsed(query), Err(AddressError::NoName), "{query}");
    }
}

/// The model in words: split at `&`, drop the parts whose name is one of the six, join with `&`; no `?` before nothing.
fn model(query: &str) -> String {
    const OWN: [&str; 6] =
        ["PartitionKind", "PartitionKey", "ListenerName", "TargetReplicaSelector", "Timeout", "ServiceName"];
    let kept = query.split('&').filter(|part| !OWN.contains(&part.split('=').next().unwrap_or_default()));
    let kept = kept.collect::<Vec<_>>().join("&");
    if kept.is_empty() { kept } else { format!("?{kept}") }
}

proptest! {
    #[test]
    fn what_is_left_of_any_query_is_what_the_model_leaves(
        parts in proptest::collection::vec(
            prop_oneof!["[a-z=%2 &]{0,6}", "(ListenerName|PartitionKey|Timeout)=[0-9]{1,3}", "Timeout2=[a-z]?"], 0..6),
    ) {
        let query = parts.join("&").replace(' ', "+");
        prop_assert_eq!(rest(&format!("?{query}"), LENIENT), model(&query));
    }

    #[test]
    fn any_query_is_read_or_refused(query in proptest::collection::vec(any::<u8>(), 0..60)) {
        let _ = parse_query(&query, STRICT, &mut Vec::new());
    }
}
