//! A whole transaction with the built-in rules: no request panics, and the verdict does not depend on the mode.
#![no_main]

use libfuzzer_sys::fuzz_target;
use margay::waf::base_rules;
use margay::waf::language::parser::RuleText;
use margay::waf::library::Library;
use margay::waf::policy::compiled::{Policy, PolicySettings};
use margay::waf::request::head::RequestHead;
use margay::waf::transaction::run::Transaction;
use std::sync::{Arc, OnceLock};

fn policy() -> Arc<Policy> {
    static POLICY: OnceLock<Arc<Policy>> = OnceLock::new();
    let build = || {
        let mut rules = RuleText::default();
        base_rules::add_to(&mut rules).expect("valid rules");
        Arc::new(Policy::new(Arc::new(Library::new(rules)), PolicySettings::default()))
    };
    POLICY.get_or_init(build).clone()
}

fuzz_target!(|data: &[u8]| {
    let mut parts = data.splitn(3, |byte| *byte == b'\n');
    let (target, cookie, agent) = (parts.next(), parts.next(), parts.next());
    let headers = [(&b"Cookie"[..], cookie.unwrap_or_default()), (&b"User-Agent"[..], agent.unwrap_or_default())];
    let head = RequestHead {
        method: b"GET",
        target: target.unwrap_or_default(),
        protocol: b"HTTP/1.1",
        headers: &headers,
        remote_address: [127, 0, 0, 1].into(),
        id: b"1",
    };
    let verdict = |is_detection| {
        let mut transaction = Transaction::new(policy(), &head, is_detection);
        transaction.run_head();
        transaction.run_body();
        transaction.denial().map(|denial| denial.rule)
    };
    assert_eq!(verdict(false), verdict(true));
});
