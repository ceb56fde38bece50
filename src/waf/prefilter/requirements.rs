//! What every match of a regular expression contains: sets of texts of which at least one must occur.

use crate::waf::bytes::ByteSet;
use regex_syntax::hir::{Class, Hir, HirKind};

/// The texts that a set may have while an expression is analyzed.
const MAX_TEXTS: usize = 1024;

/// The texts of a set that are kept whole; of more only the beginnings count.
const MAX_WHOLE_TEXTS: usize = 600;

/// The bytes of a text that count.
const MAX_TEXT_BYTES: usize = 12;

/// The bytes that one position of a text may be before it counts as a set of bytes.
const MAX_CHOICES: usize = 6;

/// The sets that one expression keeps.
const MAX_REQUIREMENTS: usize = 4;

/// Texts and single bytes, all in lowercase, of which a match contains at least one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Requirement {
    /// Texts of two bytes and more.
    pub texts: Vec<Vec<u8>>,
    /// Single bytes.
    pub bytes: ByteSet,
}

impl Requirement {
    /// A requirement of these texts; none when one of them is empty.
    pub fn from_texts(texts: impl IntoIterator<Item = Vec<u8>>) -> Option<Self> {
        let mut requirement = Self::default();
        for mut text in texts {
            text.truncate(MAX_TEXT_BYTES);
            match text.as_slice() {
                [] => return None,
                [byte] => requirement.bytes.insert(byte.to_ascii_lowercase()),
                _ => requirement.texts.push(text.to_ascii_lowercase()),
            }
        }
        requirement.shorten();
        Some(requirement)
    }

    fn union(mut self, other: Self) -> Self {
        self.bytes = self.bytes.union(other.bytes);
        self.texts.extend(other.texts);
        self.shorten();
        self
    }

    fn shorten(&mut self) {
        if self.texts.len() > MAX_WHOLE_TEXTS {
            self.texts.iter_mut().for_each(|text| text.truncate(3));
        }
        self.texts.sort();
        self.texts.dedup();
        let bytes = self.bytes;
        self.texts.retain(|text| !text.iter().any(|byte| bytes.has(*byte)));
    }

    /// How often ordinary text has one of them, as an estimate for one position.
    fn frequency(&self) -> f64 {
        let bytes: f64 = self.bytes.iter().map(byte_frequency).sum();
        let texts: f64 =
            self.texts.iter().map(|text| text.iter().copied().map(byte_frequency).product::<f64>()).sum();
        bytes + texts
    }
}

fn byte_frequency(byte: u8) -> f64 {
    match byte {
        b'e' | b't' | b'a' | b'o' | b'i' | b'n' | b's' | b'r' => 0.06,
        b'a'..=b'z' => 0.03,
        b' ' => 0.1,
        b'0'..=b'9' => 0.02,
        b'.' | b'/' | b'-' | b'_' | b',' | b':' | b'=' => 0.015,
        b'"' | b'\'' | b';' | b'(' | b')' | b'\n' | b'\r' => 0.005,
        _ => 0.001,
    }
}

/// What an expression, or a part of it, matches.
struct Analysis {
    /// Every text it matches, if these are few.
    texts: Option<Vec<Vec<u8>>>,
    /// What each match contains.
    required: Vec<Requirement>,
}

impl Analysis {
    fn of_texts(texts: Vec<Vec<u8>>) -> Self {
        Self { texts: Some(texts), required: Vec::new() }
    }

    fn unknown() -> Self {
        Self { texts: None, required: Vec::new() }
    }

    /// All requirements, those of the texts included.
    fn into_requirements(self) -> Vec<Requirement> {
        let mut required = self.required;
        required.extend(self.texts.and_then(Requirement::from_texts));
        required
    }

    fn best(self) -> Option<Requirement> {
        self.into_requirements().into_iter().min_by(|a, b| a.frequency().total_cmp(&b.frequency()))
    }
}

