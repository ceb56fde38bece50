//! Which trailer fields of a request are forwarded.

use super::{
    field_names::{FieldNames, with_dashes},
    head::{Head, KnownHeader},
};

/// Which trailer fields of one request are forwarded.
#[derive(Debug)]
pub struct TrailerFilter {
    /// Names that routes write, with dashes.
    pub route_fields: FieldNames,
    /// `None`: all that the gateway neither writes nor removes.
    pub announced: Option<FieldNames>,
}

impl TrailerFilter {
    fn allows(&self, name: &[u8]) -> bool {
        let plain = with_dashes(name);
        let is_announced =
            self.announced.as_ref().is_none_or(|names| names.contains(&name.to_ascii_lowercase()));
        is_announced && KnownHeader::of(&plain) == KnownHeader::Other && !self.route_fields.contains(&plain)
    }
}

/// Removes the trailer fields that are not forwarded, all of them without a filter, and returns their number.
pub fn filter_trailers(filter: Option<&TrailerFilter>, trailers: &mut Head) -> u64 {
    let before = trailers.len();
    trailers.remove_if(|_, name| !filter.is_some_and(|filter| filter.allows(name)));
    (before - trailers.len()) as u64
}
