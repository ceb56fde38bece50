//! How names are resolved.

use crate::config::ranges::RangeChecker;
use crate::config::{Diagnostics, Spanned, codes};
use crate::net::dns::DnsSettings;
use crate::plan::check::items;
use crate::plan::document::DnsDocument;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// The settings of the section, or the usual ones.
pub fn dns(document: Option<&Spanned<DnsDocument>>, diagnostics: &mut Diagnostics) -> DnsSettings {
    let usual = DnsSettings::default();
    let Some(written) = document else { return usual };
    let servers = items(&written.servers).iter().filter_map(|server| address(server, diagnostics)).collect();
    let mut read = RangeChecker::for_section("Dns", diagnostics);
    let settings = DnsSettings {
        servers,
        min_ttl: read.time("MinTtl", &written.min_ttl, usual.min_ttl, SECOND, 3_600 * SECOND),
        max_ttl: read.time("MaxTtl", &written.max_ttl, usual.max_ttl, SECOND, 86_400 * SECOND),
        timeout: read.time("Timeout", &written.timeout, usual.timeout, SECOND / 10, 30 * SECOND),
    };
    if settings.min_ttl > settings.max_ttl {
        let span = written.min_ttl.as_ref().map_or(written.span, |least| least.span);
        diagnostics
            .error(codes::LIMIT_RANGE, span, "Dns.MinTtl is longer than Dns.MaxTtl")
            .help("set MaxTtl, too, or leave MinTtl out");
    }
    settings
}

fn address(text: &Spanned<String>, diagnostics: &mut Diagnostics) -> Option<SocketAddr> {
    let bare = text.trim();
    let alone = bare.parse::<IpAddr>().ok().map(|address| SocketAddr::new(address, 53));
    let found = alone.or_else(|| bare.parse().ok()).filter(|address| address.port() > 0);
    if found.is_none() {
        diagnostics.error(codes::BAD_ADDRESS, text.span, format!("\"{}\" is no address of a DNS server", text.value))
            .help("write it like 10.0.0.2, 10.0.0.2:5353 or [fd00::2]:53; a name cannot be resolved without a server");
    }
    found
}
