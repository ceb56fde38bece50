//! Lists of words for `@pm` and `@pmFromFile`.

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use std::sync::OnceLock;

/// Words that are searched in any case; the automaton is built when it is first used.
#[derive(Debug)]
pub struct WordList {
    words: Vec<Vec<u8>>,
    automaton: OnceLock<Option<AhoCorasick>>,
}

impl WordList {
    /// A list; empty words are left out.
    pub fn new(words: impl IntoIterator<Item = Vec<u8>>) -> Self {
        let words = words.into_iter().filter(|word| !word.is_empty()).collect();
        Self { words, automaton: OnceLock::new() }
    }

    /// The words of `@pm`: separated by spaces, with `|4a 4b|` for bytes.
    pub fn from_argument(argument: &str) -> Self {
        let mut is_hex = false;
        let words = argument.split(move |character: char| {
            is_hex ^= character == '|';
            character.is_ascii_whitespace() && !is_hex
        });
        let is_whole = argument.matches('|').count().is_multiple_of(2);
        match is_whole {
            true => Self::new(words.map(unescape)),
            false => Self::new(argument.split_ascii_whitespace().map(|word| word.as_bytes().to_vec())),
        }
    }

    /// One word a line; lines that begin with `#` are comments.
    pub fn from_file(text: &[u8]) -> Self {
        let lines = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
        Self::new(lines.filter(|line| !line.starts_with(b"#")).map(<[u8]>::to_vec))
    }

    /// The words.
    pub fn words(&self) -> &[Vec<u8>] {
        &self.words
    }

    /// Where the first word of a text is.
    pub fn find(&self, text: &[u8]) -> Option<(usize, usize)> {
        let automaton = self.automaton.get_or_init(|| build(&self.words)).as_ref()?;
        automaton.find(text).map(|found| (found.start(), found.end()))
    }
}

fn build(words: &[Vec<u8>]) -> Option<AhoCorasick> {
    AhoCorasick::builder()
        .ascii_case_insensitive(true)
        .match_kind(MatchKind::Standard)
        .kind(Some(AhoCorasickKind::ContiguousNFA))
        .build(words)
        .ok()
}

/// `|4a 4b|` within a word stands for these bytes.
fn unescape(word: &str) -> Vec<u8> {
    let pieces: Vec<&str> = word.split('|').collect();
    if pieces.len() < 3 {
        return word.as_bytes().to_vec();
    }
    let mut bytes = Vec::new();
    for (at, piece) in pieces.iter().enumerate() {
        let digits: Vec<u8> = piece.bytes().filter(u8::is_ascii_hexdigit).collect();
        if at % 2 == 1 && digits.len().is_multiple_of(2) && !digits.is_empty() {
            bytes.extend(digits.chunks_exact(2).filter_map(crate::waf::bytes::hex_byte));
        } else {
            bytes.extend_from_slice(piece.as_bytes());
        }
    }
    bytes
}
