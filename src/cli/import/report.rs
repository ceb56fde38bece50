//! What an import did: its counts, and what it did not take over, and why.

use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// Positions of equal notes that are listed; the others are counted.
const MAX_LISTED_POSITIONS: usize = 3;

/// What happened to a part of the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NoteKind {
    /// The part has no counterpart, and the result works without it.
    Skipped,
    /// The part became something that behaves differently.
    Changed,
    /// The result needs a value that the source does not contain.
    Incomplete,
}

impl NoteKind {
    fn name(self) -> &'static str {
        match self {
            NoteKind::Skipped => "skipped",
            NoteKind::Changed => "changed",
            NoteKind::Incomplete => "incomplete",
        }
    }

    fn title(self) -> &'static str {
        match self {
            NoteKind::Skipped => "not taken over",
            NoteKind::Changed => "behaves differently",
            NoteKind::Incomplete => "needs a value",
        }
    }
}

/// Equal notes with all their positions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    pub kind: NoteKind,
    /// The reason, in one sentence without a period.
    pub message: String,
    /// Where in the source: a JSON pointer, or the names on the way to the part.
    pub positions: Vec<String>,
}

/// The report of one import.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// What the source contains and what the result contains, in this order: `("operations", 120)`.
    pub counts: Vec<(&'static str, usize)>,
    notes: Vec<Note>,
    index: BTreeMap<(NoteKind, String), usize>,
    /// Positions that a note has already.
    positions: BTreeSet<(usize, String)>,
}

impl Report {
    /// A part that was not taken over.
    pub fn skip(&mut self, position: impl Into<String>, message: impl Into<String>) {
        self.add(NoteKind::Skipped, position.into(), message.into());
    }

    /// A part that behaves differently.
    pub fn change(&mut self, position: impl Into<String>, message: impl Into<String>) {
        self.add(NoteKind::Changed, position.into(), message.into());
    }

    /// A value that the operator has to provide.
    pub fn incomplete(&mut self, position: impl Into<String>, message: impl Into<String>) {
        self.add(NoteKind::Incomplete, position.into(), message.into());
    }

    fn add(&mut self, kind: NoteKind, position: String, message: String) {
        let next = self.notes.len();
        let at = *self.index.entry((kind, message.clone())).or_insert(next);
        if at == next {
            self.notes.push(Note { kind, message, positions: Vec::new() });
        }
        if self.positions.insert((at, position.clone())) {
            self.notes[at].positions.push(position);
        }
    }

    /// All notes, in the order of their kinds and of their first positions.
    pub fn notes(&self) -> Vec<&Note> {
        let mut notes: Vec<&Note> = self.notes.iter().collect();
        notes.sort_by_key(|note| note.kind);
        notes
    }

    /// The report as text, one paragraph for each kind.
    pub fn to_text(&self) -> String {
        let counts: Vec<String> = self.counts.iter().map(count_text).collect();
        let mut text = format!("imported: {}\n", counts.join(", "));
        let mut kind = None;
        for note in self.notes() {
            if kind.replace(note.kind) != Some(note.kind) {
                let _ = writeln!(text, "{}:", note.kind.title());
            }
            let listed = note.positions.len().min(MAX_LISTED_POSITIONS);
            let more = match note.positions.len() - listed {
                0 => String::new(),
                more => format!(", and {more} more"),
            };
            let _ =
                writeln!(text, "  {}\n    at {}{more}", note.message, note.positions[..listed].join(", "));
        }
        text
    }

    /// The report as JSON, with every position.
    pub fn to_json(&self) -> Value {
        let counts: serde_json::Map<String, Value> =
            self.counts.iter().map(|(what, n)| ((*what).to_owned(), json!(n))).collect();
        let notes: Vec<Value> = self
            .notes()
            .into_iter()
            .map(|note| json!({ "kind": note.kind.name(), "message": note.message, "positions": note.positions }))
            .collect();
        json!({ "counts": counts, "notes": notes })
    }
}

/// `1 route`, `2 routes`.
fn count_text((what, n): &(&str, usize)) -> String {
    let what = if *n == 1 { what.trim_end_matches('s') } else { what };
    format!("{n} {what}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_notes_are_one_with_all_positions_and_kinds_are_paragraphs() {
        let mut report = Report { counts: vec![("operations", 9), ("routes", 1)], ..Report::default() };
        report.incomplete("/security", "add keys");
        for position in ["/a", "/b", "/a", "/c", "/d"] {
            report.skip(position, "callbacks have no counterpart");
        }
        assert_eq!(
            report.to_text(),
            "imported: 9 operations, 1 route\nnot taken over:\n  callbacks have no counterpart\n    at /a, /b, /c, and 1 \
             more\nneeds a value:\n  add keys\n    at /security\n"
        );
        assert_eq!(report.to_json()["notes"][0]["positions"], json!(["/a", "/b", "/c", "/d"]));
        assert_eq!(report.to_json()["counts"]["routes"], json!(1));
    }
}
