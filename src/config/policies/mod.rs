//! Policies: `policies/NAME.json` contains route options that routes, dynamic routes and `GlobalConfiguration` apply by
//! name (in Envoy terms: a shared typed per-filter configuration).
//!
//! [`find`] and [`read`] load and check the files; [`merge`] merges them into the routes. Called by `load` only; nothing
//! outlives a reload.

pub mod merge;

use super::codes;
use super::de::{self, Options};
use super::diagnostics::Diagnostics;
use super::files::{io_error_text, read_text};
use super::interpolation::{Environment, interpolate};
use super::node::Node;
use super::parse::{Dialect, parse};
use super::source::Sources;
use super::span::FileId;
use super::vocabulary::{Vocabulary, has_name};
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Directories of policy documents, in which no policies of routes are.
const DOCUMENT_FOLDERS: [&str; 5] = ["products", "apis", "fragments", "workspaces", "schemas"];
/// The document that is the parent of every other.
const GLOBAL_DOCUMENT: &str = "global";
/// Maximum number of policy documents.
const MAX_DOCUMENTS: usize = 60_000;
/// Sections of policy documents.
const SECTIONS: [&str; 4] = ["inbound", "backend", "outbound", "on-error"];

/// One policy file.
#[derive(Debug)]
pub struct Policy {
    /// The file name without `.json`.
    pub name: String,
    pub file: Option<FileId>,
    /// `None` if the file could not be read; the policy is then not reported as unknown.
    pub tree: Option<Node>,
}

/// A policy document: a program for a scope.
#[derive(Debug)]
pub struct PolicyDocumentFile {
    /// The path in the directory without extension: `apis/orders`, `global`, `NAME`.
    pub name: String,
    pub file: FileId,
    /// `None` if it is XML, or could not be parsed.
    pub tree: Option<Node>,
    pub is_xml: bool,
    /// Whether it comes from the store of the gateway.
    pub is_stored: bool,
}

/// All policies, sorted by name, and the policy documents.
#[derive(Debug, Default)]
pub struct Policies {
    pub all: Vec<Policy>,
    pub documents: Vec<PolicyDocumentFile>,
}

/// A policy file, before it is parsed.
#[derive(Clone, Debug)]
pub struct PolicyFile {
    pub name: String,
    pub display_path: String,
    pub path: Option<PathBuf>,
    /// `None` if it could not be read.
    pub text: Option<String>,
    /// Whether it comes from the store of the gateway.
    pub is_stored: bool,
}

impl Policies {
    /// The policy with this name, case-sensitive.
    pub fn get(&self, name: &str) -> Option<&Policy> {
        self.all.iter().find(|policy| policy.name == name)
    }

    /// All names in alphabetical order, for suggestions.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.all.iter().map(|policy| policy.name.as_str())
    }
}

/// The policy files of a directory. The default directory need not exist.
pub fn find(
    folder: &Path,
    named_by_user: bool,
    watched: &mut Vec<PathBuf>,
    diagnostics: &mut Diagnostics,
) -> Vec<PolicyFile> {
    watched.push(folder.to_path_buf());
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !named_by_user => return Vec::new(),
        Err(error) => {
            let message =
                format!("cannot read the policies directory {}: {}", folder.display(), io_error_text(&error));
            diagnostics.error(codes::FILE_UNREADABLE, None, message);
            return Vec::new();
        }
    };
    let mut names: Vec<String> = entries.flatten().filter_map(|e| e.file_name().into_string().ok()).collect();
    names.sort();
    let mut files = Vec::new();
    for name in names {
        let is_folder = DOCUMENT_FOLDERS.iter().any(|known| known.eq_ignore_ascii_case(&name));
        match is_folder && folder.join(&name).is_dir() {
            true => {
                find_documents(&folder.join(&name), &name.to_lowercase(), &mut files, watched, diagnostics);
            }
            false => files.extend(read_policy_file(folder, &name, watched, diagnostics)),
        }
    }
    files
}

