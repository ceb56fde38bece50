//! Which rules can match which values: one pass over each distinct transformed value.

use crate::waf::bytes::ByteSet;
use crate::waf::library::{Filter, Library};
use crate::waf::policy::classes::{ClassPlan, NodeUse};
use crate::waf::policy::compiled::{Policy, RuleBits, empty_bits, further_atoms, has_bit, set_bit};
use crate::waf::prefilter::chains::ChainNode;
use crate::waf::prefilter::scanner::{AtomBits, Scanner, bit_positions};
use crate::waf::request::parts::{Kind, Request};
use crate::waf::transform::Transform;
use std::collections::HashMap;
use std::sync::Arc;

/// Values from this size on keep their transformed forms until the rules run.
const MIN_KEPT_BYTES: usize = 1024;

/// A transformed value; none if it is equal to the value itself.
pub type Transformed = Option<Arc<[u8]>>;

/// What the scan found about the values of a request.
#[derive(Debug, Default)]
pub struct Scan {
    words: usize,
    /// For each value the rules that it can match.
    candidates: Vec<u64>,
    /// All of these together.
    summary: Vec<u64>,
    /// For each value the number of its set in `excluded`, plus 1; 0 for none.
    exclusion_of: Vec<u32>,
    /// Rules that do not inspect a value.
    excluded: Vec<RuleBits>,
    /// Transformed forms of large values.
    kept: HashMap<(u32, ChainNode), Transformed>,
    /// The number of values that were scanned.
    scanned: usize,
    /// The bytes that were scanned.
    pub scanned_bytes: u64,
}

/// A buffer of the value that is being scanned.
struct Buffer {
    /// None for the value itself.
    data: Option<Vec<u8>>,
    presence: ByteSet,
    /// The atoms, and the rules that need one of them first.
    atoms: Option<(AtomBits, RuleBits)>,
}

impl Scan {
    /// Whether any value can match a rule.
    pub fn has_candidate(&self, rule: usize) -> bool {
        self.summary.get(rule >> 6).is_some_and(|word| word & (1 << (rule & 63)) != 0)
    }

    /// The values that can match a rule.
    pub fn values_of(&self, rule: usize) -> impl Iterator<Item = usize> + '_ {
        let (word, bit) = (rule >> 6, 1_u64 << (rule & 63));
        let rows = self.candidates.chunks_exact(self.words.max(1)).enumerate();
        rows.filter(move |(_, row)| row[word] & bit != 0).map(|(at, _)| at)
    }

    /// Whether an exclusion names a value for a rule.
    pub fn is_excluded(&self, value: usize, rule: usize) -> bool {
        match self.exclusion_of.get(value) {
            None | Some(0) => false,
            Some(set) => has_bit(&self.excluded[*set as usize - 1], rule),
        }
    }

    /// The transformed form of a large value, if the scan kept it.
    pub fn kept(&self, value: usize, node: ChainNode) -> Option<&Transformed> {
        self.kept.get(&(value as u32, node))
    }

    /// Scans the values that were added since the last scan. `active` are the exclusions of the request.
    pub fn extend(&mut self, policy: &Policy, request: &Request, active: &[usize]) {
        self.words = policy.words();
        self.summary.resize(self.words, 0);
        let mut scratch = Scratch::default();
        for at in self.scanned..request.values().len() {
            let value = &request.values()[at];
            self.add_exclusions(policy, request, at, active);
            let start = self.candidates.len();
            self.candidates.resize(start + self.words, 0);
            let bytes = request.bytes(value.value);
            self.scanned_bytes += bytes.len() as u64;
            let plan = policy.classes.plan(value.kind, request.bytes(value.name));
            let is_response = value.kind >= Kind::ResponseBody;
            let row = &mut self.candidates[start..];
            scratch.scan(policy, plan, bytes, is_response, row);
            if let Some(set) = self.exclusion_of.get(at).filter(|set| **set > 0) {
                let excluded = &self.excluded[*set as usize - 1];
                row.iter_mut().zip(excluded).for_each(|(word, excluded)| *word &= !excluded);
            }
            let is_candidate = row.iter().any(|word| *word != 0);
            self.summary.iter_mut().zip(&*row).for_each(|(summary, word)| *summary |= word);
            if is_candidate && bytes.len() >= MIN_KEPT_BYTES {
                self.kept.extend(scratch.take_kept(plan, at as u32));
            }
        }
        self.scanned = request.values().len();
    }

    fn add_exclusions(&mut self, policy: &Policy, request: &Request, at: usize, active: &[usize]) {
        if active.is_empty() {
            return;
        }
        let value = &request.values()[at];
        let mut bits = empty_bits(self.words);
        let mut is_named = false;
        for (exclusion, rules) in active.iter().map(|index| &policy.exclusions[*index]) {
            if exclusion.is_naming(request, value) {
                is_named = true;
                bits.iter_mut().zip(rules).for_each(|(word, rules)| *word |= rules);
            }
        }
        if is_named {
            self.excluded.push(bits);
        }
        self.exclusion_of.resize(at, 0);
        self.exclusion_of.push(if is_named { self.excluded.len() as u32 } else { 0 });
    }
}

