//! A filter of the data plane: its text has the same meaning again, whatever is left in the memory of evaluations.
#![no_main]

use libfuzzer_sys::fuzz_target;
use margay::realtime::filter::{Filter, FilterSubject};
use std::sync::Arc;

fuzz_target!(|input: (&str, Option<&str>, &str)| {
    let (text, user_id, group) = input;
    let Ok(filter) = Filter::parse(text) else { return };
    let groups: [Arc<str>; 1] = [group.into()];
    let subject = FilterSubject { connection_id: "c", user_id, groups: &groups };
    let mut scratch = String::new();
    let first = filter.matches(&subject, &mut scratch);
    assert_eq!(filter.matches(&subject, &mut scratch), first);
    assert_eq!(Filter::parse(filter.text()).as_ref(), Ok(&filter));
});
