//! The ClientHello of a connection: any bytes, cut anywhere, have the same outcome.
#![no_main]

use libfuzzer_sys::fuzz_target;
use margay::net::client_hello::{HelloParser, parse};

fuzz_target!(|data: &[u8]| {
    let Some((first, bytes)) = data.split_first() else { return };
    let step = usize::from(*first) + 1;
    let mut parser = HelloParser::default();
    let in_pieces = bytes.chunks(step).find_map(|piece| parser.push(piece));
    assert_eq!(in_pieces, parse(bytes));
});
