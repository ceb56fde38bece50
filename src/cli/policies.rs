//! `margay policies`: policy documents of Azure API Management.

use super::{Exit, client, client::arguments::EffectivePolicies, format, output};
use crate::{
    config::{Diagnostics, Node, Sources, node::Value as NodeValue, parse::Dialect},
    stages::statements::{csharp, xml_document::xml_document},
};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Objects down to this depth are on several lines.
const EXPANDED_DEPTH: usize = 5;
/// Longest document.
const MAX_DOCUMENT_BYTES: u64 = 4 << 20;

/// Policy documents.
#[derive(Args, Clone, Debug)]
pub(super) struct Policies {
    #[command(subcommand)]
    command: PoliciesCommand,
}

#[derive(Subcommand, Clone, Debug)]
enum PoliciesCommand {
    /// Convert policy documents from XML to JSON, and their C# to CEL. Exit code 1: an expression was not translated.
    Import(ImportPolicies),
    /// Print the statements that run for an operation of a running gateway, with their origins.
    Effective(EffectivePolicies),
}

#[derive(Args, Clone, Debug)]
struct ImportPolicies {
    /// The documents, and directories of documents.
    #[arg(value_name = "FILE|DIR", required = true)]
    sources: Vec<PathBuf>,
    /// Write NAME.json for each document into this directory. Default: standard output.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Write a report as JSON: the statements, expressions and problems of each document.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Write documents with untranslated expressions too; `margay check` refuses these expressions.
    #[arg(long)]
    partial: bool,
}

/// Runs a command on policy documents.
pub(super) fn run(arguments: &Policies) -> Exit {
    let import = match &arguments.command {
        PoliciesCommand::Import(import) => import,
        PoliciesCommand::Effective(effective) => return client::effective_policies(effective),
    };
    match import_all(import) {
        Ok(true) => Exit::Done,
        Ok(false) => Exit::failed("not everything was translated"),
        Err(error) => Exit::failed(&error),
    }
}

/// One imported document.
#[derive(Debug, Default)]
struct Imported {
    kind: &'static str,
    document: Option<Value>,
    statements: usize,
    expressions: usize,
    translated: usize,
    /// Line, column, what, and text.
    problems: Vec<(usize, usize, String, String)>,
}

fn import_all(import: &ImportPolicies) -> Result<bool, String> {
    let mut files = Vec::new();
    for source in &import.sources {
        find(source, &mut files)?;
    }
    let (mut reports, mut is_complete) = (Vec::new(), true);
    for file in files {
        let imported = import_file(&file, import.partial)?;
        for (line, column, what, text) in &imported.problems {
            output::write_stderr(&format!("{}:{line}:{column}: {what}: {text}\n", file.display()));
        }
        is_complete &= imported.problems.is_empty();
        if let Some(document) =
            imported.document.as_ref().filter(|_| imported.problems.is_empty() || import.partial)
        {
            write_document(import.out.as_deref(), &file, document)?;
        }
        reports.push(imported.to_json(&file));
    }
    if let Some(path) = &import.report {
        save(path, &format!("{:#}\n", json!({ "files": reports })))?;
    }
    Ok(is_complete)
}

fn find(path: &Path, files: &mut Vec<PathBuf>) -> Result<(), String> {
    if !path.is_dir() {
        files.push(path.to_path_buf());
        return Ok(());
    }
    let failed = |error: std::io::Error| format!("cannot read {}: {error}", path.display());
    let mut entries: Vec<PathBuf> =
        fs::read_dir(path).map_err(failed)?.flatten().map(|entry| entry.path()).collect();
    entries.sort();
    for entry in entries {
        let is_xml = entry.extension().is_some_and(|end| end.eq_ignore_ascii_case("xml"));
        if entry.is_dir() || is_xml {
            find(&entry, files)?;
        }
    }
    Ok(())
}

fn save(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))
}

fn write_document(directory: Option<&Path>, file: &Path, document: &Value) -> Result<(), String> {
    let text = format::format_value(document, EXPANDED_DEPTH);
    let Some(directory) = directory else {
        output::write_stdout(&text);
        return Ok(());
    };
    fs::create_dir_all(directory)
        .map_err(|error| format!("cannot create {}: {error}", directory.display()))?;
    let stem = file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    save(&directory.join(format!("{stem}.json")), &text)
}

fn import_file(file: &Path, is_partial: bool) -> Result<Imported, String> {
    let failed = |error: String| format!("cannot read {}: {error}", file.display());
    let length = fs::metadata(file).map_err(|error| failed(error.to_string()))?.len();
    if length > MAX_DOCUMENT_BYTES {
        return Err(failed(format!("larger than {} MiB", MAX_DOCUMENT_BYTES >> 20)));
    }
    let text = fs::read_to_string(file).map_err(|error| failed(error.to_string()))?;
    let (mut sources, mut diagnostics) = (Sources::default(), Diagnostics::default());
    let id = sources.add(file.display().to_string(), None, text.clone(), Dialect::default());
    let mut imported = Imported::default();
    let tree = xml_document(id, &text, &mut diagnostics);
    for one in &diagnostics.list {
        let at = one.span.map(|span| sources.line_column(span));
        let (line, column) = at.map_or((1, 1), |at| (at.line, at.column));
        imported.problems.push((line, column, one.message.clone(), String::new()));
    }
    let Some(mut tree) = tree else { return Ok(Imported { kind: "unreadable", ..imported }) };
    imported.kind = if tree.get_ignore_case("statements").is_some() { "fragment" } else { "document" };
    imported.statements = statements(&tree);
    imported.translate(&mut tree, &sources, is_partial);
    imported.document = serde_json::from_str(&tree.to_json()).ok();
    Ok(imported)
}

