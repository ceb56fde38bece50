//! Selections of stored responses, for purges and for inspection.

use super::entry::Entry;

/// A selection of stored responses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purge {
    Url(Vec<u8>),
    Prefix(Vec<u8>),
    Tag(Vec<u8>),
    Region(Vec<u8>),
    All,
}

impl Purge {
    /// Whether it selects a stored response.
    pub fn matches(&self, entry: &Entry) -> bool {
        let metadata = &entry.metadata;
        self.selects(&metadata.url, metadata.region.as_bytes(), metadata.tags())
    }

    /// Whether it selects a response of this URL, with these tags.
    pub fn selects<'t>(&self, url: &[u8], region: &[u8], mut tags: impl Iterator<Item = &'t [u8]>) -> bool {
        match self {
            Purge::Url(selected) => url == &selected[..],
            Purge::Prefix(prefix) => url.starts_with(prefix),
            Purge::Tag(tag) => tags.any(|existing| existing == &tag[..]),
            Purge::Region(selected) => region == &selected[..],
            Purge::All => true,
        }
    }
}
