//! The values a route captures from a request: path and query placeholders, and header captures.
//!
//! A value is a range of the request's own text (the normalized path followed by the raw query), or bytes stored here.
//! Names are not stored: the route has them in the same order. Nothing is allocated until a value needs its own bytes.

use smallvec::SmallVec;
use std::sync::Arc;

/// The location of one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ParamSlot {
    start: u32,
    end: u32,
    owned: bool,
}

/// One value, as returned to the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Param<'v> {
    /// The bytes: escaped path text, raw query text, or a header's bytes.
    pub bytes: &'v [u8],
    /// The offset of the value in the request's text; `None` if the value has its own bytes (header, override).
    pub at: Option<usize>,
}

/// The placeholder values of one exchange, in the order of the route's names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PathParams {
    slots: SmallVec<[ParamSlot; 6]>,
    owned_bytes: Vec<u8>,
    named: Vec<(Arc<str>, ParamSlot)>,
}

impl PathParams {
    /// No values.
    pub fn new() -> PathParams {
        PathParams::default()
    }

    /// Removes all values and keeps the memory.
    pub fn clear(&mut self) {
        self.slots.clear();
        self.owned_bytes.clear();
        self.named.clear();
    }

    /// The number of captured values, without overrides by name.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether the route captured no value.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Keeps the first `len` values of the route.
    pub fn truncate(&mut self, len: usize) {
        self.slots.truncate(len);
    }

    /// Appends the value at `start..end` of the request's text.
    pub fn push_range(&mut self, start: usize, end: usize) {
        debug_assert!(start <= end);
        self.slots.push(ParamSlot { start: start as u32, end: end as u32, owned: false });
    }

    /// Appends a value that has its own bytes.
    pub fn push_bytes(&mut self, bytes: &[u8]) {
        let slot = self.make_owned(bytes);
        self.slots.push(slot);
    }

    /// Overrides the value of `name`.
    pub fn set<N: AsRef<str> + Into<Arc<str>>>(&mut self, name: N, bytes: &[u8]) {
        let slot = self.make_owned(bytes);
        match self.named.iter_mut().find(|(n, _)| **n == *name.as_ref()) {
            Some((_, old)) => *old = slot,
            None => self.named.push((name.into(), slot)),
        }
    }

    /// The value at `index`; `text` is the text that the ranges refer to.
    pub fn get<'v>(&'v self, index: usize, text: &'v [u8]) -> Option<Param<'v>> {
        self.slots.get(index).map(|slot| self.read(*slot, text))
    }

    /// The value set with [`PathParams::set`].
    pub fn get_override(&self, name: &str) -> Option<Param<'_>> {
        let (_, slot) = self.named.iter().find(|(n, _)| &**n == name)?;
        Some(self.read(*slot, &[]))
    }

    /// The value of `name`: an override first, then the captured value at the position of `name` in `names`.
    pub fn get_by_name<'v>(&'v self, name: &str, names: &[Box<str>], text: &'v [u8]) -> Option<Param<'v>> {
        self.get_override(name).or_else(|| self.get(names.iter().position(|n| &**n == name)?, text))
    }

    /// Adjusts all ranges after the bytes `start..end` of the request's text were removed.
    pub fn remove_range(&mut self, start: usize, end: usize) {
        let moved = |at: u32| match at as usize {
            at if at <= start => at as u32,
            at if at >= end => (at - (end - start)) as u32,
            _ => start as u32,
        };
        for slot in self.slots.iter_mut().filter(|slot| !slot.owned) {
            (slot.start, slot.end) = (moved(slot.start), moved(slot.end));
        }
    }

    fn make_owned(&mut self, bytes: &[u8]) -> ParamSlot {
        let start = self.owned_bytes.len() as u32;
        self.owned_bytes.extend_from_slice(bytes);
        ParamSlot { start, end: self.owned_bytes.len() as u32, owned: true }
    }

    fn read<'v>(&'v self, slot: ParamSlot, text: &'v [u8]) -> Param<'v> {
        let (start, end) = (slot.start as usize, slot.end as usize);
        match slot.owned {
            true => Param { bytes: self.owned_bytes.get(start..end).unwrap_or_default(), at: None },
            false => Param { bytes: text.get(start..end).unwrap_or_default(), at: Some(start) },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_a_range_of_the_text_or_its_own_bytes() {
        let mut values = PathParams::new();
        values.push_range(1, 3);
        values.push_bytes(b"red");
        assert_eq!(values.get(0, b"/42").unwrap(), Param { bytes: b"42", at: Some(1) });
        assert_eq!(values.get(1, b"/42").unwrap(), Param { bytes: b"red", at: None });
        assert_eq!(values.get(2, b"/42"), None);
    }

    #[test]
    fn an_override_by_name_wins_over_the_routes_value() {
        let names: [Box<str>; 1] = ["id".into()];
        let mut values = PathParams::new();
        values.push_range(1, 3);
        assert_eq!(values.get_by_name("id", &names, b"/42").unwrap().bytes, b"42");
        values.set("id", b"7");
        values.set("id", b"8");
        assert_eq!(values.get_by_name("id", &names, b"/42").unwrap().bytes, b"8");
        assert_eq!(values.get_by_name("other", &names, b"/42"), None);
    }

    #[test]
    fn ranges_after_a_removed_range_move_and_enclosing_ranges_shrink() {
        let mut values = PathParams::new();
        values.push_range(0, 2);
        values.push_range(1, 6);
        values.push_range(6, 8);
        values.remove_range(3, 5);
        let text = b"012567";
        let read: Vec<_> = (0..3).map(|at| values.get(at, text).unwrap().bytes).collect();
        assert_eq!(read, [&b"01"[..], b"125", b"67"]);
    }

    #[test]
    fn clear_removes_all_values() {
        let mut values = PathParams::new();
        values.push_bytes(b"x");
        values.set("n", b"y");
        values.clear();
        assert_eq!(values, PathParams::new());
    }
}
