//! Diagnostics: all errors and warnings of a document, each with its span, message and suggested fix.

use super::span::Span;
use super::suggest;
use std::collections::{HashMap, HashSet};

/// An error prevents the document from being applied, a warning does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    Warning,
    Error,
}

/// The stable code of one kind of diagnostic, `MG0101`; the table is in `codes.rs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Code(pub &'static str);

/// One error or warning.
#[derive(Clone, Debug)]
pub struct Diagnostic {
    pub severity: Severity,
    pub code: Code,
    /// The problem, in one sentence without a period.
    pub message: String,
    /// The location; `None` for a file as a whole or the command line.
    pub span: Option<Span>,
    /// Suggested fixes, one sentence each; may have several lines (JSON to paste).
    pub help: Vec<String>,
}

impl Diagnostic {
    /// Adds a suggested fix.
    pub fn help(&mut self, text: impl Into<String>) -> &mut Self {
        self.help.push(text.into());
        self
    }

    /// Adds the known names for an unknown one, with the closest of them first.
    pub fn expected(&mut self, found: &str, known: &[&str]) -> &mut Self {
        if let Some(meant) = suggest::closest_match(found, known.iter().copied()) {
            self.help(format!("did you mean \"{meant}\"?"));
        }
        self.help(format!("expected {}", suggest::one_of(known)))
    }

    fn sort_key(&self) -> (Option<Span>, std::cmp::Reverse<Severity>, Code, &str) {
        (self.span, std::cmp::Reverse(self.severity), self.code, &self.message)
    }
}

/// The list to which every check adds.
#[derive(Debug, Default)]
pub struct Diagnostics {
    pub list: Vec<Diagnostic>,
    /// Spans of unreadable values, which were replaced by defaults: later diagnostics about them are suppressed.
    unreadable: HashSet<Span>,
    /// Objects with a misspelled setting, and its correct name: that it is missing is not reported too.
    misspelled: Vec<(Span, &'static str)>,
    /// The target of suppressed diagnostics.
    suppressed: Option<Diagnostic>,
}

impl Diagnostics {
    /// Adds an error, with which the configuration is rejected; `None` as the span: no position in a file.
    pub fn error(
        &mut self,
        code: Code,
        span: impl Into<Option<Span>>,
        message: impl Into<String>,
    ) -> &mut Diagnostic {
        self.add(Severity::Error, code, span.into(), message.into())
    }

    /// Adds a warning, with which the configuration is applied; `None` as the span: no position in a file.
    pub fn warning(
        &mut self,
        code: Code,
        span: impl Into<Option<Span>>,
        message: impl Into<String>,
    ) -> &mut Diagnostic {
        self.add(Severity::Warning, code, span.into(), message.into())
    }

    /// An error, or a warning under Ocelot compatibility.
    pub fn error_or_ocelot_warning(
        &mut self,
        ocelot: bool,
        code: Code,
        span: impl Into<Option<Span>>,
        message: impl Into<String>,
    ) -> &mut Diagnostic {
        let severity = if ocelot { Severity::Warning } else { Severity::Error };
        self.add(severity, code, span.into(), message.into())
    }

    /// Reports equal diagnostics of this code once, at the first place, with a count.
    pub fn merge_repeated(&mut self, code: Code) {
        let mut places: HashMap<(String, Vec<String>), HashSet<Option<Span>>> = HashMap::new();
        let mut is_first = |d: &Diagnostic| {
            let places = places.entry((d.message.clone(), d.help.clone())).or_default();
            places.insert(d.span);
            places.len() == 1
        };
        self.list.retain(|d| d.code != code || is_first(d));
        for d in self.list.iter_mut().filter(|d| d.code == code) {
            let more =
                places.remove(&(d.message.clone(), d.help.clone())).map_or(0, |places| places.len() - 1);
            if more > 0 {
                d.help(format!("{more} more in other places"));
            }
        }
    }

    /// Whether the configuration must be rejected; warnings do not count.
    pub fn has_errors(&self) -> bool {
        self.list.iter().any(|d| d.severity == Severity::Error)
    }

    /// Whether the value with exactly this span has an error.
    pub fn has_error_at(&self, span: Span) -> bool {
        self.list.iter().any(|known| known.severity == Severity::Error && known.span == Some(span))
    }

    /// Suppresses later diagnostics about exactly this span, whose value was reported as unreadable.
    pub fn suppress(&mut self, span: Span) {
        self.unreadable.insert(span);
    }

    /// Suppresses later diagnostics about the object that contain the name of the setting: it is misspelled there, which
    /// was reported.
    pub fn suppress_unknown_key(&mut self, object: Span, name: &'static str) {
        self.misspelled.push((object, name));
    }

    /// Whether a diagnostic with this span and message is suppressed.
    pub fn is_suppressed(&self, span: Span, message: &str) -> bool {
        let is_misspelled = |(object, name): &(Span, &str)| *object == span && message.contains(name);
        self.unreadable.contains(&span) || self.misspelled.iter().any(is_misspelled)
    }

    /// A diagnostic that is discarded.
    pub(super) fn sink(&mut self) -> &mut Diagnostic {
        self.suppressed.insert(Diagnostic {
            severity: Severity::Warning,
            code: Code(""),
            message: String::new(),
            span: None,
            help: Vec::new(),
        })
    }

    /// Appends all diagnostics of another list.
    pub fn append(&mut self, other: Diagnostics) {
        self.list.extend(other.list);
        self.unreadable.extend(other.unreadable);
        self.misspelled.extend(other.misspelled);
    }

    /// The diagnostics by file and position, without duplicates: an error in a policy is one error, however many routes
    /// use the policy. Those without a span come first.
    pub fn sorted(&self) -> Vec<&Diagnostic> {
        let mut sorted: Vec<&Diagnostic> = self.list.iter().collect();
        sorted.sort_by(|a, b| a.sort_key().cmp(&b.sort_key()));
        sorted.dedup_by(|a, b| a.sort_key() == b.sort_key());
        sorted
    }

    fn add(
        &mut self,
        severity: Severity,
        code: Code,
        span: Option<Span>,
        message: String,
    ) -> &mut Diagnostic {
        let new = Diagnostic { severity, code, message, span, help: Vec::new() };
        if span.is_some_and(|span| self.is_suppressed(span, &new.message)) {
            return self.suppressed.insert(new);
        }
        self.list.push(new);
        let last = self.list.len() - 1;
        &mut self.list[last]
    }
}
