//! Sets of IP addresses: single addresses, ranges and networks, as written in settings.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The addresses from `first` to `last`, both included, of one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IpRange {
    first: IpAddr,
    last: IpAddr,
}

impl IpRange {
    /// Parses `10.0.0.1`, `10.0.0.1-10.0.0.9`, `10.0.0.1-9`, `10.0.0.0/8`, `10.0.0.0/255.0.0.0`, and the same forms
    /// with IPv6 addresses except the short range. IPv4-mapped IPv6 addresses become IPv4 addresses. `None` if the text
    /// is invalid.
    pub fn parse(text: &str) -> Option<IpRange> {
        let range = Self::parse_range(text.trim())?;
        match (range.first.to_canonical(), range.last.to_canonical()) {
            (first @ IpAddr::V4(_), last @ IpAddr::V4(_)) => Some(IpRange { first, last }),
            _ => Some(range),
        }
    }

    fn parse_range(text: &str) -> Option<IpRange> {
        if let Some((address, mask)) = text.split_once('/') {
            return from_cidr(address.trim().parse().ok()?, mask.trim());
        }
        if let Some((first, last)) = text.split_once(['-', '\u{2013}']) {
            return from_bounds(first.trim(), last.trim());
        }
        let address = text.parse().ok()?;
        Some(IpRange { first: address, last: address })
    }

    /// Whether it contains all addresses of the other range.
    pub fn includes(&self, other: &IpRange) -> bool {
        self.contains(other.first) && self.contains(other.last)
    }

    /// The network of this range: its first address and the length of its prefix; `None` if it is no network.
    pub fn as_network(&self) -> Option<(IpAddr, u8)> {
        let (first, last, bits) = match (self.first, self.last) {
            (IpAddr::V4(first), IpAddr::V4(last)) => (first.to_bits().into(), last.to_bits().into(), 32),
            (IpAddr::V6(first), IpAddr::V6(last)) => (first.to_bits(), last.to_bits(), 128),
            _ => return None,
        };
        let host: u128 = first ^ last;
        let host_bits = 128 - host.leading_zeros();
        let is_network = host == u128::MAX.checked_shr(128 - host_bits).unwrap_or(0) && first & host == 0;
        is_network.then_some((self.first, (bits - host_bits) as u8))
    }

    /// Whether it contains an address.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.first.is_ipv4() == address.is_ipv4() && self.first <= address && address <= self.last
    }
}

fn from_bounds(first: &str, last: &str) -> Option<IpRange> {
    let begin: IpAddr = first.parse().ok()?;
    let end: IpAddr = match (first.rsplit_once('.'), last.contains(['.', ':'])) {
        (Some((prefix, _)), false) => format!("{prefix}.{last}").parse().ok()?,
        _ => last.parse().ok()?,
    };
    (begin.is_ipv4() == end.is_ipv4() && begin <= end).then_some(IpRange { first: begin, last: end })
}

fn from_cidr(address: IpAddr, mask: &str) -> Option<IpRange> {
    let bits = if address.is_ipv4() { 32 } else { 128 };
    let length = match mask.parse::<u32>() {
        Ok(length) => length,
        Err(_) => prefix_len(mask.parse().ok()?, bits)?,
    };
    if length > bits {
        return None;
    }
    Some(match address {
        IpAddr::V4(v4) => {
            let host = u32::MAX.checked_shr(length).unwrap_or(0);
            let first = u32::from(v4) & !host;
            IpRange { first: Ipv4Addr::from(first).into(), last: Ipv4Addr::from(first | host).into() }
        }
        IpAddr::V6(v6) => {
            let host = u128::MAX.checked_shr(length).unwrap_or(0);
            let first = u128::from(v6) & !host;
            IpRange { first: Ipv6Addr::from(first).into(), last: Ipv6Addr::from(first | host).into() }
        }
    })
}

/// The prefix length of a contiguous mask.
fn prefix_len(mask: IpAddr, bits: u32) -> Option<u32> {
    let value = match mask {
        IpAddr::V4(v4) if bits == 32 => u128::from(u32::from(v4)) << 96,
        IpAddr::V6(v6) if bits == 128 => u128::from(v6),
        _ => return None,
    };
    let length = value.leading_ones();
    (value.count_ones() == length).then_some(length)
}

/// A set of addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IpSet {
    /// Sorted by first address, IPv4 before IPv6, not overlapping.
    ranges: Vec<IpRange>,
}

impl IpSet {
    /// Whether it contains no address; as an allow list it then restricts nothing.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// The number of ranges after merging.
    pub fn len(&self) -> usize {
        self.ranges.len()
    }

    /// Whether the set contains the address; an IPv4-mapped IPv6 address counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let after = self.ranges.partition_point(|range| range.first <= address);
        after > 0 && self.ranges[after - 1].contains(address)
    }
}

impl FromIterator<IpRange> for IpSet {
    fn from_iter<I: IntoIterator<Item = IpRange>>(ranges: I) -> Self {
        let mut sorted: Vec<IpRange> = ranges.into_iter().collect();
        sorted.sort_by_key(|range| range.first);
        let mut merged: Vec<IpRange> = Vec::with_capacity(sorted.len());
        for range in sorted {
            match merged.last_mut() {
                Some(last) if last.contains(range.first) => last.last = last.last.max(range.last),
                _ => merged.push(range),
            }
        }
        IpSet { ranges: merged }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(entries: &[&str]) -> IpSet {
        entries.iter().filter_map(|text| IpRange::parse(text)).collect()
    }

    fn contains(entries: &[&str], address: &str) -> bool {
        set(entries).contains(address.parse().expect(address))
    }

    #[test]
    fn every_form_contains_its_addresses_and_no_others() {
        for (entry, inside, outside) in [
            ("10.0.0.1", "10.0.0.1", "10.0.0.2"),
            ("10.0.0.1-10.0.1.5", "10.0.1.5", "10.0.1.6"),
            ("192.168.1.30-50", "192.168.1.50", "192.168.1.51"),
            ("10.0.0.0/8", "10.255.255.255", "11.0.0.0"),
            ("127.0.0.0/255.0.0.0", "127.9.9.9", "128.0.0.0"),
            ("192.168.1.0/23", "192.168.0.7", "192.168.2.0"),
            ("0.0.0.0/0", "255.255.255.255", "::1"),
            ("::1", "::1", "::2"),
            ("fe80::/10", "fe80::1", "fec0::1"),
            ("::/0", "ffff::", "1.2.3.4"),
            ("fe80::1-fe80::9", "fe80::5", "fe80::a"),
        ] {
            assert!(contains(&[entry], inside), "{entry} contains {inside}");
            assert!(!contains(&[entry], outside), "{entry} does not contain {outside}");
        }
    }

    #[test]
    fn invalid_ranges_are_rejected() {
        for text in
            ["", "x", "1.2.3", "1.2.3.4/99", "1.2.3.4/255.0.255.0", "9.0.0.1-8.0.0.1", "::1-5", "1.1.1.1-::1"]
        {
            assert_eq!(IpRange::parse(text), None, "{text}");
        }
    }

    #[test]
    fn overlapping_entries_are_merged() {
        let set = set(&["10.0.0.5-9", "10.0.0.0/30", "10.0.0.2-6", "::1"]);
        assert_eq!(set.ranges.len(), 2);
        assert!(set.contains("10.0.0.7".parse().expect("address")));
    }

    #[test]
    fn a_mapped_address_is_an_ipv4_address() {
        assert!(contains(&["127.0.0.1"], "::ffff:127.0.0.1"));
    }
}
