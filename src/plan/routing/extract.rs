//! Placeholder values (docs/ocelot-behavior.md, section 6.4): literal texts with holes between them, each hole as long as it can be, the
//! first one first. Literals are packed from the right, which gives just that, in linear time.

use smallvec::SmallVec;

use super::escape::eq_maybe_ignore_case;
use super::program::Op;
use super::rules::RoutingRules;
use crate::base::path_params::PathParams;

/// Bytes at which a hole ends.
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

/// One hole: where it stops, and how short it may be.
#[derive(Clone, Copy, Debug)]
struct CapturePattern {
    terminators: u8,
    min_len: usize,
}

/// Literal texts with a hole between each two of them.
#[derive(Clone, Debug)]
pub(super) struct LiteralPattern {
    texts: Vec<Box<[u8]>>,
    captures: SmallVec<[CapturePattern; 4]>,
    /// The last text stands at the end of the subject.
    anchored: bool,
    /// Every hole ends at the first byte it stops at: the common case, for which one pass suffices.
    plain: bool,
}

/// Where a hole may lie: from, to at most, and exactly to when the next text leaves no choice.
#[derive(Clone, Copy, Default)]
struct CaptureRange {
    from: usize,
    to: usize,
    fixed: Option<usize>,
}

/// A text with or without one more `/` behind it.
#[derive(Clone, Copy)]
struct MatchInput<'t> {
    bytes: &'t [u8],
    slash: bool,
}

impl LiteralPattern {
    /// The pattern that values are taken with: `[^/|&]*`, the last hole `[^&]*`, not anchored at the end. Ours lets
    /// `&` and `|` stand in path values, where they mean nothing.
    pub(super) fn extraction_pattern(
        texts: Vec<Vec<u8>>,
        path_holes: usize,
        query: bool,
        rules: &RoutingRules,
    ) -> LiteralPattern {
        let count = texts.len() - 1;
        let hole = |i: usize| match (rules.ocelot_value_extraction, i + 1 == count) {
            (true, true) => AMPERSAND,
            (true, false) => SLASH | BAR | AMPERSAND,
            (false, _) if i >= path_holes => AMPERSAND,
            (false, true) if !query => 0,
            (false, _) if query => SLASH | QUESTION,
            (false, _) => SLASH,
        };
        LiteralPattern::new(
            texts,
            (0..count).map(|i| CapturePattern { terminators: hole(i), min_len: 0 }).collect(),
            false,
        )
    }

    fn new(texts: Vec<Vec<u8>>, captures: SmallVec<[CapturePattern; 4]>, anchored: bool) -> LiteralPattern {
        let stops = |(hole, next): (&CapturePattern, &Vec<u8>)| match next.first() {
            Some(byte) => stop_class(*byte) & hole.terminators != 0,
            None => !anchored,
        };
        let plain = captures.iter().zip(&texts[1..]).all(stops)
            && texts[1..].iter().rev().skip(1).all(|text| !text.is_empty())
            && captures.iter().all(|hole| hole.min_len == 0);
        LiteralPattern {
            texts: texts.into_iter().map(Vec::into_boxed_slice).collect(),
            captures,
            anchored,
            plain,
        }
    }

    /// Takes the values out of `bytes`, with `slash` as if one `/` more stood at its end. False: it does not fit.
    pub(super) fn solve(&self, bytes: &[u8], slash: bool, values: &mut PathParams) -> bool {
        let subject = MatchInput { bytes, slash };
        if self.plain {
            return self.solve_plain(&subject, values);
        }
        let Some(rooms) = self.candidate_ranges(&subject) else { return false };
        let Some(ends) = self.latest_ends(&subject, &rooms) else { return false };
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
        let (before, most) = (values.len(), subject.bytes.len());
        let mut pos = self.texts[0].len();
        for (hole, next) in self.captures.iter().zip(&self.texts[1..]) {
            let end = subject.run_end(pos, hole.terminators);
            if !subject.matches_at(end, next) {
                values.truncate(before);
                return false;
            }
            values.push_range(pos.min(most), end.min(most));
            pos = end + next.len();
        }
        true
    }

