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
use std::fs;
use std::path::{Path, PathBuf};

/// Names of files and directories that are reserved for a later version.
const RESERVED_NAMES: [&str; 6] = ["global", "products", "apis", "fragments", "workspaces", "schemas"];
/// Sections of the policy documents of a later version.
const RESERVED_SECTIONS: [&str; 4] = ["inbound", "backend", "outbound", "on-error"];

/// One policy file.
#[derive(Debug)]
pub struct Policy {
    /// The file name without `.json`.
    pub name: String,
    pub file: Option<FileId>,
    /// `None` if the file could not be read; the policy is then not reported as unknown.
    pub tree: Option<Node>,
}

/// All policies, sorted by name.
#[derive(Debug, Default)]
pub struct Policies {
    pub all: Vec<Policy>,
}

/// A policy file, before it is parsed.
#[derive(Clone, Debug)]
pub struct PolicyFile {
    pub name: String,
    pub display_path: String,
    pub path: Option<PathBuf>,
    /// `None` if it could not be read.
    pub text: Option<String>,
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
    names.into_iter().filter_map(|name| read_policy_file(folder, &name, watched, diagnostics)).collect()
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
    if file_name.starts_with('.') || (stem.is_none() && !is_directory) {
        return None;
    }
    let name = stem.unwrap_or(file_name);
    let shown_as = path.display().to_string();
    if RESERVED_NAMES.iter().any(|reserved| reserved.eq_ignore_ascii_case(name)) {
        diagnostics
            .error(
                codes::RESERVED_POLICY,
                None,
                format!("{shown_as}: the name \"{name}\" is reserved for a later version"),
            )
            .help("give the policy another name");
        return None;
    }
    if is_directory {
        let message = format!("the directory {shown_as} is ignored: policies are files of one directory");
        diagnostics.warning(codes::FILE_IGNORED, None, message);
        return None;
    }
    watched.push(path.clone());
    let text = read_text(&path, &shown_as, false, diagnostics);
    Some(PolicyFile { name: name.to_owned(), display_path: shown_as, path: Some(path), text })
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
    let mut all: Vec<Policy> = Vec::with_capacity(files.len());
    for PolicyFile { name, display_path: shown_as, path, text } in files {
        let Some(text) = text else {
            all.push(Policy { name, file: None, tree: None });
            continue;
        };
        let file = sources.add(shown_as, path, text, dialect);
        let text = sources.get(file).map_or("", |source| source.text.as_str());
        let tree = parse(file, text, dialect, diagnostics);
        let tree = tree.and_then(|tree| validated(tree, options, vocabulary, environment, diagnostics));
        all.push(Policy { name, file: Some(file), tree });
    }
    all.sort_by(|a, b| a.name.cmp(&b.name));
    Policies { all }
}

/// The policy, without the settings that a policy may not have.
fn validated(
    mut tree: Node,
    options: Options,
    vocabulary: &Vocabulary,
    environment: Environment,
    diagnostics: &mut Diagnostics,
) -> Option<Node> {
    if is_reserved_form(&tree, diagnostics) {
        return None;
    }
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

fn is_reserved_form(tree: &Node, diagnostics: &mut Diagnostics) -> bool {
    let reserved = |name: &str| RESERVED_SECTIONS.iter().any(|section| section.eq_ignore_ascii_case(name));
    let Some(member) = tree.members().iter().find(|member| reserved(&member.key.value)) else { return false };
    let message =
        format!("policies with a section \"{}\" are reserved for a later version", member.key.value);
    diagnostics
        .error(codes::RESERVED_POLICY, member.key.span, message)
        .help("a policy is a partial route: put its options at the top level of the file");
    true
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
