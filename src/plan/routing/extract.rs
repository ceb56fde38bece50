//! Extracts placeholder values (docs/ocelot-behavior.md, section 6.4): literal texts with captures between them, each
//! capture as long as possible, the first one first. Literals are packed from the right, which is equivalent and
//! linear.

use smallvec::SmallVec;

use super::escape::eq_maybe_ignore_case;
use super::program::Op;
use super::rules::RoutingRules;
use crate::base::path_params::PathParams;

/// Bytes at which a capture ends.
const SLASH: u8 = 1;
const AMPERSAND: u8 = 2;
const BAR: u8 = 4;
const QUESTION: u8 = 8;

fn stop_class(byte: u8) -> u8 {
    match byte {
        b'/' => SLASH,
        b'&' => AMPERSAND,
        b'|' => BAR,
        b'?' => QUESTION,
        _ => 0,
    }
}

/// One capture: its stop bytes and its minimum length.
#[derive(Clone, Copy, Debug)]
struct CapturePattern {
    terminators: u8,
    min_len: usize,
}

/// Literal texts with a capture between each two of them.
#[derive(Clone, Debug)]
pub(super) struct LiteralPattern {
    texts: Vec<Box<[u8]>>,
    captures: SmallVec<[CapturePattern; 4]>,
    /// Whether the last text must be at the end of the subject.
    anchored: bool,
    /// Whether every capture ends at the first of its stop bytes: the common case, which needs a single pass.
    plain: bool,
}

/// The range of a capture: its start, its maximum end, and its exact end when the next text determines it.
#[derive(Clone, Copy, Default)]
struct CaptureRange {
    from: usize,
    to: usize,
    fixed: Option<usize>,
}

/// A text, optionally with one more `/` at its end.
#[derive(Clone, Copy)]
struct MatchInput<'t> {
    bytes: &'t [u8],
    slash: bool,
}

impl LiteralPattern {
    /// The pattern that extracts values: `[^/|&]*`, the last capture `[^&]*`, not anchored at the end. Ours permits
    /// `&` and `|` in path values, where they have no meaning.
    pub(super) fn extraction_pattern(
        texts: Vec<Vec<u8>>,
        path_holes: usize,
        query: bool,
        rules: &RoutingRules,
    ) -> LiteralPattern {
        let count = texts.len() - 1;
        let terminators = |i: usize| match (rules.ocelot_value_extraction, i + 1 == count) {
            (true, true) => AMPERSAND,
            (true, false) => SLASH | BAR | AMPERSAND,
            (false, _) if i >= path_holes => AMPERSAND,
            (false, true) if !query => 0,
            (false, _) if query => SLASH | QUESTION,
            (false, _) => SLASH,
        };
        LiteralPattern::new(
            texts,
            (0..count).map(|i| CapturePattern { terminators: terminators(i), min_len: 0 }).collect(),
            false,
        )
    }

    fn new(texts: Vec<Vec<u8>>, captures: SmallVec<[CapturePattern; 4]>, anchored: bool) -> LiteralPattern {
        let stops = |(capture, next): (&CapturePattern, &Vec<u8>)| match next.first() {
            Some(byte) => stop_class(*byte) & capture.terminators != 0,
            None => !anchored,
        };
        let plain = captures.iter().zip(&texts[1..]).all(stops)
            && texts[1..].iter().rev().skip(1).all(|text| !text.is_empty())
            && captures.iter().all(|capture| capture.min_len == 0);
        LiteralPattern {
            texts: texts.into_iter().map(Vec::into_boxed_slice).collect(),
            captures,
            anchored,
            plain,
        }
    }

    /// Extracts the values from `bytes`; `slash` appends a virtual `/`. Returns false if the pattern does not match.
    pub(super) fn solve(&self, bytes: &[u8], slash: bool, values: &mut PathParams) -> bool {
        let subject = MatchInput { bytes, slash };
        if self.plain {
            return self.solve_plain(&subject, values);
        }
        let Some(ranges) = self.candidate_ranges(&subject) else { return false };
        let Some(ends) = self.latest_ends(&subject, &ranges) else { return false };
        let mut start = self.texts[0].len();
        for (i, end) in ends.iter().enumerate() {
            values.push_range(start.min(bytes.len()), (*end).min(bytes.len()));
            start = end + self.texts[i + 1].len();
        }
        true
    }

    fn solve_plain(&self, subject: &MatchInput<'_>, values: &mut PathParams) -> bool {
        if !subject.matches_at(0, &self.texts[0]) {
            return false;
        }
        let (before, max) = (values.len(), subject.bytes.len());
        let mut pos = self.texts[0].len();
        for (capture, next) in self.captures.iter().zip(&self.texts[1..]) {
            let end = subject.run_end(pos, capture.terminators);
            if !subject.matches_at(end, next) {
                values.truncate(before);
                return false;
            }
            values.push_range(pos.min(max), end.min(max));
            pos = end + next.len();
        }
        true
    }

