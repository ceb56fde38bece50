//! Templates: of routes, and of aggregates.
#![no_main]

use libfuzzer_sys::fuzz_target;
use margay::plan::{
    aggregate::template::{Escaping, Template as AggregateTemplate},
    routing::{RoutingRules, Target, Template},
};

fuzz_target!(|data: (&str, &[u8])| {
    let (text, target) = data;
    let _ = AggregateTemplate::compile(text, Escaping::Json);
    let template = Template::compile(text, false, &RoutingRules::default());
    if let (Ok(template), Ok(target)) = (template, Target::normalize(target, false)) {
        let _ = template.matches(&target);
    }
});
