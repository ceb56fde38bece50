//! What is wrong with a document: all of it at once, each with its place, its cause and its cure.

use super::span::Span;
use std::collections::HashSet;

/// How bad it is: an error keeps the document from becoming a plan, a warning does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    Warning,
    Error,
}

/// A stable name of one kind of mistake, `MG0101`; the table is `codes.rs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Code(pub &'static str);

/// One mistake.
#[derive(Clone, Debug)]
pub struct Diagnostic {
    pub severity: Severity,
    pub code: Code,
    /// What is wrong, in one sentence without a full stop.
    pub message: String,
    /// Where; none for a mistake about a file as a whole or about the command line.
    pub span: Option<Span>,
    /// What to do about it, each a sentence; may hold several lines (JSON to paste).
    pub help: Vec<String>,
}

impl Diagnostic {
    /// Adds a cure.
    pub fn help(&mut self, text: impl Into<String>) -> &mut Self {
        self.help.push(text.into());
        self
    }

    fn sort_key(&self) -> (Option<Span>, std::cmp::Reverse<Severity>, Code, &str) {
        (self.span, std::cmp::Reverse(self.severity), self.code, &self.message)
    }
}

/// The list that every check adds to.
#[derive(Debug, Default)]
pub struct Diagnostics {
    pub list: Vec<Diagnostic>,
    /// Places whose value could not be read and stands in as a default: what later checks say about that
    /// default is not the user's mistake.
    unreadable: HashSet<Span>,
    /// Objects with a misspelt setting, and its right name: that the object has none is no second mistake.
    misspelled: Vec<(Span, &'static str)>,
    /// Takes what is said about an unreadable place.
    suppressed: Option<Diagnostic>,
}

impl Diagnostics {
    pub fn error(
        &mut self,
        code: Code,
        span: impl Into<Option<Span>>,
        message: impl Into<String>,
    ) -> &mut Diagnostic {
        self.add(Severity::Error, code, span.into(), message.into())
    }

    pub fn warning(
        &mut self,
        code: Code,
        span: impl Into<Option<Span>>,
        message: impl Into<String>,
    ) -> &mut Diagnostic {
        self.add(Severity::Warning, code, span.into(), message.into())
    }

    /// An error, or a warning where the document asks for Ocelot's leniency.
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

    pub fn has_errors(&self) -> bool {
        self.list.iter().any(|d| d.severity == Severity::Error)
    }

    /// The value there was reported as unreadable: nothing more is said about exactly that place.
    pub fn suppress(&mut self, span: Span) {
        self.unreadable.insert(span);
    }

    /// The object there has the setting of that name, but misspelt, and that was reported: nothing is said about
    /// the object that names the setting.
    pub fn suppress_unknown_key(&mut self, object: Span, name: &'static str) {
        self.misspelled.push((object, name));
    }

    fn is_muted(&self, span: Span, message: &str) -> bool {
        let misspelt = |(object, name): &(Span, &str)| *object == span && message.contains(name);
        self.unreadable.contains(&span) || self.misspelled.iter().any(misspelt)
    }

    /// A place for words that nobody will read.
    pub(super) fn sink(&mut self) -> &mut Diagnostic {
        self.suppressed.insert(Diagnostic {
            severity: Severity::Warning,
            code: Code(""),
            message: String::new(),
            span: None,
            help: Vec::new(),
        })
    }

    /// Takes over all of another list.
    pub fn append(&mut self, other: Diagnostics) {
        self.list.extend(other.list);
        self.unreadable.extend(other.unreadable);
        self.misspelled.extend(other.misspelled);
    }

    /// The diagnostics by file and place, each said once: a mistake in a policy is one mistake, however many
    /// routes use the policy. Those without a place come first.
    pub fn sorted(&self) -> Vec<&Diagnostic> {
        let mut all: Vec<&Diagnostic> = self.list.iter().collect();
        all.sort_by(|a, b| a.sort_key().cmp(&b.sort_key()));
        all.dedup_by(|a, b| a.sort_key() == b.sort_key());
        all
    }

    fn add(
        &mut self,
        severity: Severity,
        code: Code,
        span: Option<Span>,
        message: String,
    ) -> &mut Diagnostic {
        let new = Diagnostic { severity, code, message, span, help: Vec::new() };
        if span.is_some_and(|span| self.is_muted(span, &new.message)) {
            return self.suppressed.insert(new);
        }
        self.list.push(new);
        let last = self.list.len() - 1;
        &mut self.list[last]
    }
}
