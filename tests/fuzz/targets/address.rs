//! Addresses of documents and registries: URLs, IP ranges, Unix domain sockets.
#![no_main]

use libfuzzer_sys::fuzz_target;
use margay::{
    base::{ip_set::IpRange, url::HttpUrl},
    net::unix_address::UnixAddress,
};

fuzz_target!(|text: &str| {
    if let Ok(url) = HttpUrl::parse(text) {
        assert!(!url.host.is_empty() && !url.target.is_empty());
    }
    let _ = IpRange::parse(text);
    assert!(UnixAddress::parse(text, None).is_none() || UnixAddress::has_unix_scheme(text));
});
