//! The values a route takes out of a request: path and query placeholders, and header captures.
//!
//! A value is a range into the request's own text (the normalised path followed by the raw query), or a few bytes of
//! its own. Names are not kept here: the route knows them, in the same order. Nothing is allocated until a value
//! needs bytes of its own.

use smallvec::SmallVec;
use std::sync::Arc;

/// Where the bytes of one value are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ParamSlot {
    start: u32,
    end: u32,
    owned: bool,
}

/// One value, as read back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Param<'v> {
    /// The bytes: escaped path text, raw query text, or a header's bytes.
    pub bytes: &'v [u8],
    /// Where the value begins in the request's text; `None` when the bytes are its own (header, override).
    pub at: Option<usize>,
}

/// The placeholder values of one exchange, in the order of the route's names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PathParams {
    slots: SmallVec<[ParamSlot; 6]>,
    make_owned: Vec<u8>,
    named: Vec<(Arc<str>, ParamSlot)>,
}

impl PathParams {
    /// No values.
    pub fn new() -> PathParams {
        PathParams::default()
    }

    /// Forgets every value, keeps the memory.
    pub fn clear(&mut self) {
        self.slots.clear();
        self.make_owned.clear();
        self.named.clear();
    }

    /// How many values the route took (overrides by name not counted).
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// True when the route took no value.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Keeps the first `len` values of the route.
    pub fn truncate(&mut self, len: usize) {
        self.slots.truncate(len);
    }

    /// Appends the value that stands at `start..end` of the request's text.
    pub fn push_range(&mut self, start: usize, end: usize) {
        debug_assert!(start <= end);
        self.slots.push(ParamSlot { start: start as u32, end: end as u32, owned: false });
    }

    /// Appends a value with bytes of its own.
    pub fn push_bytes(&mut self, bytes: &[u8]) {
        let slot = self.make_owned(bytes);
        self.slots.push(slot);
    }

    /// Gives the name `name` this value from now on, whatever the route took for it.
    pub fn set<N: AsRef<str> + Into<Arc<str>>>(&mut self, name: N, bytes: &[u8]) {
        let slot = self.make_owned(bytes);
        match self.named.iter_mut().find(|(n, _)| **n == *name.as_ref()) {
            Some((_, old)) => *old = slot,
            None => self.named.push((name.into(), slot)),
        }
    }

    /// The value at `index`; `text` is the text the ranges point into.
    pub fn get<'v>(&'v self, index: usize, text: &'v [u8]) -> Option<Param<'v>> {
        self.slots.get(index).map(|slot| self.read(*slot, text))
    }

    /// The value that [`PathParams::set`] gave to `name`.
    pub fn get_override(&self, name: &str) -> Option<Param<'_>> {
        let (_, slot) = self.named.iter().find(|(n, _)| &**n == name)?;
        Some(self.read(*slot, &[]))
    }

    /// The value of `name`: an override first, then the place of `name` in `names` (the route's).
    pub fn get_by_name<'v>(&'v self, name: &str, names: &[Box<str>], text: &'v [u8]) -> Option<Param<'v>> {
        self.get_override(name).or_else(|| self.get(names.iter().position(|n| &**n == name)?, text))
    }

    /// The bytes `start..end` of the request's text are gone: what stood behind them has moved.
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
        let start = self.make_owned.len() as u32;
        self.make_owned.extend_from_slice(bytes);
        ParamSlot { start, end: self.make_owned.len() as u32, owned: true }
    }

    fn read<'v>(&'v self, slot: ParamSlot, text: &'v [u8]) -> Param<'v> {
        let (start, end) = (slot.start as usize, slot.end as usize);
        match slot.owned {
            true => Param { bytes: self.make_owned.get(start..end).unwrap_or_default(), at: None },
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
    fn values_behind_a_cut_move_and_those_around_it_shrink() {
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
    fn clear_forgets_everything() {
        let mut values = PathParams::new();
        values.push_bytes(b"x");
        values.set("n", b"y");
        values.clear();
        assert_eq!(values, PathParams::new());
    }
}
