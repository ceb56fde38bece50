//! Request headers that stages read: cookies, and the timeout of gRPC.
#![no_main]

use libfuzzer_sys::fuzz_target;
use margay::pipeline::{cookies::cookie_value, grpc, head::Head};

fuzz_target!(|data: (&str, &[u8])| {
    let (name, line) = data;
    let mut head = Head::request(b"GET", b"/");
    head.append(b"Cookie", line);
    assert!(cookie_value(&head, name).is_none_or(|value| value.len() <= line.len()));
    let _ = grpc::timeout(line);
});
