//! The program that a template compiles to, and the machine that runs it.
//!
//! The machine backtracks to the last placeholder only: whatever an earlier one could match instead, the last one can
//! match as well, because a placeholder that stops at `/` determines where its segment ends, and one that spans
//! segments matches everything. So a match costs at most (bytes of the path) × (bytes of the template).

use super::escape::eq_maybe_ignore_case;

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Op {
    /// Literal text.
    Text(Box<[u8]>),
    /// `[^/]+`
    Segment,
    /// `.*`
    CatchAll,
    /// `(/$|/\?|\?|$)`; `slash`: the template has `/?`.
    Query {
        /// Whether the template has `/?`.
        slash: bool,
    },
    /// `(?:|` ... `)$`: the end, or the remaining program.
    OptionalTail,
    /// `(/|)`
    OptionalSlash,
    /// `$`
    End,
}

/// A compiled template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Program {
    pub(super) ops: Vec<Op>,
    /// ASCII letters are matched case-insensitively.
    pub(super) any_case: bool,
    /// `/{name}`: everything, at priority 0.
    pub(super) catch_all: bool,
    /// The subject is path and query, not only the path.
    pub(super) query: bool,
}

/// The result of one step.
enum Next {
    /// Continues with the next step at this position.
    Continue(usize),
    /// It matches.
    Done,
    /// No match at this position.
    Fail,
}

/// The last placeholder passed: the step after it, its current end, and whether it may match a `/`.
struct CaptureState {
    op: usize,
    end: usize,
    spans: bool,
}

impl Program {
    /// Whether the whole text matches; if not, how many bytes the longest attempt matched.
    pub(super) fn run(&self, text: &[u8]) -> Result<(), usize> {
        let (mut op, mut pos, mut far) = (0, 0, 0);
        let mut capture: Option<CaptureState> = None;
        while let Some(step) = self.ops.get(op) {
            if matches!((step, self.ops.get(op + 1)), (Op::CatchAll, None | Some(Op::End))) {
                return Ok(());
            }
            if matches!(step, Op::Segment) && self.segment_ends_before(op + 1) {
                let width = segment_width(&text[pos..]).ok_or(far.max(pos))?;
                (op, pos, capture) = (op + 1, pos + width, None);
                continue;
            }
            match self.step(step, text, pos) {
                Next::Done => return Ok(()),
                Next::Continue(next) => {
                    pos = next;
                    op += 1;
                    if matches!(step, Op::Segment | Op::CatchAll) {
                        capture = Some(CaptureState { op, end: pos, spans: matches!(step, Op::CatchAll) });
                    }
                }
                Next::Fail => {
                    far = far.max(pos + self.matched_prefix_len(step, text, pos));
                    let last = capture.as_mut().ok_or(far)?;
                    if !last.extend_capture(text) {
                        return Err(far);
                    }
                    (op, pos) = (last.op, last.end);
                }
            }
        }
        Ok(())
    }

    fn step(&self, op: &Op, text: &[u8], pos: usize) -> Next {
        let rest = &text[pos..];
        match op {
            Op::Text(want) => match rest.get(..want.len()) {
                Some(have) if eq_maybe_ignore_case(have, want, self.any_case) => {
                    Next::Continue(pos + want.len())
                }
                _ => Next::Fail,
            },
            Op::Segment if rest.first().is_some_and(|b| *b != b'/') => Next::Continue(pos + 1),
            Op::CatchAll => Next::Continue(pos),
            Op::Query { .. } => query_mark(rest).map_or(Next::Fail, |width| Next::Continue(pos + width)),
            Op::OptionalTail if rest.is_empty() => Next::Done,
            Op::OptionalTail => Next::Continue(pos),
            Op::OptionalSlash | Op::End if rest.is_empty() => Next::Done,
            Op::OptionalSlash if rest == b"/" => Next::Done,
            Op::Segment | Op::OptionalSlash | Op::End => Next::Fail,
        }
    }

    /// Whether this step can only match at the end of a segment: then a placeholder before it has a fixed end.
    fn segment_ends_before(&self, op: usize) -> bool {
        match self.ops.get(op) {
            Some(Op::Text(text)) => text.first() == Some(&b'/'),
            Some(Op::OptionalSlash) => true,
            _ => false,
        }
    }

    /// How many bytes of a mismatching text match; for `explain`.
    fn matched_prefix_len(&self, op: &Op, text: &[u8], pos: usize) -> usize {
        let Op::Text(want) = op else { return 0 };
        let pairs = want.iter().zip(&text[pos..]);
        pairs.take_while(|(a, b)| eq_maybe_ignore_case(&[**a], &[**b], self.any_case)).count()
    }
}

impl CaptureState {
    /// Extends the capture by one byte, if permitted.
    fn extend_capture(&mut self, text: &[u8]) -> bool {
        let may = text.get(self.end).is_some_and(|b| self.spans || *b != b'/');
        self.end += usize::from(may);
        may
    }
}

/// The width of the segment at the start of `rest`; `None` for an empty one.
fn segment_width(rest: &[u8]) -> Option<usize> {
    let width = rest.iter().position(|b| *b == b'/').unwrap_or(rest.len());
    (width > 0).then_some(width)
}

/// The width of `(/$|/\?|\?|$)` at the start of `rest`.
fn query_mark(rest: &[u8]) -> Option<usize> {
    match rest {
        [] => Some(0),
        [b'?', ..] | [b'/'] => Some(1),
        [b'/', b'?', ..] => Some(2),
        _ => None,
    }
}
