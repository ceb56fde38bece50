//! A request head: whole, and as far as it came.
#![no_main]

use libfuzzer_sys::fuzz_target;
use margay::{
    pipeline::head::Head,
    net::h1::parse::{HeadLimits, head_end, check_incomplete, request},
};

const LIMITS: HeadLimits = HeadLimits { parse_request_line: 16 * 1024, parse_fields: 64 * 1024, count: 128 };

fuzz_target!(|bytes: &[u8]| {
    let mut head = Head::default();
    match head_end(bytes, &mut 0) {
        Some(end) => drop(request(&bytes[..end], &mut head, &LIMITS)),
        None => drop(check_incomplete(bytes, &LIMITS)),
    }
});