/// The most selective requirements, the best one first; none if a match may have any text.
pub fn requirements(hir: &Hir) -> Vec<Requirement> {
    let mut required = analyze(hir).into_requirements();
    required.sort_by(|a, b| a.frequency().total_cmp(&b.frequency()));
    required.dedup();
    required.retain(|requirement| requirement.frequency() < 0.9);
    required.truncate(MAX_REQUIREMENTS);
    required
}

fn analyze(hir: &Hir) -> Analysis {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => Analysis::of_texts(vec![Vec::new()]),
        HirKind::Literal(literal) => Analysis::of_texts(vec![literal.0.to_ascii_lowercase()]),
        HirKind::Class(class) => analyze_class(class),
        HirKind::Capture(capture) => analyze(&capture.sub),
        HirKind::Repetition(repetition) => {
            let inner = analyze(&repetition.sub);
            analyze_repetition(inner, repetition.min, repetition.max)
        }
        HirKind::Concat(pieces) => analyze_concatenation(pieces),
        HirKind::Alternation(branches) => analyze_alternation(branches),
    }
}

fn analyze_class(class: &Class) -> Analysis {
    let mut set = ByteSet::empty();
    match class {
        Class::Bytes(bytes) => {
            for range in bytes.ranges() {
                set = set.union(ByteSet::range(range.start(), range.end()));
            }
        }
        Class::Unicode(characters) => {
            for range in characters.ranges() {
                let (Ok(first), Ok(last)) = (u8::try_from(range.start()), u8::try_from(range.end())) else {
                    return Analysis::unknown();
                };
                set = set.union(ByteSet::range(first, last));
            }
        }
    }
    let set = set.to_lowercase();
    if set.iter().count() <= MAX_CHOICES {
        return Analysis::of_texts(set.iter().map(|byte| vec![byte]).collect());
    }
    Analysis { texts: None, required: vec![Requirement { texts: Vec::new(), bytes: set }] }
}

fn analyze_repetition(inner: Analysis, min: u32, max: Option<u32>) -> Analysis {
    match (min, max) {
        (1, Some(1)) => inner,
        (0, Some(1)) => match inner.texts {
            Some(mut texts) => {
                texts.push(Vec::new());
                Analysis::of_texts(texts)
            }
            None => Analysis::unknown(),
        },
        (0, _) => Analysis::unknown(),
        _ => Analysis { texts: None, required: inner.into_requirements() },
    }
}

fn analyze_concatenation(pieces: &[Hir]) -> Analysis {
    let mut required = Vec::new();
    let mut run: Vec<Vec<u8>> = vec![Vec::new()];
    let mut is_whole = true;
    for piece in pieces {
        let analysis = analyze(piece);
        let Some(texts) = analysis.texts else {
            required.extend(analysis.required);
            required.extend(Requirement::from_texts(std::mem::replace(&mut run, vec![Vec::new()])));
            is_whole = false;
            continue;
        };
        if run.len() * texts.len() <= MAX_TEXTS {
            run = run
                .iter()
                .flat_map(|start| texts.iter().map(move |end| [&start[..], end].concat()))
                .collect();
        } else {
            required.extend(Requirement::from_texts(std::mem::replace(&mut run, texts)));
            is_whole = false;
        }
    }
    if is_whole {
        return Analysis { texts: Some(run), required };
    }
    required.extend(Requirement::from_texts(run));
    Analysis { texts: None, required }
}

fn analyze_alternation(branches: &[Hir]) -> Analysis {
    let analyses: Vec<Analysis> = branches.iter().map(analyze).collect();
    let count: usize =
        analyses.iter().map(|analysis| analysis.texts.as_ref().map_or(MAX_TEXTS, Vec::len)).sum();
    if count <= MAX_TEXTS && analyses.iter().all(|analysis| analysis.texts.is_some()) {
        return Analysis::of_texts(
            analyses.into_iter().filter_map(|analysis| analysis.texts).flatten().collect(),
        );
    }
    let best: Option<Vec<Requirement>> = analyses.into_iter().map(Analysis::best).collect();
    let union = best.and_then(|all| all.into_iter().reduce(Requirement::union));
    Analysis { texts: None, required: union.into_iter().collect() }
}
