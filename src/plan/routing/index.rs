//! The index of the routes of one host: a tree over path segments. It narrows a path down to the few routes whose
//! template may match; their programs are then run in order of rank. The index may return too many candidates, never
//! too few.
//!
//! Each level looks the segment up in one hash table, whatever the number of routes: once as a whole, and once for
//! each length of literal text that precedes a placeholder in a segment of that level (usually none: `{id}`).

use smallvec::SmallVec;

use super::escape::{eq_maybe_ignore_case, folded_hash};
use super::path::Target;
use super::program::{Op, Program};

/// Deeper than this, routes share one list; real templates are not that deep.
const MAX_DEPTH: usize = 24;

/// One node; its path in the tree is the sequence of segments read so far.
#[derive(Debug)]
struct Node {
    key: Box<[u8]>,
    /// The best rank in the subtree.
    best_match: u32,
    literals: Hashed,
    /// Routes that may match when the path ends here.
    exact: SmallVec<[u32; 4]>,
    /// What most nodes do not have.
    placeholders: Option<Box<Placeholders>>,
}

/// The parts of a node for templates with a placeholder here or in its segment.
#[derive(Debug, Default)]
struct Placeholders {
    /// Children for segments with a placeholder, by the length of the text that precedes it.
    prefixed: SmallVec<[(u32, Hashed); 1]>,
    /// Routes that may match when at least one segment follows.
    descendants: Vec<u32>,
    /// Routes that may match whatever follows the text before the placeholder.
    prefix: Vec<u32>,
    /// Query templates whose placeholder may extend into the query, where more of the template follows.
    query_boundary: Vec<u32>,
}

impl Node {
    fn new(key: &[u8]) -> Node {
        Node {
            key: key.into(),
            best_match: u32::MAX,
            literals: Hashed::default(),
            exact: SmallVec::new(),
            placeholders: None,
        }
    }
}

/// Children by the hash of their text, open addressing.
#[derive(Debug, Default)]
struct Hashed {
    slots: Box<[(u32, u32)]>,
    used: u32,
}

/// Marks a free slot; no tree has that many nodes.
const EMPTY_SLOT: u32 = u32::MAX;

impl Hashed {
    /// The child with this text.
    fn get(&self, text: &[u8], nodes: &[Node]) -> Option<u32> {
        let mask = self.slots.len().checked_sub(1)?;
        let hash = folded_hash(text);
        let mut at = hash as usize & mask;
        loop {
            let (slot_hash, node) = self.slots[at];
            if node == EMPTY_SLOT {
                return None;
            }
            if slot_hash == hash && eq_maybe_ignore_case(&nodes[node as usize].key, text, true) {
                return Some(node);
            }
            at = (at + 1) & mask;
        }
    }

    fn insert(&mut self, text: &[u8], node: u32) {
        if (self.used as usize + 1) * 2 > self.slots.len() {
            let wider = vec![(0, EMPTY_SLOT); (self.slots.len() * 2).max(2)].into_boxed_slice();
            let old = std::mem::replace(&mut self.slots, wider);
            old.iter()
                .filter(|(_, node)| *node != EMPTY_SLOT)
                .for_each(|(hash, node)| self.insert_at(*hash, *node));
        }
        self.insert_at(folded_hash(text), node);
        self.used += 1;
    }

    fn insert_at(&mut self, hash: u32, node: u32) {
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        while self.slots[at].1 != EMPTY_SLOT {
            at = (at + 1) & mask;
        }
        self.slots[at] = (hash, node);
    }
}

/// The tree. Ranks are assigned by the caller, which inserts them in ascending order.
#[derive(Debug)]
pub(super) struct Index {
    nodes: Vec<Node>,
}

/// Selects a list of a node.
#[derive(Clone, Copy)]
enum List {
    Here,
    Deeper,
    Rest,
    Spill,
}

