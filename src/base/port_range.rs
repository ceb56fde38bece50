//! Ranges of ports, as written in settings.

use std::fmt;

/// The ports from `first` to `last`, both included; at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PortRange {
    pub first: u16,
    pub last: u16,
}

impl PortRange {
    /// Parses `8995-8999` or `8995`; `None` if the text is invalid, a port is 0, or the first is above the last.
    pub fn parse(text: &str) -> Option<PortRange> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let port = |text: &str| {
            let digits = text.trim();
            digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse::<u16>().ok())?
        };
        let (first, last) = (port(first)?, port(last)?);
        (first > 0 && first <= last).then_some(PortRange { first, last })
    }

    /// The range of one port.
    pub fn single(port: u16) -> PortRange {
        PortRange { first: port, last: port }
    }

    /// The number of ports.
    pub fn len(&self) -> usize {
        usize::from(self.last - self.first) + 1
    }

    /// Never: a range has at least one port.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// The ports in ascending order.
    pub fn ports(&self) -> impl Iterator<Item = u16> + use<> {
        self.first..=self.last
    }

    /// Whether a port is in the range.
    pub fn contains(&self, port: u16) -> bool {
        (self.first..=self.last).contains(&port)
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        if self.first == self.last {
            write!(f, "{}", self.first)
        } else {
            write!(f, "{}-{}", self.first, self.last)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_has_two_ports_in_order_or_one() {
        assert_eq!(PortRange::parse("8995-8999"), Some(PortRange { first: 8995, last: 8999 }));
        assert_eq!(PortRange::parse(" 80 ").map(|range| range.to_string()).as_deref(), Some("80"));
        assert_eq!(PortRange::parse("1 - 65535").map(|range| range.len()), Some(65_535));
        for text in ["", "0", "9-8", "1-65536", "-5", "a", "1-2-3", "*", "+5"] {
            assert_eq!(PortRange::parse(text), None, "{text}");
        }
    }
}
