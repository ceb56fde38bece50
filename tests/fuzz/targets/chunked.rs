//! A chunked body: decoded in one piece and byte by byte, it must come to the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use margay::{
    pipeline::body::Framing,
    net::h1::decode::{Decoded, Decoder},
};

fn decode(text: &[u8], step: usize) -> Option<Vec<u8>> {
    let mut decoder = Decoder::new(Framing::Chunked, (64 * 1024, 128));
    let (mut body, mut at, mut seen) = (Vec::new(), 0, 0);
    loop {
        match decoder.decode(&text[at..seen]).ok()? {
            Decoded::Data(n) => {
                body.extend_from_slice(&text[at..at + n]);
                decoder.advance(n);
                at += n;
            }
            Decoded::Skip(n) => at += n,
            Decoded::More if seen == text.len() => return None,
            Decoded::More => seen = (seen + step).min(text.len()),
            Decoded::End => return Some(body),
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    assert_eq!(decode(bytes, usize::MAX >> 1), decode(bytes, 1));
});