/// The policy documents of a directory and of those in it; their names are paths.
fn find_documents(
    folder: &Path,
    prefix: &str,
    files: &mut Vec<PolicyFile>,
    watched: &mut Vec<PathBuf>,
    diagnostics: &mut Diagnostics,
) {
    watched.push(folder.to_path_buf());
    let Ok(entries) = fs::read_dir(folder) else { return };
    let mut names: Vec<String> = entries.flatten().filter_map(|e| e.file_name().into_string().ok()).collect();
    names.sort();
    for file_name in names.into_iter().filter(|name| !name.starts_with('.')) {
        let path = folder.join(&file_name);
        if path.is_dir() {
            find_documents(&path, &format!("{prefix}/{file_name}"), files, watched, diagnostics);
            continue;
        }
        let name = match file_stem(&file_name) {
            Some(stem) => stem.to_owned(),
            None if xml_stem(&file_name).is_some() => file_name.clone(),
            None => continue,
        };
        let shown_as = path.display().to_string();
        if files.len() >= MAX_DOCUMENTS {
            let message = format!("more than {MAX_DOCUMENTS} policy documents");
            diagnostics.error(codes::FILE_TOO_LARGE, None, message);
            return;
        }
        watched.push(path.clone());
        let text = read_text(&path, &shown_as, false, diagnostics);
        files.push(PolicyFile {
            name: format!("{prefix}/{name}"),
            display_path: shown_as,
            path: Some(path),
            text,
            is_stored: false,
        });
    }
}

/// "orders" of "orders.xml".
fn xml_stem(file_name: &str) -> Option<&str> {
    let at = file_name.len().checked_sub(4)?;
    let (stem, end) = (file_name.get(..at)?, file_name.get(at..)?);
    (end.eq_ignore_ascii_case(".xml") && !stem.is_empty()).then_some(stem)
}

/// Whether a name is that of a policy document, not of a policy of routes.
fn is_document(name: &str) -> bool {
    name.contains('/') || name.eq_ignore_ascii_case(GLOBAL_DOCUMENT) || xml_stem(name).is_some()
}

fn read_policy_file(
    folder: &Path,
    file_name: &str,
    watched: &mut Vec<PathBuf>,
    diagnostics: &mut Diagnostics,
) -> Option<PolicyFile> {
    let path = folder.join(file_name);
    let is_directory = path.is_dir();
    let stem = file_stem(file_name);
    let is_xml = xml_stem(file_name).is_some();
    if file_name.starts_with('.') || (stem.is_none() && !is_xml && !is_directory) {
        return None;
    }
    let name = if is_xml { file_name } else { stem.unwrap_or(file_name) };
    let shown_as = path.display().to_string();
    if is_directory {
        let message = format!("the directory {shown_as} is ignored: policies are files of one directory");
        diagnostics.warning(codes::FILE_IGNORED, None, message);
        return None;
    }
    watched.push(path.clone());
    let text = read_text(&path, &shown_as, false, diagnostics);
    Some(PolicyFile {
        name: name.to_owned(),
        display_path: shown_as,
        path: Some(path),
        text,
        is_stored: false,
    })
}

/// "edge" of "edge.json".
fn file_stem(file_name: &str) -> Option<&str> {
    let at = file_name.len().checked_sub(5)?;
    let (stem, end) = (file_name.get(..at)?, file_name.get(at..)?);
    (end.eq_ignore_ascii_case(".json") && !stem.is_empty()).then_some(stem)
}

/// Parses, interpolates and checks the policy files.
pub fn read(
    files: Vec<PolicyFile>,
    options: Options,
    vocabulary: &Vocabulary,
    environment: Environment,
    sources: &mut Sources,
    diagnostics: &mut Diagnostics,
) -> Policies {
    let dialect = Dialect { single_quotes: options.ocelot };
    let mut policies = Policies::default();
    for PolicyFile { name, display_path: shown_as, path, text, is_stored } in files {
        let Some(text) = text else {
            policies.all.push(Policy { name, file: None, tree: None });
            continue;
        };
        let file = sources.add(shown_as, path, text, dialect);
        if let Some(stem) = xml_stem(&name) {
            let name = stem.to_lowercase();
            policies.documents.push(PolicyDocumentFile { name, file, tree: None, is_xml: true, is_stored });
            continue;
        }
        let text = sources.get(file).map_or("", |source| source.text.as_str());
        let mut tree = parse(file, text, dialect, diagnostics);
        if let Some(tree) = tree.as_mut().filter(|_| is_stored) {
            tree.mark_literal();
        }
        let reader = (options, vocabulary, environment);
        let (document, policy) = divided(name, file, tree, reader, diagnostics);
        policies.documents.extend(document.map(|document| PolicyDocumentFile { is_stored, ..document }));
        policies.all.extend(policy);
    }
    policies.all.sort_by(|a, b| a.name.cmp(&b.name));
    report_both_formats(&policies.documents, sources, diagnostics);
    policies
}

