//! Policies: `policies/NAME.json` is a partial route that routes, dynamic routes and `GlobalConfiguration` name.
//!
//! Here the files are found, read and checked; [`layers`] puts them under the routes.

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

/// Names that a later version gives a meaning to, as files and as directories.
const RESERVED_NAMES: [&str; 6] = ["global", "products", "apis", "fragments", "workspaces", "schemas"];
/// Sections of the policy documents of a later version.
const RESERVED_SECTIONS: [&str; 4] = ["inbound", "backend", "outbound", "on-error"];

/// One policy file.
#[derive(Debug)]
pub struct Policy {
    /// The file's name without `.json`.
    pub name: String,
    pub file: Option<FileId>,
    /// None when the file could not be read: whoever names the policy is not told that it is unknown.
    pub tree: Option<Node>,
}

/// All policies, sorted by name.
#[derive(Debug, Default)]
pub struct Policies {
    pub all: Vec<Policy>,
}

/// A policy file's name and text, before it is understood.
#[derive(Clone, Debug)]
pub struct PolicyFile {
    pub name: String,
    pub display_path: String,
    pub path: Option<PathBuf>,
    /// None when it could not be read.
    pub text: Option<String>,
}

impl Policies {
    pub fn get(&self, name: &str) -> Option<&Policy> {
        self.all.iter().find(|policy| policy.name == name)
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.all.iter().map(|policy| policy.name.as_str())
    }
}

/// The policy files of a directory. A directory that nobody named need not exist.
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
            let message = format!(
                "the policies directory {} cannot be read: {}",
                folder.display(),
                io_error_text(&error)
            );
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
        let message = format!("the directory {shown_as} is not read: policies are files beside each other");
        diagnostics.warning(codes::FILE_IGNORED, None, message);
        return None;
    }
    watched.push(path.clone());
    let text = read_text(&path, &shown_as, diagnostics);
    Some(PolicyFile { name: name.to_owned(), display_path: shown_as, path: Some(path), text })
}

/// "edge" of "edge.json".
fn file_stem(file_name: &str) -> Option<&str> {
    let at = file_name.len().checked_sub(5)?;
    let (stem, end) = (file_name.get(..at)?, file_name.get(at..)?);
    (end.eq_ignore_ascii_case(".json") && !stem.is_empty()).then_some(stem)
}

/// Parses, fills in and checks the policy files.
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

/// The policy with only those settings that a policy may have.
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
        .help("today a policy is a partial route: its options stand at the top of the file");
    true
}

/// A setting of a route or of the whole gateway that is no policy's business.
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
        .error(codes::FORBIDDEN_IN_POLICY, member.key.span, format!("\"{name}\" may not stand in a policy"))
        .help(help(name));
    true
}

fn help(name: &str) -> &'static str {
    match name.to_ascii_lowercase().as_str() {
        "policies" => "policies do not name each other; name both where they are used, the stronger one last",
        "compatibility" | "servicediscoveryprovider" | "baseurl" | "metadataoptions" => {
            "it belongs to GlobalConfiguration"
        }
        "filecacheoptions" => "the new name is \"CacheOptions\"",
        "ratelimitrule" => "the new name is \"RateLimitOptions\"",
        _ => "it makes a route that route: write it in the route itself",
    }
}
