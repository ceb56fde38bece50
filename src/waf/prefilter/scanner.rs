//! One automaton over the required texts of all rules.

use super::requirements::Requirement;
use crate::waf::bytes::{BitIterator, ByteSet};
use aho_corasick::{AhoCorasick, AhoCorasickKind, Input, MatchKind};
use std::collections::HashMap;

/// A requirement that a scanner looks for.
pub type Atom = u16;

/// The atoms of a buffer, one bit each.
pub type AtomBits = Vec<u64>;

/// Collects requirements for a scanner.
#[derive(Default)]
pub struct ScannerBuilder {
    atoms: Vec<Requirement>,
}

impl ScannerBuilder {
    /// The atom of a requirement.
    pub fn add(&mut self, requirement: Requirement) -> Option<Atom> {
        if let Some(at) = self.atoms.iter().position(|known| *known == requirement) {
            return Atom::try_from(at).ok();
        }
        let atom = Atom::try_from(self.atoms.len()).ok()?;
        self.atoms.push(requirement);
        Some(atom)
    }

    /// The scanner of everything that was added.
    pub fn build(self) -> Scanner {
        let mut text_atoms: HashMap<&[u8], Vec<Atom>> = HashMap::new();
        let mut byte_atoms = vec![Vec::new(); 256];
        let mut bytes = ByteSet::empty();
        for (atom, requirement) in (0..).zip(&self.atoms) {
            for text in &requirement.texts {
                text_atoms.entry(text).or_default().push(atom);
            }
            bytes = bytes.union(requirement.bytes);
            for byte in requirement.bytes.iter() {
                byte_atoms[usize::from(byte)].push(atom);
            }
        }
        let mut texts: Vec<(&[u8], Vec<Atom>)> = text_atoms.into_iter().collect();
        texts.sort();
        let automaton = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .match_kind(MatchKind::Standard)
            .kind(Some(AhoCorasickKind::DFA))
            .build(texts.iter().map(|(text, _)| text))
            .ok();
        let first_bytes = texts.iter().fold(ByteSet::empty(), |set, (text, _)| set.with(text[0]));
        let text_atoms = texts.iter().map(|(_, atoms)| atoms.clone().into()).collect();
        let words = self.atoms.len().div_ceil(64);
        let is_complete = automaton.is_some();
        Scanner { automaton, text_atoms, byte_atoms, bytes, first_bytes, words, is_complete }
    }
}

/// Finds the atoms of buffers.
pub struct Scanner {
    automaton: Option<AhoCorasick>,
    text_atoms: Vec<Box<[Atom]>>,
    byte_atoms: Vec<Vec<Atom>>,
    /// The bytes that are atoms.
    bytes: ByteSet,
    /// The bytes with which texts begin.
    first_bytes: ByteSet,
    words: usize,
    is_complete: bool,
}

impl Scanner {
    /// Whether every atom is found: false if the automaton could not be built.
    pub fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// The words of the bits of a buffer.
    pub fn words(&self) -> usize {
        self.words
    }

    /// The memory of the automaton.
    pub fn memory_bytes(&self) -> usize {
        self.automaton.as_ref().map_or(0, AhoCorasick::memory_usage) + self.text_atoms.len() * 24
    }

    /// Sets the bits of the atoms in a buffer, whose bytes are `presence`.
    pub fn scan(&self, buffer: &[u8], presence: ByteSet, bits: &mut AtomBits) {
        bits.clear();
        bits.resize(self.words, 0);
        let presence = presence.to_lowercase();
        for byte in presence.intersection(self.bytes).iter() {
            set_all(bits, &self.byte_atoms[usize::from(byte)]);
        }
        if buffer.len() < 2 || !presence.is_meeting(&self.first_bytes) {
            return;
        }
        let Some(automaton) = &self.automaton else { return };
        let Ok(found) = automaton.try_find_overlapping_iter(Input::new(buffer)) else { return };
        let mut last = usize::MAX;
        for found in found {
            let pattern = found.pattern().as_usize();
            // Runs of the same text, such as a long row of dots, set the same bits again.
            if pattern != last {
                set_all(bits, &self.text_atoms[pattern]);
                last = pattern;
            }
        }
    }
}

fn set_all(bits: &mut AtomBits, atoms: &[Atom]) {
    for atom in atoms {
        bits[usize::from(*atom >> 6)] |= 1 << (atom & 63);
    }
}

/// The positions of the set bits.
pub fn bit_positions(bits: &[u64]) -> impl Iterator<Item = usize> {
    bits.iter().enumerate().flat_map(|(word, bits)| BitIterator(*bits).map(move |bit| word * 64 + bit))
}