/// The statements of a tree: every object that is an item of a list.
fn statements(node: &Node) -> usize {
    let items = node.items().iter().map(|item| {
        usize::from(matches!(item.value, NodeValue::Object(_)) || item.as_str() == Some("base"))
            + statements(item)
    });
    items.sum::<usize>() + node.members().iter().map(|member| statements(&member.value)).sum::<usize>()
}

impl Imported {
    fn translate(&mut self, node: &mut Node, sources: &Sources, is_partial: bool) {
        let span = node.span;
        if let Some(items) = node.items_mut() {
            items.iter_mut().for_each(|item| self.translate(item, sources, is_partial));
            return;
        }
        if let Some(members) = node.members_mut() {
            members.iter_mut().for_each(|member| self.translate(&mut member.value, sources, is_partial));
            return;
        }
        let Some(text) = node.as_str().map(str::trim) else { return };
        if !text.starts_with("@(") && !text.starts_with("@{") {
            return;
        }
        self.expressions += 1;
        let value = match translate_with_names(text) {
            Ok(cel) => {
                self.translated += 1;
                cel
            }
            Err(reason) => {
                let at = sources.line_column(span);
                let line = text.lines().next().unwrap_or_default().to_owned();
                self.problems.push((at.line, at.column, format!("not translated: {reason}"), line));
                if !is_partial {
                    return;
                }
                format!(
                    "@(untranslated('{}'))",
                    text.replace('\\', "\\\\").replace('\'', "\\'").replace('\n', "\\n")
                )
            }
        };
        node.value = NodeValue::String(value.into());
    }

    fn to_json(&self, file: &Path) -> Value {
        let problem = |(line, column, what, text): &(usize, usize, String, String)| json!({ "line": line, "column": column, "what": what, "text": text });
        json!({
            "file": file.display().to_string(),
            "kind": self.kind,
            "statements": self.statements,
            "expressions": self.expressions,
            "translated": self.translated,
            "problems": self.problems.iter().map(problem).collect::<Vec<_>>(),
        })
    }
}

/// Translates an expression with references to named values, which are replaced later: `{{name}}` is a part of a text, or
/// stands for a part of the expression.
fn translate_with_names(text: &str) -> Result<String, String> {
    let (mut plain, mut names, mut rest) = (String::new(), Vec::new(), text);
    while let Some(at) = rest.find("{{") {
        let after = &rest[at + 2..];
        let end = after.find("}}").filter(|end| {
            let is_name = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
            *end > 0 && after[..*end].chars().all(is_name)
        });
        plain.push_str(&rest[..at]);
        match end {
            Some(end) => {
                plain.push_str(&marker(names.len()));
                names.push(&after[..end]);
                rest = &after[end + 2..];
            }
            None => {
                plain.push_str("{{");
                rest = after;
            }
        }
    }
    plain.push_str(rest);
    let mut cel = csharp::translate(&plain)?;
    for (at, name) in names.iter().enumerate() {
        cel = cel.replace(&marker(at), &format!("{{{{{name}}}}}"));
    }
    Ok(cel)
}

fn marker(at: usize) -> String {
    format!("margayNamedValue{at}x")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn named_values_stay_where_they_are_written() {
        assert_eq!(
            translate_with_names(r#"@("a {{b-c}}" + {{n}})"#).unwrap(),
            r#"@(concat("a {{b-c}}", {{n}}))"#
        );
        assert_eq!(
            translate_with_names(r#"@($"x{{name}}{1 + 1}")"#).unwrap(),
            r#"@(concat("x{{name}}", (1 + 1)))"#
        );
    }

    #[test]
    fn a_document_is_imported_with_its_problems() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.xml");
        let text = "<policies><inbound><base /><set-header name=\"X\"><value>@(context.RequestId.ToString())</value>\
                    </set-header>\n<set-variable name=\"v\" value=\"@{ while (true) { } }\" /></inbound></policies>";
        fs::write(&file, text).unwrap();
        let imported = import_file(&file, false).unwrap();
        assert_eq!((imported.kind, imported.expressions, imported.translated), ("document", 2, 1));
        assert_eq!(imported.problems.len(), 1);
        assert_eq!(imported.problems[0].0, 2);
        let document = imported.document.unwrap();
        assert_eq!(document["inbound"][1]["set-header"]["value"][0], "@(text(context.RequestId))");
    }
}
