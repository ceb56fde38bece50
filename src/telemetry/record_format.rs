//! Texts of times, durations, addresses and untrusted bytes in the access log.

use crate::base::date::civil_from_days;
use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Milliseconds with three decimals.
pub(super) struct Millis(pub(super) Duration);

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let us = self.0.as_micros();
        write!(f, "{}.{:03}", us / 1000, us % 1000)
    }
}

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// The time in the combined format, in UTC.
pub(super) struct CombinedTime(pub(super) SystemTime);

impl fmt::Display for CombinedTime {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let since = self.0.duration_since(UNIX_EPOCH).unwrap_or_default();
        let (year, month, day) = civil_from_days(since.as_secs() / 86_400);
        let (h, m, s) = time_of_day(since.as_secs());
        let month = MONTHS.get((month as usize).wrapping_sub(1)).unwrap_or(&"Jan");
        write!(f, "{day:02}/{month}/{year:04}:{h:02}:{m:02}:{s:02} +0000")
    }
}

fn time_of_day(secs: u64) -> (u64, u64, u64) {
    let secs = secs % 86_400;
    (secs / 3600, secs / 60 % 60, secs % 60)
}

/// Bytes of a request between quotes: quotes, backslashes, control characters and bytes outside of ASCII as `\xHH`.
pub(super) struct CombinedText<'a>(pub(super) &'a [u8]);

impl fmt::Display for CombinedText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        for byte in self.0 {
            match byte {
                b'"' | b'\\' | 0..=0x1f | 0x7f..=0xff => write!(f, "\\x{byte:02X}")?,
                byte => fmt::Write::write_char(f, char::from(*byte))?,
            }
        }
        Ok(())
    }
}

/// How client addresses are logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientAddressPolicy {
    #[default]
    Log,
    /// The network only: /24 of IPv4, /48 of IPv6.
    Truncate,
    Omit,
}

impl ClientAddressPolicy {
    /// The address as it is recorded; `None` if it is not.
    pub fn text(self, address: IpAddr) -> Option<String> {
        (self != ClientAddressPolicy::Omit).then(|| ClientAddressText(address, self).to_string())
    }
}

/// A client address as its policy has it.
pub(super) struct ClientAddressText(pub(super) IpAddr, pub(super) ClientAddressPolicy);

impl fmt::Display for ClientAddressText {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match (self.1, self.0) {
            (ClientAddressPolicy::Log, address) => address.fmt(f),
            (ClientAddressPolicy::Omit, _) => f.write_str("-"),
            (ClientAddressPolicy::Truncate, IpAddr::V4(address)) => {
                Ipv4Addr::from_bits(address.to_bits() & !0xff).fmt(f)
            }
            (ClientAddressPolicy::Truncate, IpAddr::V6(address)) => {
                Ipv6Addr::from_bits(address.to_bits() >> 80 << 80).fmt(f)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_combined_format_has_the_name_of_the_month() {
        let time = UNIX_EPOCH + Duration::from_secs(951_782_400);
        assert_eq!(CombinedTime(time).to_string(), "29/Feb/2000:00:00:00 +0000");
    }

    #[test]
    fn a_truncated_address_is_its_network() {
        let text = |address: &str| {
            ClientAddressText(address.parse().unwrap(), ClientAddressPolicy::Truncate).to_string()
        };
        assert_eq!(
            (text("192.0.2.77"), text("2001:db8:1:2:3::4")),
            ("192.0.2.0".into(), "2001:db8:1::".into())
        );
    }
}