/// Buffers that are used again for each value.
#[derive(Default)]
struct Scratch {
    buffers: Vec<Buffer>,
    /// For each node the buffer with its result.
    node_buffers: Vec<u16>,
}

impl Scratch {
    fn scan(&mut self, policy: &Policy, plan: &ClassPlan, bytes: &[u8], is_response: bool, row: &mut [u64]) {
        self.buffers.clear();
        self.node_buffers.resize(policy.library.chains.node_count(), 0);
        if plan.uses.is_empty() {
            return;
        }
        self.buffers.push(Buffer { data: None, presence: ByteSet::scan(bytes), atoms: None });
        let (scanner, atom_rules) = if is_response {
            (&policy.library.response_scanner, &policy.response_atoms)
        } else {
            (&policy.library.request_scanner, &policy.request_atoms)
        };
        if plan.triggers.is_some_and(|triggers| !self.buffers[0].presence.is_meeting(&triggers)) {
            self.node_buffers.fill(0);
            return self.find_rules(0, &plan.unchanged, (policy, scanner, atom_rules), bytes, row);
        }
        for usage in &plan.uses {
            let parent = self.node_buffers[usize::from(usage.parent)];
            let buffer = match usage.transform {
                None => 0,
                Some(transform) => self.transform(parent, transform, bytes),
            };
            self.node_buffers[usize::from(usage.node)] = buffer;
            self.find_rules(buffer, usage, (policy, scanner, atom_rules), bytes, row);
        }
    }

    /// Adds the rules of a node that a buffer can match.
    fn find_rules(
        &mut self,
        buffer: u16,
        usage: &NodeUse,
        (policy, scanner, atom_rules): (&Policy, &Scanner, &[RuleBits]),
        bytes: &[u8],
        row: &mut [u64],
    ) {
        let buffer = &mut self.buffers[usize::from(buffer)];
        for (set, rule) in &usage.byte_rules {
            if buffer.presence.is_meeting(set) {
                set_bit(row, *rule);
            }
        }
        if usage.has_rules {
            buffer.find_atoms(scanner, atom_rules, bytes);
            buffer.add_candidates(policy, usage, row);
        }
    }

    /// The buffer with the result of a transformation: the parent itself if nothing changes.
    fn transform(&mut self, parent: u16, transform: Transform, bytes: &[u8]) -> u16 {
        let source = &self.buffers[usize::from(parent)];
        if transform.triggers().is_some_and(|triggers| !source.presence.is_meeting(&triggers)) {
            return parent;
        }
        let input = source.data.as_deref().unwrap_or(bytes);
        let output = transform.apply(input);
        if *output == *input {
            return parent;
        }
        let output = output.into_owned();
        // Atoms ignore case, so they are the same in lowercase.
        let keeps_atoms = matches!(transform, Transform::Lowercase | Transform::Uppercase);
        let atoms = if keeps_atoms { source.atoms.clone() } else { None };
        let presence = ByteSet::scan(&output);
        self.buffers.push(Buffer { data: Some(output), presence, atoms });
        self.buffers.len() as u16 - 1
    }

    /// The results of all nodes, for a value that rules will read.
    fn take_kept(&mut self, plan: &ClassPlan, value: u32) -> Vec<((u32, ChainNode), Transformed)> {
        let mut shared: Vec<Transformed> =
            self.buffers.drain(..).map(|buffer| buffer.data.map(Arc::<[u8]>::from)).collect();
        let nodes = plan.uses.iter().map(|usage| usage.node);
        let kept = nodes.map(|node| {
            let buffer = &mut shared[usize::from(self.node_buffers[usize::from(node)])];
            ((value, node), buffer.clone())
        });
        kept.collect()
    }
}

impl Buffer {
    fn find_atoms(&mut self, scanner: &Scanner, atom_rules: &[RuleBits], bytes: &[u8]) {
        if self.atoms.is_some() {
            return;
        }
        let mut atoms = AtomBits::new();
        scanner.scan(self.data.as_deref().unwrap_or(bytes), self.presence, &mut atoms);
        let mut rules = empty_bits(atom_rules.first().map_or(0, |rules| rules.len()));
        for atom in bit_positions(&atoms) {
            rules.iter_mut().zip(&atom_rules[atom]).for_each(|(word, rules)| *word |= rules);
        }
        self.atoms = Some((atoms, rules));
    }

    /// Adds the rules of a node all of whose requirements the buffer has.
    fn add_candidates(&self, policy: &Policy, usage: &NodeUse, row: &mut [u64]) {
        let Some((atoms, rules)) = &self.atoms else { return };
        for (word, (rules, used)) in rules.iter().zip(&usage.rules).enumerate() {
            let found = rules & used & !row[word];
            if found == 0 {
                continue;
            }
            for bit in crate::waf::bytes::BitIterator(found) {
                if has_all_atoms(&policy.library, policy.rules[word * 64 + bit].library_index, atoms) {
                    row[word] |= 1 << bit;
                }
            }
        }
    }
}

fn has_all_atoms(library: &Library, rule: usize, atoms: &[u64]) -> bool {
    let Filter::Atoms(needed) = &library.rules[rule].filter else { return true };
    further_atoms(needed).iter().all(|atom| atoms[usize::from(*atom >> 6)] & (1 << (atom & 63)) != 0)
}