    /// Left to right: the range of each capture. A text that contains a stop byte of the capture determines its end.
    fn candidate_ranges(&self, subject: &MatchInput<'_>) -> Option<SmallVec<[CaptureRange; 4]>> {
        let mut pos = subject.matches_at(0, &self.texts[0]).then_some(self.texts[0].len())?;
        let mut ranges = SmallVec::new();
        for (i, capture) in self.captures.iter().enumerate() {
            let next = &self.texts[i + 1];
            let to = subject.run_end(pos, capture.terminators);
            let last = i + 1 == self.captures.len();
            let mut fixed = next
                .iter()
                .position(|b| stop_class(*b) & capture.terminators != 0)
                .map(|at| to.checked_sub(at));
            if fixed.is_none() && last && self.anchored {
                fixed = Some(subject.len().checked_sub(next.len()).filter(|at| *at <= to));
            }
            let range = CaptureRange { from: pos, to, fixed: fixed.map_or(Some(None), |at| at.map(Some))? };
            if let Some(at) = range.fixed {
                (at >= pos + capture.min_len && subject.matches_at(at, next)).then_some(())?;
                pos = at + next.len();
            }
            ranges.push(range);
        }
        Some(ranges)
    }

    /// Right to left: the last position where each capture can end.
    fn latest_ends(&self, subject: &MatchInput<'_>, ranges: &[CaptureRange]) -> Option<SmallVec<[usize; 4]>> {
        let mut ends: SmallVec<[usize; 4]> = SmallVec::from_elem(0, ranges.len());
        let mut limit = usize::MAX;
        for (i, range) in ranges.iter().enumerate().rev() {
            let (capture, next) = (&self.captures[i], &self.texts[i + 1]);
            let end = match range.fixed {
                Some(at) => at,
                None => {
                    let max = range.to.min(limit.checked_sub(next.len())?);
                    let min = range.from + capture.min_len;
                    (min..=max).rev().find(|at| subject.matches_at(*at, next))?
                }
            };
            ends[i] = end;
            limit = end.checked_sub(capture.min_len)?;
        }
        Some(ends)
    }
}

impl MatchInput<'_> {
    fn len(&self) -> usize {
        self.bytes.len() + usize::from(self.slash)
    }

    /// Whether `want` occurs at `at`, ignoring case.
    fn matches_at(&self, at: usize, want: &[u8]) -> bool {
        match self.bytes.get(at..at + want.len()) {
            Some(have) => eq_maybe_ignore_case(have, want, true),
            None => match want.split_last() {
                Some((b'/', front)) if self.slash && at + want.len() == self.len() => {
                    self.bytes.get(at..).is_some_and(|have| eq_maybe_ignore_case(have, front, true))
                }
                _ => want.is_empty() && at <= self.len(),
            },
        }
    }

    /// The first byte from `at` at which a capture with these stops ends.
    fn run_end(&self, at: usize, stops: u8) -> usize {
        let rest = self.bytes.get(at..).unwrap_or_default();
        match first_stop(rest, stops) {
            Some(n) => at + n,
            None if self.slash && stops & SLASH != 0 => self.bytes.len().max(at),
            None => self.len().max(at),
        }
    }
}

/// The position of the first byte of these classes.
fn first_stop(text: &[u8], stops: u8) -> Option<usize> {
    match stops {
        0 => None,
        SLASH => memchr::memchr(b'/', text),
        AMPERSAND => memchr::memchr(b'&', text),
        _ => text.iter().position(|b| stop_class(*b) & stops != 0),
    }
}

/// The values by the matching pattern of the route, where the simpler pattern of section 6.4 does not match: each
/// form of the optional parts is tried until one matches.
pub(super) fn as_matched(ops: &[Op], names: usize, text: &[u8], values: &mut PathParams) {
    let before = values.len();
    for (slash, tail) in [(false, true), (true, true), (false, false)] {
        for mark in [&b"/?"[..], b"?", b"/", b""] {
            let fits =
                to_texts_and_captures(ops, mark, tail).is_some_and(|pack| pack.solve(text, slash, values));
            if fits || values.len() > before {
                while values.len() < before + names {
                    values.push_range(text.len(), text.len());
                }
                return;
            }
        }
    }
    debug_assert!(false, "a route that matched must have values");
    (0..names).for_each(|_| values.push_range(text.len(), text.len()));
}

/// The program as texts and captures, with `mark` for the `?`. A mark without `?` is only possible when nothing
/// except captures follows it; then they are omitted.
fn to_texts_and_captures(ops: &[Op], mark: &[u8], tail: bool) -> Option<LiteralPattern> {
    let mut texts = vec![Vec::new()];
    let mut captures = SmallVec::new();
    for (i, op) in ops.iter().enumerate() {
        let last = texts.last_mut()?;
        match op {
            Op::Text(text) => last.extend_from_slice(text),
            Op::Query { .. } => {
                last.extend_from_slice(mark);
                if !mark.ends_with(b"?") {
                    let mut rest = ops[i + 1..].iter().take_while(|op| !matches!(op, Op::OptionalTail));
                    rest.all(|op| matches!(op, Op::CatchAll | Op::OptionalSlash | Op::End)).then_some(())?;
                    break;
                }
            }
            Op::OptionalTail if !tail => break,
            Op::OptionalSlash => last.push(b'/'),
            Op::OptionalTail | Op::End => {}
            Op::Segment | Op::CatchAll => {
                let stops = if matches!(op, Op::Segment) { SLASH } else { 0 };
                captures.push(CapturePattern {
                    terminators: stops,
                    min_len: usize::from(matches!(op, Op::Segment)),
                });
                texts.push(Vec::new());
            }
        }
    }
    Some(LiteralPattern::new(texts, captures, true))
}
