//! Responses of SignalR servers to negotiations: the tag is inserted into a text, and the JSON stays JSON.
#![no_main]

use libfuzzer_sys::fuzz_target;
use margay::backend::affinity::tag_position;

fuzz_target!(|bytes: &[u8]| {
    let Some(at) = tag_position(bytes) else { return };
    let tagged = [&bytes[..at], b"~tag", &bytes[at..]].concat();
    let before: serde_json::Value = serde_json::from_slice(bytes).expect("a negotiation is JSON");
    let after: serde_json::Value = serde_json::from_slice(&tagged).expect("the tag changes one text");
    for name in ["connectionToken", "connectionId"] {
        if before[name] != after[name] {
            let (old, new) = (before[name].as_str().unwrap_or("?"), after[name].as_str());
            assert_eq!(new, Some(&*format!("{old}~tag")));
        }
    }
});
