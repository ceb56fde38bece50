//! Names of services: which segments of a path may belong to one, the trie that finds the service of a path, and lists of
//! allowed names.

use crate::base::percent::percent_decoded;
use std::{borrow::Cow, collections::HashMap};

/// Maximum number of segments of a name.
pub const MAX_NAME_SEGMENTS: usize = 32;
/// Maximum length of a name in bytes.
pub const MAX_NAME_BYTES: usize = 1024;
/// The scheme of names, with its slash.
pub const NAME_SCHEME: &str = "fabric:/";
/// Characters that no name contains.
const FORBIDDEN: [char; 4] = ['$', '+', '|', '~'];

/// The name without `fabric:/`.
pub fn without_scheme(name: &str) -> &str {
    name.strip_prefix(NAME_SCHEME).unwrap_or(name)
}

/// Whether a text without `fabric:/` is a name: segments without `$ + | ~`, none of them empty.
pub fn is_name(name: &str) -> bool {
    name.len() <= MAX_NAME_BYTES
        && !name.contains(FORBIDDEN)
        && !name.contains(char::is_control)
        && name.split('/').count() <= MAX_NAME_SEGMENTS
        && name.split('/').all(|segment| !segment.is_empty())
}

/// The decoded segments at the beginning of a path that may belong to a name: up to the first empty one, and up to the
/// first with `$`, `+`, `|` or `~`.
pub fn name_segments(path: &[u8]) -> impl Iterator<Item = Cow<'_, str>> {
    let path = path.strip_prefix(b"/").unwrap_or(path);
    let segments = path.split(|byte| *byte == b'/').take(MAX_NAME_SEGMENTS);
    segments.map_while(|segment| {
        let text = match percent_decoded(segment, false) {
            Cow::Borrowed(bytes) => Cow::Borrowed(std::str::from_utf8(bytes).ok()?),
            Cow::Owned(bytes) => Cow::Owned(String::from_utf8(bytes).ok()?),
        };
        (!text.is_empty() && !text.contains(FORBIDDEN) && !text.contains('/')).then_some(text)
    })
}

/// Whether a path begins with a segment that may belong to a name.
pub fn begins_with_name(path: &[u8]) -> bool {
    let path_segments = path.strip_prefix(b"/").unwrap_or(path);
    let first = path_segments.split(|byte| *byte == b'/').next().unwrap_or_default();
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    !first.is_empty() && first.iter().all(is_plain) || name_segments(path).next().is_some()
}

/// The path behind its first `segments` segments, with the slash in front; empty if nothing follows.
pub fn after_segments(path: &[u8], segments: usize) -> &[u8] {
    if segments == 0 {
        return path;
    }
    let mut slashes = memchr::memchr_iter(b'/', path);
    slashes.nth(segments).map_or(&[], |at| &path[at..])
}

/// The service that a path names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameMatch<'t, T> {
    pub value: &'t T,
    /// The number of segments that the name took.
    pub segments: usize,
}

/// Services by name.
#[derive(Clone, Debug)]
pub struct NameTrie<T> {
    nodes: Vec<TrieNode<T>>,
    len: usize,
}

#[derive(Clone, Debug)]
struct TrieNode<T> {
    children: HashMap<Box<[u8]>, usize>,
    value: Option<T>,
}

impl<T> Default for NameTrie<T> {
    fn default() -> Self {
        NameTrie { nodes: vec![TrieNode { children: HashMap::new(), value: None }], len: 0 }
    }
}

impl<T> NameTrie<T> {
    /// Adds a name without `fabric:/`; returns the value it had before.
    pub fn insert(&mut self, name: &str, value: T) -> Option<T> {
        let mut at = 0;
        for segment in name.split('/') {
            at = match self.nodes[at].children.get(segment.as_bytes()) {
                Some(child) => *child,
                None => {
                    self.nodes.push(TrieNode { children: HashMap::new(), value: None });
                    let child = self.nodes.len() - 1;
                    self.nodes[at].children.insert(segment.as_bytes().into(), child);
                    child
                }
            };
        }
        let before = self.nodes[at].value.replace(value);
        self.len += usize::from(before.is_none());
        before
    }

    /// The value of exactly this name.
    pub fn get(&self, name: &str) -> Option<&T> {
        let mut at = 0;
        for segment in name.split('/') {
            at = *self.nodes[at].children.get(segment.as_bytes())?;
        }
        self.nodes[at].value.as_ref()
    }

    /// The longest prefix of the path, by whole segments, that is the name of a visible service.
    pub fn find(&self, path: &[u8], is_visible: impl Fn(&T) -> bool) -> Option<NameMatch<'_, T>> {
        let (mut at, mut found) = (0, None);
        let path = path.strip_prefix(b"/").unwrap_or(path);
        // No name has an empty segment or one with a forbidden character: those are not in the trie.
        for (index, segment) in path.split(|byte| *byte == b'/').take(MAX_NAME_SEGMENTS).enumerate() {
            let segment = match memchr::memchr(b'%', segment) {
                Some(_) => percent_decoded(segment, false),
                None => Cow::Borrowed(segment),
            };
            let Some(child) = self.nodes[at].children.get(&*segment) else { break };
            at = *child;
            if let Some(value) = self.nodes[at].value.as_ref().filter(|value| is_visible(value)) {
                found = Some(NameMatch { value, segments: index + 1 });
            }
        }
        found
    }

    /// The number of names.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no name.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All values, in no particular order.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.nodes.iter().filter_map(|node| node.value.as_ref())
    }
}

/// One entry of `Services` and `HiddenServices`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NamePattern {
    /// `*`
    All,
    /// `App/Service`
    Name(Box<str>),
    /// `App/*`: everything below; the text ends in a slash.
    Below(Box<str>),
}

impl NamePattern {
    /// Parses `App/Service`, `App/*` or `*`, with or without `fabric:/` in front.
    pub fn parse(text: &str) -> Option<NamePattern> {
        let text = without_scheme(text.trim());
        match text.strip_suffix('*') {
            Some("") => Some(NamePattern::All),
            Some(above) => {
                let name = above.strip_suffix('/')?;
                let is_plain = is_name(name) && !name.contains('*');
                is_plain.then(|| NamePattern::Below(above.into()))
            }
            None if text.contains('*') => None,
            None => is_name(text).then(|| NamePattern::Name(text.into())),
        }
    }

    fn matches(&self, name: &str) -> bool {
        match self {
            NamePattern::All => true,
            NamePattern::Name(own) => **own == *name,
            NamePattern::Below(above) => name.starts_with(&**above),
        }
    }
}

/// Which services a route makes reachable.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NameFilter {
    pub allowed: Box<[NamePattern]>,
    pub hidden: Box<[NamePattern]>,
}

impl NameFilter {
    /// Whether the service exists for clients of the route.
    pub fn allows(&self, name: &str) -> bool {
        self.allowed.iter().any(|pattern| pattern.matches(name))
            && !self.hidden.iter().any(|pattern| pattern.matches(name))
    }

    /// Whether every service is allowed.
    pub fn allows_all(&self) -> bool {
        self.allowed.contains(&NamePattern::All)
    }
}

#[cfg(test)]
#[path = "name_tests.rs"]
mod tests;
