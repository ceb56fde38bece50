//! What is wrong with a document: all of it at once, each with its place, its cause and its cure.

use super::span::Span;

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
}

/// The list that every check adds to.
#[derive(Debug, Default)]
pub struct Diagnostics {
    pub list: Vec<Diagnostic>,
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
    pub fn lenient(
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

    fn add(
        &mut self,
        severity: Severity,
        code: Code,
        span: Option<Span>,
        message: String,
    ) -> &mut Diagnostic {
        self.list.push(Diagnostic { severity, code, message, span, help: Vec::new() });
        let last = self.list.len() - 1;
        &mut self.list[last]
    }
}
