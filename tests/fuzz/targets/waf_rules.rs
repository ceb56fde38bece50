//! Rule files of the firewall: no text panics, and every expression that is accepted can be matched.
#![no_main]

use libfuzzer_sys::fuzz_target;
use margay::waf::language::parser::RuleText;
use margay::waf::library::Library;

fuzz_target!(|data: &str| {
    let mut rules = RuleText::default();
    if rules.add("fuzz.conf", data, &|_| Ok(b"word\nother word".to_vec())).is_ok() {
        drop(Library::new(rules));
    }
});
