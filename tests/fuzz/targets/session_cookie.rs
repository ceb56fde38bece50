//! The cookies of sign-in sessions: joined, opened, removed from the request.
#![no_main]

use libfuzzer_sys::fuzz_target;
use margay::{
    pipeline::head::Head,
    stages::authentication::session::{
        cookies::{self, CookieText},
        seal::Sealer,
    },
};

fuzz_target!(|data: &[u8]| {
    let mut head = Head::request(b"GET", b"/");
    head.append(b"Cookie", data);
    let sealer = Sealer::new([&b"a key of thirty-two bytes or more"[..]].into_iter());
    if let CookieText::Complete(text) = cookies::read(&head, "__Host-session") {
        assert!(text.len() <= data.len());
        assert!(sealer.open("session of web", &text).is_none(), "the key is secret");
    }
    cookies::strip(&mut head, "__Host-session");
    assert_eq!(cookies::read(&head, "__Host-session"), CookieText::Absent);
});
