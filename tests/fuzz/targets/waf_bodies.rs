//! Bodies: parts do not depend on how the body is split, and no body panics.
#![no_main]

use libfuzzer_sys::fuzz_target;
use margay::waf::bodies::reader::{BodyReader, BodySettings};
use margay::waf::request::head::RequestHead;
use margay::waf::request::parts::Request;

const TYPES: [&[u8]; 6] = [
    b"application/json",
    b"application/xml",
    b"application/x-www-form-urlencoded",
    b"multipart/form-data; boundary=b",
    b"text/plain",
    b"application/x-ndjson",
];

fn read(content_type: &[u8], pieces: &[&[u8]]) -> (usize, Vec<Vec<u8>>, Option<&'static str>) {
    let headers = [(&b"Content-Type"[..], content_type)];
    let mut request = Request::new(&RequestHead {
        method: b"POST",
        target: b"/",
        protocol: b"HTTP/1.1",
        headers: &headers,
        remote_address: [127, 0, 0, 1].into(),
        id: b"1",
    });
    let settings = BodySettings { inspect_limit: 1 << 20, is_guessing: true };
    let mut reader = BodyReader::new(&mut request, settings);
    pieces.iter().for_each(|piece| reader.push(piece, &mut request));
    reader.finish(&mut request);
    let values = request.values().iter().map(|value| request.bytes(value.value).to_vec()).collect();
    (request.argument_count, values, request.body_error)
}

fuzz_target!(|data: &[u8]| {
    let Some((selector, body)) = data.split_first() else { return };
    let content_type = TYPES[usize::from(*selector) % TYPES.len()];
    let whole = read(content_type, &[body]);
    let (start, end) = body.split_at(usize::from(*selector).min(body.len()));
    assert_eq!(whole, read(content_type, &[start, end]));
});
