//! Expressions of policies: compiled and evaluated without a context, within the bound on steps.
#![no_main]

use libfuzzer_sys::fuzz_target;
use margay::base::expr::{Expression, NoContext, to_json};

fuzz_target!(|text: &str| {
    let Ok(expression) = Expression::compile(text) else { return };
    if let Ok(value) = expression.evaluate(&NoContext) {
        let _ = to_json(&value);
    }
});
