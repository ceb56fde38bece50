//! Queries of callbacks and sign-ins: a return URL that is accepted stays on the site in every browser.
#![no_main]

use libfuzzer_sys::fuzz_target;
use margay::stages::authentication::session::return_url::{count_parameter, is_local, query_parameter};

fuzz_target!(|query: &str| {
    for name in ["state", "code", "iss", "error", "returnUrl"] {
        let value = query_parameter(query, name);
        assert!(value.is_none() || count_parameter(query, name) > 0);
        let Some(value) = value.filter(|value| is_local(value, "/bff")) else { continue };
        assert!(value.starts_with('/') && !value.starts_with("//") && !value.starts_with("/\\"));
        assert!(value.bytes().all(|byte| (0x21..0x7f).contains(&byte)));
    }
});
