//! The `TX` variables: those the plan has set, and those that rules set during a transaction.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

/// Variables that are known before the first rule runs.
pub type InitialVariables = HashMap<String, Vec<u8>>;

/// The variables of a transaction; names are in lowercase.
#[derive(Debug, Default)]
pub struct Variables {
    changed: BTreeMap<String, Option<Vec<u8>>>,
    /// The groups of the last match with `capture`.
    captures: [Option<Vec<u8>>; 10],
}

impl Variables {
    /// The value of a variable.
    pub fn get<'v>(&'v self, initial: &'v InitialVariables, name: &str) -> Option<&'v [u8]> {
        if let [digit @ b'0'..=b'9'] = name.as_bytes() {
            return self.captures[usize::from(digit - b'0')].as_deref();
        }
        let name = lowercase(name);
        match self.changed.get(&*name) {
            Some(value) => value.as_deref(),
            None => initial.get(&*name).map(Vec::as_slice),
        }
    }

    /// Replaces the value of a variable, or removes it.
    pub fn set(&mut self, name: &str, value: Option<Vec<u8>>) {
        if let [digit @ b'0'..=b'9'] = name.as_bytes() {
            self.captures[usize::from(digit - b'0')] = value;
            return;
        }
        let name = lowercase(name);
        match self.changed.get_mut(&*name) {
            Some(current) => *current = value,
            None => drop(self.changed.insert(name.into_owned(), value)),
        }
    }

    /// Replaces all groups.
    pub fn set_captures(&mut self, groups: impl Iterator<Item = Option<Vec<u8>>>) {
        self.captures = Default::default();
        for (slot, group) in self.captures.iter_mut().zip(groups) {
            *slot = group;
        }
    }

    /// Every variable with its value.
    pub fn all<'v>(&'v self, initial: &'v InitialVariables) -> Vec<(&'v str, &'v [u8])> {
        let mut all: Vec<(&str, &[u8])> = self
            .changed
            .iter()
            .filter_map(|(name, value)| Some((name.as_str(), value.as_deref()?)))
            .collect();
        let unchanged = initial.iter().filter(|(name, _)| !self.changed.contains_key(*name));
        all.extend(unchanged.map(|(name, value)| (&name[..], &value[..])));
        all
    }
}

fn lowercase(name: &str) -> Cow<'_, str> {
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(name.to_ascii_lowercase())
    } else {
        Cow::Borrowed(name)
    }
}
