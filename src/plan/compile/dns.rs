//! How names are resolved.

use super::ranges::Ranges;
use crate::config::document::DnsDocument;
use crate::config::{Diagnostics, Spanned, codes};
use crate::plan::check::items;
use crate::wire::dns::DnsSettings;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// The settings of the section, or the usual ones.
pub fn dns(written: Option<&Spanned<DnsDocument>>, out: &mut Diagnostics) -> DnsSettings {
    let usual = DnsSettings::default();
    let Some(written) = written else { return usual };
    let servers = items(&written.servers).iter().filter_map(|server| address(server, out)).collect();
    let mut read = Ranges::of("Dns", out);
    let settings = DnsSettings {
        servers,
        least: read.time("MinTtl", &written.min_ttl, usual.least, SECOND, 3_600 * SECOND),
        most: read.time("MaxTtl", &written.max_ttl, usual.most, SECOND, 86_400 * SECOND),
        timeout: read.time("Timeout", &written.timeout, usual.timeout, SECOND / 10, 30 * SECOND),
    };
    if settings.least > settings.most {
        let span = written.min_ttl.as_ref().map_or(written.span, |least| least.span);
        out.error(codes::LIMIT_RANGE, span, "Dns.MinTtl is longer than Dns.MaxTtl")
            .help("set MaxTtl, too, or leave MinTtl out");
    }
    settings
}

fn address(text: &Spanned<String>, out: &mut Diagnostics) -> Option<SocketAddr> {
    let bare = text.trim();
    let alone = bare.parse::<IpAddr>().ok().map(|address| SocketAddr::new(address, 53));
    let found = alone.or_else(|| bare.parse().ok()).filter(|address| address.port() > 0);
    if found.is_none() {
        out.error(codes::BAD_ADDRESS, text.span, format!("\"{}\" is no address of a DNS server", text.value))
            .help("write it like 10.0.0.2, 10.0.0.2:5353 or [fd00::2]:53; a name cannot be resolved without a server");
    }
    found
}
