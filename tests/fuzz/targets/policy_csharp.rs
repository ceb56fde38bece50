//! C# of policy documents: what is translated is an expression in parentheses.
#![no_main]

use libfuzzer_sys::fuzz_target;
use margay::{base::expr::Expression, stages::statements::csharp::translate};

fuzz_target!(|text: &str| {
    if let Ok(cel) = translate(text) {
        let source = cel.strip_prefix("@(").and_then(|rest| rest.strip_suffix(')'));
        let _ = Expression::compile(source.expect("an expression"));
    }
});
