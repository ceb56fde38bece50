//! A response head.
#![no_main]

use libfuzzer_sys::fuzz_target;
use margay::{
    pipeline::head::Head,
    net::h1::parse::{HeadLimits, head_end, response},
};

const LIMITS: HeadLimits = HeadLimits { max_line_bytes: 16 * 1024, max_fields_bytes: 64 * 1024, max_fields: 128 };

fuzz_target!(|bytes: &[u8]| {
    if let Some(end) = head_end(bytes, &mut 0) {
        let _ = response(&bytes[..end], &mut Head::default(), &LIMITS, false);
    }
});
