//! The part of a client address that limits count by.

use std::net::{IpAddr, Ipv6Addr};

/// A client address as limits count it: an IPv4 address, or the first 64 bits of an IPv6 address, because a subscriber
/// gets a /64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientPrefix(IpAddr);

impl ClientPrefix {
    /// The address of an IPv4 client, or the first address of the /64 of an IPv6 client.
    pub fn address(self) -> IpAddr {
        self.0
    }
}

impl From<IpAddr> for ClientPrefix {
    fn from(address: IpAddr) -> ClientPrefix {
        ClientPrefix(match address.to_canonical() {
            IpAddr::V4(v4) => IpAddr::V4(v4),
            IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(text: &str) -> ClientPrefix {
        text.parse::<IpAddr>().unwrap().into()
    }

    #[test]
    fn addresses_of_one_ipv6_subscriber_are_one_client() {
        assert_eq!(prefix("2001:db8:1:2::1"), prefix("2001:db8:1:2:ffff:ffff:ffff:ffff"));
        assert_ne!(prefix("2001:db8:1:2::1"), prefix("2001:db8:1:3::1"));
        assert_eq!(prefix("::ffff:10.0.0.1"), prefix("10.0.0.1"));
        assert_ne!(prefix("10.0.0.1"), prefix("10.0.0.2"));
    }
}
