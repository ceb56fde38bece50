//! `Dns` → the settings of the resolver.

use crate::config::ranges::RangeChecker;
use crate::config::{Diagnostics, Spanned, codes};
use crate::net::dns::DnsSettings;
use crate::plan::check::items;
use crate::plan::document::DnsDocument;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// The settings of the section, or the defaults.
pub fn dns(document: Option<&Spanned<DnsDocument>>, diagnostics: &mut Diagnostics) -> DnsSettings {
    let defaults = DnsSettings::default();
    let Some(document) = document else { return defaults };
    let servers = items(&document.servers).iter().filter_map(|server| address(server, diagnostics)).collect();
    let mut read = RangeChecker::for_section("Dns", diagnostics);
    let settings = DnsSettings {
        servers,
        min_ttl: read.time("MinTtl", &document.min_ttl, defaults.min_ttl, SECOND, 3_600 * SECOND),
        max_ttl: read.time("MaxTtl", &document.max_ttl, defaults.max_ttl, SECOND, 86_400 * SECOND),
        timeout: read.time("Timeout", &document.timeout, defaults.timeout, SECOND / 10, 30 * SECOND),
    };
    if settings.min_ttl > settings.max_ttl {
        let span = document.min_ttl.as_ref().map_or(document.span, |min| min.span);
        diagnostics
            .error(codes::LIMIT_RANGE, span, "Dns.MinTtl is longer than Dns.MaxTtl")
            .help("set MaxTtl too, or remove MinTtl");
    }
    settings
}

fn address(text: &Spanned<String>, diagnostics: &mut Diagnostics) -> Option<SocketAddr> {
    let bare = text.trim();
    let alone = bare.parse::<IpAddr>().ok().map(|address| SocketAddr::new(address, 53));
    let found = alone.or_else(|| bare.parse().ok()).filter(|address| address.port() > 0);
    if found.is_none() {
        diagnostics.error(codes::BAD_ADDRESS, text.span, format!("invalid address of a DNS server \"{}\"", text.value))
            .help("expected an address such as 10.0.0.2, 10.0.0.2:5353 or [fd00::2]:53; a name cannot be resolved without a server");
    }
    found
}