/// One segment of a template's path: its literal text, or the text before its placeholder.
enum Segment {
    Literal(Vec<u8>),
    Prefixed(Vec<u8>),
}

/// How the path part of a template ends, after its segments.
enum Tail {
    /// At this position.
    Exact,
    /// At this position, optionally followed by one `/`.
    Slash,
    /// At this position, or anything after a `/`.
    OpenSegment,
    /// Anything after a segment that begins with this text.
    CatchAll(Vec<u8>),
}

impl Index {
    pub(super) fn new() -> Index {
        Index { nodes: vec![Node::new(b"")] }
    }

    /// Inserts a program with its rank.
    pub(super) fn insert(&mut self, program: &Program, rank: u32) {
        let (segments, tail) = shape(program);
        let mut node = 0;
        for (depth, segment) in segments.iter().enumerate() {
            self.node_for(node, rank);
            if depth == MAX_DEPTH {
                self.list(node, List::Here, rank);
                return self.list(node, List::Deeper, rank);
            }
            node = match segment {
                Segment::Literal(text) => self.child(node, text, false),
                Segment::Prefixed(text) => self.child(node, text, true),
            };
            if program.query && depth + 1 < segments.len() && matches!(segment, Segment::Prefixed(_)) {
                self.list(node, List::Spill, rank);
            }
        }
        self.freeze(node, tail, rank);
    }

    fn freeze(&mut self, node: u32, tail: Tail, rank: u32) {
        match tail {
            Tail::Exact => self.list(node, List::Here, rank),
            Tail::Slash => {
                self.list(node, List::Here, rank);
                let slash = self.child(node, b"", false);
                self.list(slash, List::Here, rank);
            }
            Tail::OpenSegment => {
                self.list(node, List::Here, rank);
                self.list(node, List::Deeper, rank);
            }
            Tail::CatchAll(text) => {
                self.node_for(node, rank);
                let node = self.child(node, &text, true);
                self.list(node, List::Rest, rank);
            }
        }
    }

    fn node_for(&mut self, node: u32, rank: u32) {
        let best = &mut self.nodes[node as usize].best_match;
        *best = (*best).min(rank);
    }

    fn list(&mut self, node: u32, list: List, rank: u32) {
        self.node_for(node, rank);
        let node = &mut self.nodes[node as usize];
        match list {
            List::Here => node.exact.push(rank),
            List::Deeper => node.placeholders.get_or_insert_default().descendants.push(rank),
            List::Rest => node.placeholders.get_or_insert_default().prefix.push(rank),
            List::Spill => node.placeholders.get_or_insert_default().query_boundary.push(rank),
        }
    }

    fn child(&mut self, parent: u32, text: &[u8], prefixed: bool) -> u32 {
        let new = self.nodes.len() as u32;
        let mut table = std::mem::take(self.table(parent, text.len(), prefixed));
        let found = table.get(text, &self.nodes).unwrap_or_else(|| {
            table.insert(text, new);
            new
        });
        *self.table(parent, text.len(), prefixed) = table;
        if found == new {
            self.nodes.push(Node::new(text));
        }
        found
    }

    fn table(&mut self, parent: u32, len: usize, prefixed: bool) -> &mut Hashed {
        let node = &mut self.nodes[parent as usize];
        if !prefixed {
            return &mut node.literals;
        }
        let prefixed = &mut node.placeholders.get_or_insert_default().prefixed;
        let at = prefixed.iter().position(|(l, _)| *l as usize == len).unwrap_or_else(|| {
            prefixed.push((len as u32, Hashed::default()));
            prefixed.len() - 1
        });
        &mut prefixed[at].1
    }

    /// Frees the room for more nodes.
    pub(super) fn shrink(&mut self) {
        self.nodes.shrink_to_fit();
    }

