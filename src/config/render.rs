//! Renders diagnostics as text with the source line and a caret, or as JSON.
//!
//! The output is sorted by file and position, without duplicates: two runs over the same files print the same.

use super::diagnostics::{Diagnostic, Diagnostics, Severity};
use super::source::{Source, Sources};
use super::span::Span;
use std::fmt::Write;

/// Maximum width of a source excerpt; longer lines are truncated around the caret.
const MAX_EXCERPT_WIDTH: usize = 120;
/// Characters before the caret of a truncated line.
const MAX_CONTEXT_BEFORE_CARET: usize = 60;
const TAB: &str = "    ";

/// Text style.
#[derive(Clone, Copy, Debug, Default)]
pub struct Style {
    pub color: bool,
}

impl Style {
    /// Colors for a terminal, unless `NO_COLOR` is set and not empty (<https://no-color.org>).
    pub fn for_output(is_terminal: bool, no_color: Option<&str>) -> Self {
        Style { color: is_terminal && no_color.is_none_or(str::is_empty) }
    }

    fn paint(self, color: &str, text: &str) -> String {
        if self.color { format!("\x1b[{color}m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn severity(self, severity: Severity, text: &str) -> String {
        self.paint(if severity == Severity::Error { "1;31" } else { "1;33" }, text)
    }
}

/// All diagnostics as text, separated by blank lines, with their number at the end; empty if there are none.
pub fn text(diagnostics: &Diagnostics, sources: &Sources, style: Style) -> String {
    let all = diagnostics.sorted();
    let mut output = String::new();
    for diagnostic in &all {
        write_diagnostic(&mut output, diagnostic, sources, style);
        output.push('\n');
    }
    if !all.is_empty() {
        output.push_str(&summary(diagnostics));
        output.push('\n');
    }
    output
}

/// "2 errors and 1 warning".
pub fn summary(diagnostics: &Diagnostics) -> String {
    let all = diagnostics.sorted();
    let errors = all.iter().filter(|d| d.severity == Severity::Error).count();
    let warnings = all.len() - errors;
    match (errors, warnings) {
        (_, 0) => pluralize(errors, "error"),
        (0, _) => pluralize(warnings, "warning"),
        _ => format!("{} and {}", pluralize(errors, "error"), pluralize(warnings, "warning")),
    }
}

fn pluralize(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

/// All diagnostics as a JSON list.
pub fn json(diagnostics: &Diagnostics, sources: &Sources) -> serde_json::Value {
    diagnostics.sorted().into_iter().map(|diagnostic| one_as_json(diagnostic, sources)).collect()
}

fn one_as_json(diagnostic: &Diagnostic, sources: &Sources) -> serde_json::Value {
    let mut object = serde_json::json!({
        "code": diagnostic.code.0,
        "severity": severity(diagnostic.severity),
        "message": diagnostic.message,
    });
    if let Some(span) = diagnostic.span {
        let start = sources.line_column(span);
        let end = sources.line_column(Span { start: span.end, ..span });
        object["file"] = sources.name(span.file).into();
        object["line"] = start.line.into();
        object["column"] = start.column.into();
        object["endLine"] = end.line.into();
        object["endColumn"] = end.column.into();
        object["pointer"] = sources.pointer_of(span).into();
    }
    object["help"] = diagnostic.help.clone().into();
    object
}

fn severity(severity: Severity) -> &'static str {
    if severity == Severity::Error { "error" } else { "warning" }
}

fn write_diagnostic(buffer: &mut String, diagnostic: &Diagnostic, sources: &Sources, style: Style) {
    let title = format!("{}[{}]", severity(diagnostic.severity), diagnostic.code.0);
    let title = style.severity(diagnostic.severity, &title);
    let _ = writeln!(buffer, "{title}: {}", style.paint("1", &printable(&diagnostic.message)));
    let gutter = match diagnostic.span {
        Some(span) => write_location(buffer, diagnostic.severity, span, sources, style),
        None => 1,
    };
    for help in &diagnostic.help {
        let lead = format!("{:gutter$} {} help: ", "", style.paint("34", "="));
        let indent = format!("\n{:width$}", "", width = gutter + 9);
        let lines: Vec<String> = help.lines().map(printable).collect();
        let _ = writeln!(buffer, "{lead}{}", lines.join(&indent));
    }
}

/// Writes the location and the source line with its caret; returns the width of the gutter.
fn write_location(
    buffer: &mut String,
    severity: Severity,
    span: Span,
    sources: &Sources,
    style: Style,
) -> usize {
    let at = sources.line_column(span);
    let gutter = at.line.to_string().len();
    let pointer = printable(&sources.pointer_of(span));
    let pointer = if pointer.is_empty() { String::new() } else { format!("  ({pointer})") };
    let arrow = style.paint("34", "-->");
    let _ = writeln!(buffer, "{:gutter$}{arrow} {}{pointer}", "", printable(&sources.location(span)));
    let Some(source) = sources.get(span.file) else { return gutter };
    let (shown, carets) = excerpt(source, at.line, span);
    if !shown.trim().is_empty() {
        let bar = style.paint("34", "|");
        let carets = carets.trim_end().replace('^', "\u{1}");
        let (blank, marks) = carets.split_at(carets.find('\u{1}').unwrap_or(carets.len()));
        let marks = style.severity(severity, &marks.replace('\u{1}', "^"));
        let _ = writeln!(buffer, "{:gutter$} {bar}", "");
        let _ = writeln!(buffer, "{} {bar} {}", style.paint("34", &at.line.to_string()), shown.trim_end());
        let _ = writeln!(buffer, "{:gutter$} {bar} {blank}{marks}", "");
    }
    gutter
}

/// The excerpt of the line, and the line of carets below it.
fn excerpt(source: &Source, line: usize, span: Span) -> (String, String) {
    let text = source.line(line);
    let first = source.format_location(span.start as usize).column - 1;
    let end = source.format_location(span.end as usize);
    let length = text.chars().count();
    let last = if end.line == line { end.column - 1 } else { length };
    let last = last.clamp(first + 1, length.max(first + 1));
    let (from, to) = visible_columns(length, first, last);
    let (mut shown, mut carets) = (String::new(), String::new());
    if from > 0 {
        shown.push_str("...");
        carets.push_str("   ");
    }
    let beyond = (length..to).map(|_| ' ');
    for (at, c) in text.chars().chain(beyond).enumerate().take(to).skip(from) {
        let piece = if c == '\t' { TAB.to_owned() } else { printable(c.encode_utf8(&mut [0; 4])) };
        let mark = if (first..last).contains(&at) { "^" } else { " " };
        carets.push_str(&mark.repeat(piece.chars().count()));
        shown.push_str(&piece);
    }
    if to < length {
        shown.push_str("...");
    }
    (shown, carets)
}

/// The visible columns of a line: all of a short one, else those around the caret.
fn visible_columns(length: usize, first: usize, last: usize) -> (usize, usize) {
    if length <= MAX_EXCERPT_WIDTH {
        return (0, length.max(last));
    }
    let from = first.saturating_sub(MAX_CONTEXT_BEFORE_CARET);
    let to = (from + MAX_EXCERPT_WIDTH).min(length.max(first + 1));
    (from.min(to.saturating_sub(MAX_EXCERPT_WIDTH)), to)
}

/// Replaces control characters, which could control the terminal.
fn printable(text: &str) -> String {
    let is_control =
        |c: char| c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars().map(|c| if is_control(c) { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests;
