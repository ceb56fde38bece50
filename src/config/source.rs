//! The files of one configuration: names as given, text, and the positions (line, column, JSON pointer) of spans.

use super::diagnostics::Diagnostics;
use super::dotnet::path_of_variable;
use super::node::Node;
use super::parse::{Dialect, parse};
use super::span::{FileId, Span};
use std::path::PathBuf;
use std::sync::OnceLock;

/// All files, by their [`FileId`].
#[derive(Debug, Default)]
pub struct Sources {
    files: Vec<Source>,
}

/// One file.
#[derive(Debug)]
pub struct Source {
    /// The name as given, or as found in the given directory.
    pub name: String,
    /// `None` for text that is not from a file (a test, the administration API).
    pub path: Option<PathBuf>,
    pub text: String,
    pub dialect: Dialect,
    /// The text is a list of environment variables: one name per line, without values.
    has_variables: bool,
    line_starts: OnceLock<Vec<u32>>,
    /// The tree as written, before merge and interpolation; parsed again only when a pointer is needed.
    tree: OnceLock<Option<Node>>,
}

/// Line and column, both starting at 1; columns count characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LineColumn {
    pub line: usize,
    pub column: usize,
}

impl Sources {
    /// Adds a file. Files beyond the 65,536th share the last id; the loader rejects configurations of that size.
    pub fn add(
        &mut self,
        name: impl Into<String>,
        path: Option<PathBuf>,
        text: String,
        dialect: Dialect,
    ) -> FileId {
        let id = FileId(u16::try_from(self.files.len()).unwrap_or(u16::MAX));
        let (line_starts, tree) = (OnceLock::new(), OnceLock::new());
        let has_variables = false;
        self.files.push(Source { name: name.into(), path, text, dialect, has_variables, line_starts, tree });
        id
    }

    /// Adds the names of environment variables that set values, one per line.
    pub fn add_variables<'n>(&mut self, names: impl Iterator<Item = &'n str>) -> FileId {
        let text = names.collect::<Vec<_>>().join("\n");
        let id = self.add("environment variables", None, text, Dialect::default());
        if let Some(source) = self.files.last_mut() {
            source.has_variables = true;
        }
        id
    }

    /// The sources except the environment variables.
    pub fn files(&self) -> impl Iterator<Item = &Source> {
        self.files.iter().filter(|source| !source.has_variables)
    }

    /// The environment variables that set values of the document.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        self.files.iter().filter(|source| source.has_variables).flat_map(|source| source.text.lines())
    }

    /// Changes the dialect of all files.
    pub(super) fn set_dialect(&mut self, dialect: Dialect) {
        self.files.iter_mut().for_each(|source| source.dialect = dialect);
    }

    /// The source with this id; `None` for an id of another load.
    pub fn get(&self, file: FileId) -> Option<&Source> {
        self.files.get(usize::from(file.0))
    }

    /// All sources in the order in which they were loaded.
    pub fn iter(&self) -> impl Iterator<Item = (FileId, &Source)> {
        self.files.iter().enumerate().map(|(at, source)| (FileId(at as u16), source))
    }

    /// The name of a file, or "?" for an unknown id.
    pub fn name(&self, file: FileId) -> &str {
        self.get(file).map_or("?", |source| &source.name)
    }

    /// The start position of a span.
    pub fn line_column(&self, span: Span) -> LineColumn {
        self.get(span.file)
            .map_or(LineColumn { line: 1, column: 1 }, |source| source.format_location(span.start as usize))
    }

    /// "gateway.json:8:31", or "environment variable Routes__0__Key".
    pub fn location(&self, span: Span) -> String {
        if let Some(variable) = self.get(span.file).and_then(|source| source.variable(span)) {
            return format!("environment variable {variable}");
        }
        let LineColumn { line, column } = self.line_column(span);
        format!("{}:{line}:{column}", self.name(span.file))
    }

    /// The JSON pointer (RFC 6901) of the value or key at a span; empty for the root.
    pub fn pointer_of(&self, span: Span) -> String {
        let Some(source) = self.get(span.file) else { return String::new() };
        match source.variable(span) {
            Some(variable) => path_of_variable(variable).fold(String::new(), |pointer, name| {
                pointer + "/" + &name.replace('~', "~0").replace('/', "~1")
            }),
            None => source.tree(span.file).map_or_else(String::new, |tree| tree.pointer_of(span)),
        }
    }
}