    /// Left to right: where each hole may lie. A text that holds a byte the hole stops at leaves it no choice.
    fn candidate_ranges(&self, subject: &MatchInput<'_>) -> Option<SmallVec<[CaptureRange; 4]>> {
        let mut pos = subject.matches_at(0, &self.texts[0]).then_some(self.texts[0].len())?;
        let mut rooms = SmallVec::new();
        for (i, hole) in self.captures.iter().enumerate() {
            let next = &self.texts[i + 1];
            let to = subject.run_end(pos, hole.terminators);
            let last = i + 1 == self.captures.len();
            let mut fixed =
                next.iter().position(|b| stop_class(*b) & hole.terminators != 0).map(|at| to.checked_sub(at));
            if fixed.is_none() && last && self.anchored {
                fixed = Some(subject.len().checked_sub(next.len()).filter(|at| *at <= to));
            }
            let room = CaptureRange { from: pos, to, fixed: fixed.map_or(Some(None), |at| at.map(Some))? };
            if let Some(at) = room.fixed {
                (at >= pos + hole.min_len && subject.matches_at(at, next)).then_some(())?;
                pos = at + next.len();
            }
            rooms.push(room);
        }
        Some(rooms)
    }

    /// Right to left: the last place where each hole can end.
    fn latest_ends(&self, subject: &MatchInput<'_>, rooms: &[CaptureRange]) -> Option<SmallVec<[usize; 4]>> {
        let mut ends: SmallVec<[usize; 4]> = SmallVec::from_elem(0, rooms.len());
        let mut limit = usize::MAX;
        for (i, room) in rooms.iter().enumerate().rev() {
            let (hole, next) = (&self.captures[i], &self.texts[i + 1]);
            let end = match room.fixed {
                Some(at) => at,
                None => {
                    let most = room.to.min(limit.checked_sub(next.len())?);
                    let least = room.from + hole.min_len;
                    (least..=most).rev().find(|at| subject.matches_at(*at, next))?
                }
            };
            ends[i] = end;
            limit = end.checked_sub(hole.min_len)?;
        }
        Some(ends)
    }
}

impl MatchInput<'_> {
    fn len(&self) -> usize {
        self.bytes.len() + usize::from(self.slash)
    }

    /// Whether `want` stands at `at`; values are taken in any case.
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

    /// The first byte from `at` that a hole with these stops cannot take.
    fn run_end(&self, at: usize, stops: u8) -> usize {
        let rest = self.bytes.get(at..).unwrap_or_default();
        match first_stop(rest, stops) {
            Some(n) => at + n,
            None if self.slash && stops & SLASH != 0 => self.bytes.len().max(at),
            None => self.len().max(at),
        }
    }
}

/// Where the first byte of these classes stands.
fn first_stop(text: &[u8], stops: u8) -> Option<usize> {
    match stops {
        0 => None,
        SLASH => memchr::memchr(b'/', text),
        AMPERSAND => memchr::memchr(b'&', text),
        _ => text.iter().position(|b| stop_class(*b) & stops != 0),
    }
}

/// The values as the route itself matched, where the simpler pattern of section 6.4 does not fit: each way to write the
/// optional parts is tried until one fits.
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
    debug_assert!(false, "a route that matched has values");
    (0..names).for_each(|_| values.push_range(text.len(), text.len()));
}

/// The program as texts and holes, with `mark` for the `?`. A mark without `?` is only possible when nothing but holes
/// follows it; then they are left out.
fn to_texts_and_captures(ops: &[Op], mark: &[u8], tail: bool) -> Option<LiteralPattern> {
    let mut texts = vec![Vec::new()];
    let mut holes = SmallVec::new();
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
                holes.push(CapturePattern {
                    terminators: stops,
                    min_len: usize::from(matches!(op, Op::Segment)),
                });
                texts.push(Vec::new());
            }
        }
    }
    Some(LiteralPattern::new(texts, holes, true))
}
