//! A request head: whole, and as far as it came.
#![no_main]

use libfuzzer_sys::fuzz_target;
use margay::{
    pipeline::head::Head,
    net::h1::{
        incomplete::check_incomplete,
        parse::{HeadLimits, head_end, request},
    },
};

const LIMITS: HeadLimits = HeadLimits { max_line_bytes: 16 * 1024, max_fields_bytes: 64 * 1024, max_fields: 128 };

fuzz_target!(|bytes: &[u8]| {
    let mut head = Head::default();
    match head_end(bytes, &mut 0) {
        Some(end) => drop(request(&bytes[..end], &mut head, &LIMITS, true)),
        None => drop(check_incomplete(bytes, 0, &LIMITS)),
    }
});
