//! The differences in routing between Ocelot's exact behavior and ours.

/// How the table interprets requests. `Default` is ours; `RoutingRules::ocelot()` is Ocelot's exact behavior.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RoutingRules {
    /// `UpstreamHost` is case-sensitive, and compared with the Host header up to its first `:` (so no IPv6 literals).
    pub ocelot_host_matching: bool,
    /// A path value ends at an `&` (docs/ocelot-behavior.md, section 6.4); in ours `&` has no meaning in a path.
    pub ocelot_value_extraction: bool,
}

impl RoutingRules {
    /// Ocelot's exact behavior.
    pub fn ocelot() -> RoutingRules {
        RoutingRules { ocelot_host_matching: true, ocelot_value_extraction: true }
    }

    /// Whether two host names are equal.
    pub(super) fn same_host(&self, a: &str, b: &str) -> bool {
        super::escape::eq_maybe_ignore_case(a.as_bytes(), b.as_bytes(), !self.ocelot_host_matching)
    }

    /// The part of the Host header that is compared with `UpstreamHost`.
    pub fn host<'h>(&self, header: &'h [u8]) -> &'h [u8] {
        let from = match header.iter().position(|b| *b == b']') {
            Some(bracket) if !self.ocelot_host_matching && header.starts_with(b"[") => bracket,
            _ => 0,
        };
        let colon = header[from..].iter().position(|b| *b == b':');
        &header[..colon.map_or(header.len(), |at| from + at)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_not_part_of_the_host() {
        let (ours, ocelot) = (RoutingRules::default(), RoutingRules::ocelot());
        assert_eq!(ours.host(b"a.example:8080"), b"a.example");
        assert_eq!(ocelot.host(b"a.example:8080"), b"a.example");
        assert_eq!(ours.host(b"[::1]:80"), b"[::1]");
        assert_eq!(ours.host(b"[::1]"), b"[::1]");
        assert_eq!(ocelot.host(b"[::1]:80"), b"[");
        assert_eq!(ours.host(b""), b"");
    }
}
