//! `Accept-Encoding`: for any value, the chosen coding was offered, and splitting it into two lines has the same result.
#![no_main]

use libfuzzer_sys::fuzz_target;
use margay::{base::content_coding::ContentCoding, stages::compression::accept_encoding::negotiate};

fuzz_target!(|lines: (&[u8], &[u8])| {
    let offered = [ContentCoding::Gzip, ContentCoding::Brotli];
    let two = negotiate([lines.0, lines.1].into_iter(), &offered);
    let one = negotiate([&[lines.0, b",", lines.1].concat()[..]].into_iter(), &offered);
    assert_eq!(one, two);
    assert!(two.best.is_none_or(|coding| offered.contains(&coding)));
});
