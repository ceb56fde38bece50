//! Sets of field names.

use std::sync::Arc;

/// Lowercase names, sorted. Clones share their memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldNames(Arc<[Box<[u8]>]>);

impl FieldNames {
    /// The names as they are, in lowercase.
    pub fn new<'n>(names: impl Iterator<Item = &'n [u8]>) -> FieldNames {
        FieldNames::from_owned(names.map(<[u8]>::to_ascii_lowercase))
    }

    /// The names with `-` for `_`, in lowercase.
    pub fn with_dashes<'n>(names: impl Iterator<Item = &'n [u8]>) -> FieldNames {
        FieldNames::from_owned(names.map(with_dashes))
    }

    fn from_owned(names: impl Iterator<Item = Vec<u8>>) -> FieldNames {
        let mut all: Vec<Box<[u8]>> = names.map(Vec::into_boxed_slice).collect();
        all.sort_unstable();
        all.dedup();
        FieldNames(all.into())
    }

    /// Whether the set has this name, which is in lowercase.
    pub fn contains(&self, name: &[u8]) -> bool {
        self.0.binary_search_by(|known| (**known).cmp(name)).is_ok()
    }

    /// Whether the set has no name.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The name in lowercase, with `-` for `_`.
pub fn with_dashes(name: &[u8]) -> Vec<u8> {
    name.iter().map(|b| if *b == b'_' { b'-' } else { b.to_ascii_lowercase() }).collect()
}
