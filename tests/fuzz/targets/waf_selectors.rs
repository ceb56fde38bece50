//! Selectors and path patterns of exclusions.
#![no_main]

use libfuzzer_sys::fuzz_target;
use margay::waf::bodies::json::push_path_key;
use margay::waf::language::targets;
use margay::waf::policy::exclusion::{JsonSelector, PathPattern};

fuzz_target!(|data: &str| {
    let (pattern, path) = data.split_once('\n').unwrap_or((data, ""));
    PathPattern::new(pattern).is_match(path.as_bytes());
    if let Some(selector) = JsonSelector::parse(pattern) {
        selector.is_match(path.as_bytes());
    }
    // The path of a member selects the member.
    let mut member = b"$".to_vec();
    push_path_key(&mut member, pattern.as_bytes());
    let text = String::from_utf8(member).expect("UTF-8");
    assert!(JsonSelector::parse(&text).is_some_and(|selector| selector.is_match(text.as_bytes())));
    drop(targets::parse(data));
});