    /// The best rank below `limit` among the routes that `accept`.
    pub(super) fn best_match(
        &self,
        target: &Target<'_>,
        limit: u32,
        accept: &mut dyn FnMut(u32) -> bool,
    ) -> u32 {
        let query = target.query();
        let mut walk = Walk {
            nodes: &self.nodes,
            path: target.path(),
            spills: !query.is_empty() && memchr::memchr(b'/', query).is_some(),
            best_match: limit,
            accept,
        };
        walk.visit(0, 0);
        walk.best_match
    }
}

/// One lookup.
struct Walk<'w> {
    nodes: &'w [Node],
    path: &'w [u8],
    spills: bool,
    best_match: u32,
    accept: &'w mut dyn FnMut(u32) -> bool,
}

impl Walk<'_> {
    /// `pos` is the position of the next segment's `/`, or the end of the path.
    fn visit(&mut self, node: u32, pos: usize) {
        let nodes = self.nodes;
        let node = &nodes[node as usize];
        if node.best_match >= self.best_match {
            return;
        }
        if pos == self.path.len() {
            return self.try_list(&node.exact);
        }
        if let Some(placeholders) = &node.placeholders {
            self.try_list(&placeholders.descendants);
        }
        let start = pos + 1;
        let end = memchr::memchr(b'/', &self.path[start..]).map_or(self.path.len(), |n| start + n);
        let segment = &self.path[start..end];
        if let Some(child) = node.literals.get(segment, nodes) {
            self.visit(child, end);
        }
        for (len, table) in node.placeholders.iter().flat_map(|placeholders| &placeholders.prefixed) {
            let Some(text) = segment.get(..*len as usize) else { continue };
            let Some(child) = table.get(text, nodes) else { continue };
            self.prefixed(child, end);
        }
    }

    /// A child for a segment with a placeholder, which ends at `end`.
    fn prefixed(&mut self, child: u32, end: usize) {
        let node = &self.nodes[child as usize];
        if node.best_match >= self.best_match {
            return;
        }
        if let Some(placeholders) = &node.placeholders {
            self.try_list(&placeholders.prefix);
            if self.spills && end == self.path.len() {
                self.try_list(&placeholders.query_boundary);
            }
        }
        self.visit(child, end);
    }

    fn try_list(&mut self, ranks: &[u32]) {
        for rank in ranks {
            if *rank >= self.best_match {
                return;
            }
            if (self.accept)(*rank) {
                self.best_match = *rank;
                return;
            }
        }
    }
}

/// The path part of a program as segments.
fn shape(program: &Program) -> (Vec<Segment>, Tail) {
    let mut shape = PathShape::default();
    if program.catch_all {
        return (Vec::new(), Tail::OpenSegment);
    }
    for op in &program.ops {
        match op {
            Op::Text(text) => text.iter().for_each(|b| shape.byte(*b)),
            Op::Segment => shape.capture = true,
            Op::CatchAll => return (shape.segments, Tail::CatchAll(shape.text)),
            Op::OptionalTail => return (shape.finished(), Tail::OpenSegment),
            Op::Query { .. } | Op::OptionalSlash => return (shape.finished(), Tail::Slash),
            Op::End => return (shape.finished(), Tail::Exact),
        }
    }
    (shape.finished(), Tail::Exact)
}

#[derive(Default)]
struct PathShape {
    segments: Vec<Segment>,
    text: Vec<u8>,
    open: bool,
    capture: bool,
}

impl PathShape {
    fn byte(&mut self, byte: u8) {
        match byte {
            b'/' => {
                self.close();
                self.open = true;
            }
            _ if !self.capture => self.text.push(byte),
            _ => {}
        }
    }

    fn close(&mut self) {
        if self.open {
            let text = std::mem::take(&mut self.text);
            self.segments.push(if self.capture { Segment::Prefixed(text) } else { Segment::Literal(text) });
        }
        (self.open, self.capture) = (false, false);
    }

    fn finished(mut self) -> Vec<Segment> {
        self.close();
        self.segments
    }
}