impl Source {
    /// Line and column of a byte offset.
    pub fn format_location(&self, at: usize) -> LineColumn {
        let line = self.line_starts().partition_point(|&start| start as usize <= at).max(1);
        let start = self.line_starts()[line - 1] as usize;
        let before = self.text.get(start..at.min(self.text.len())).unwrap_or_default();
        LineColumn { line, column: before.chars().count() + 1 }
    }

    /// A line without its line break; lines start at 1.
    pub fn line(&self, line: usize) -> &str {
        let starts = self.line_starts();
        let Some(&start) = line.checked_sub(1).and_then(|at| starts.get(at)) else { return "" };
        let end = starts.get(line).map_or(self.text.len(), |&next| next as usize);
        self.text.get(start as usize..end).unwrap_or_default().trim_end_matches(['\n', '\r'])
    }

    /// The start offsets of all lines; a byte order mark is not part of a line.
    fn line_starts(&self) -> &[u32] {
        self.line_starts.get_or_init(|| {
            let first = if self.text.starts_with('\u{feff}') { 3 } else { 0 };
            let ends = memchr::memchr_iter(b'\n', self.text.as_bytes());
            std::iter::once(first).chain(ends.map(|end| end as u32 + 1)).collect()
        })
    }

    /// The environment variable at a span.
    fn variable(&self, span: Span) -> Option<&str> {
        let name = self.text.get(span.start as usize..span.end as usize)?;
        (self.has_variables && !name.is_empty()).then_some(name)
    }

    fn tree(&self, file: FileId) -> Option<&Node> {
        if self.has_variables {
            return None;
        }
        self.tree.get_or_init(|| parse(file, &self.text, self.dialect, &mut Diagnostics::default())).as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> Sources {
        let mut sources = Sources::default();
        sources.add("gateway.json", None, text.to_owned(), Dialect::default());
        sources
    }

    fn span(text: &str, piece: &str) -> Span {
        let start = text.find(piece).unwrap() as u32;
        Span { file: FileId(0), start, end: start + piece.len() as u32 }
    }

    #[test]
    fn lines_and_columns_start_at_one_and_columns_count_characters() {
        let text = "{\r\n  \"é\": 1,\n  \"ü\": 2 }";
        let sources = one(text);
        assert_eq!(sources.line_column(span(text, "1")), LineColumn { line: 2, column: 8 });
        assert_eq!(sources.line_column(span(text, "2")), LineColumn { line: 3, column: 8 });
        assert_eq!(sources.get(FileId(0)).unwrap().line(2), "  \"é\": 1,");
        assert_eq!(sources.location(span(text, "{")), "gateway.json:1:1");
    }

    #[test]
    fn a_byte_order_mark_is_not_a_column() {
        let text = "\u{feff}{ \"a\": 1 }";
        assert_eq!(one(text).line_column(span(text, "{")), LineColumn { line: 1, column: 1 });
    }

    #[test]
    fn a_pointer_identifies_the_value_or_the_key_at_a_span() {
        let text = r#"{ "a/b": [ 1, { "k~": true } ] }"#;
        let sources = one(text);
        assert_eq!(sources.pointer_of(span(text, "true")), "/a~1b/1/k~0");
        assert_eq!(sources.pointer_of(span(text, "\"k~\"")), "/a~1b/1/k~0");
        assert_eq!(sources.pointer_of(span(text, "[")), "/a~1b");
        assert_eq!(sources.pointer_of(span(text, "{")), "");
    }

    #[test]
    fn a_variable_has_a_line_and_a_pointer_and_is_its_own_location() {
        let mut sources = Sources::default();
        let file = sources.add_variables(["Routes__0__Key", "Routes:1:a/b"].into_iter());
        let second = Span { file, start: 15, end: 27 };
        assert_eq!(sources.line_column(second), LineColumn { line: 2, column: 1 });
        assert_eq!(sources.pointer_of(second), "/Routes/1/a~1b");
        assert_eq!(sources.location(second), "environment variable Routes:1:a/b");
        assert_eq!(sources.variables().count(), 2);
    }

    #[test]
    fn a_position_beyond_the_file_is_its_end() {
        let place = one("{}").line_column(Span { file: FileId(0), start: 99, end: 100 });
        assert_eq!(place, LineColumn { line: 1, column: 3 });
    }
}