/// The policy document and the policy of a JSON file.
fn divided(
    name: String,
    file: FileId,
    tree: Option<Node>,
    (options, vocabulary, environment): (Options, &Vocabulary, Environment),
    diagnostics: &mut Diagnostics,
) -> (Option<PolicyDocumentFile>, Option<Policy>) {
    let document =
        |tree| PolicyDocumentFile { name: name.to_lowercase(), file, tree, is_xml: false, is_stored: false };
    if is_document(&name) {
        let tree = tree.map(|tree| interpolated(tree, environment, diagnostics));
        return (Some(document(tree)), None);
    }
    let mut sections = None;
    let tree = tree.and_then(|mut tree| {
        sections = take_sections(&mut tree).map(|tree| interpolated(tree, environment, diagnostics));
        validated(tree, options, vocabulary, environment, diagnostics)
    });
    (sections.map(|tree| document(Some(tree))), Some(Policy { name, file: Some(file), tree }))
}

fn interpolated(mut tree: Node, environment: Environment, diagnostics: &mut Diagnostics) -> Node {
    interpolate(&mut tree, environment, diagnostics);
    tree
}

/// A document is either JSON or XML.
fn report_both_formats(documents: &[PolicyDocumentFile], sources: &Sources, diagnostics: &mut Diagnostics) {
    let is_json = |one: &&PolicyDocumentFile| !one.is_xml && !one.name.starts_with("schemas/");
    let json = documents.iter().filter(is_json).map(|one| (one.name.as_str(), one));
    let json: HashMap<&str, &PolicyDocumentFile> = json.collect();
    for xml in documents.iter().filter(|document| document.is_xml) {
        let Some(json) = json.get(xml.name.as_str()) else { continue };
        let span = super::span::Span { file: xml.file, start: 0, end: 1 };
        let message = format!("the document {} exists as JSON too", sources.name(xml.file));
        diagnostics
            .error(codes::RESERVED_POLICY, span, message)
            .help(format!("remove it or {}", sources.name(json.file)));
    }
}

/// The sections of a file that is a document, or a policy and a document.
fn take_sections(tree: &mut Node) -> Option<Node> {
    let span = tree.span;
    let members = tree.members_mut()?;
    let is_section = |name: &str| SECTIONS.iter().any(|section| section.eq_ignore_ascii_case(name));
    let sections: Vec<super::node::Member> =
        members.iter().filter(|member| is_section(&member.key.value)).cloned().collect();
    members.retain(|member| !is_section(&member.key.value));
    (!sections.is_empty()).then(|| Node::new(span, super::node::Value::Object(sections)))
}

/// The policy, without the settings that a policy may not have.
fn validated(
    mut tree: Node,
    options: Options,
    vocabulary: &Vocabulary,
    environment: Environment,
    diagnostics: &mut Diagnostics,
) -> Option<Node> {
    interpolate(&mut tree, environment, diagnostics);
    if let Some(members) = tree.members_mut() {
        members.retain(|member| !is_forbidden(member, vocabulary, diagnostics));
    }
    (vocabulary.check_policy)(&tree, diagnostics, options);
    tree.members_mut()?.retain(|member| {
        let name = &*member.key.value;
        !de::is_extension_key(name) && has_name(vocabulary.policy, name)
    });
    Some(tree)
}

/// Reports a setting of routes or of the gateway that a policy may not have.
fn is_forbidden(
    member: &super::node::Member,
    vocabulary: &Vocabulary,
    diagnostics: &mut Diagnostics,
) -> bool {
    let name = &*member.key.value;
    let elsewhere = has_name(vocabulary.route, name)
        || has_name(vocabulary.dynamic_route, name)
        || has_name(vocabulary.global, name);
    if has_name(vocabulary.policy, name) || !elsewhere {
        return false;
    }
    diagnostics
        .error(codes::FORBIDDEN_IN_POLICY, member.key.span, format!("\"{name}\" is not allowed in a policy"))
        .help(help(name));
    true
}

fn help(name: &str) -> &'static str {
    match name.to_ascii_lowercase().as_str() {
        "policies" => {
            "policies cannot use other policies; list both where they are used, the one with higher precedence last"
        }
        "compatibility" | "servicediscoveryprovider" | "baseurl" | "metadataoptions" => {
            "it belongs in GlobalConfiguration"
        }
        "filecacheoptions" => "the new name is \"CacheOptions\"",
        "ratelimitrule" => "the new name is \"RateLimitOptions\"",
        _ => "it identifies a route: set it in the route itself",
    }
}
