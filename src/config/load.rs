//! Loads a configuration into one tree: files, dialect, merge, interpolation, policies.
//!
//! The meaning of settings is not known here; [`super::de::read`] deserializes the tree into a typed document.

use super::codes;
use super::de::Options;
use super::diagnostics::Diagnostics;
use super::dotnet::DotnetEnvironment;
use super::files::{self, File, FileRole, FindOptions, SourceLayout};
use super::interpolation::{Environment, interpolate};
use super::loaded::Loaded;
use super::merge::{MergeInput, merge};
use super::node::Node;
use super::overlay::{overlay, variables_as_tree};
use super::parse::{Dialect, parse};
use super::policies::{self, PolicyFile, merge};
use super::referenced_files::ReferencedFiles;
use super::remote_document::{self, RemoteDocument};
use super::snapshot::Snapshot;
use super::source::Sources;
use super::span::FileId;
use super::stored_entities::StoredEntities;
use super::vocabulary::Vocabulary;
use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The configuration options of the command line.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// `--config`, in the order given; empty: `gateway.json`, then `ocelot.json`, in `base_dir`.
    pub paths: Vec<PathBuf>,
    /// `--policies`; `None`: `policies/` in the directory of the main file.
    pub policies: Option<PathBuf>,
    /// `--compat ocelot`.
    pub ocelot: bool,
    /// The directory of the default files; empty: the working directory.
    pub base_dir: PathBuf,
    /// The document of the configuration store, if there is one.
    pub stored: Option<RemoteDocument>,
    /// What the store of the gateway contains.
    pub entities: Option<Arc<StoredEntities>>,
    /// Replaces the files: a configuration that was loaded before, or one that the administration API received.
    pub snapshot: Option<Arc<Snapshot>>,
    /// The environment variables that .NET adds to `ocelot.json`.
    pub dotnet: DotnetEnvironment,
}

/// Configuration files in memory: of a test, a benchmark, or the administration API.
#[derive(Clone, Debug, Default)]
pub struct InMemoryFiles<'t> {
    /// Name and text; several files are merged like listed files.
    pub files: &'t [(&'t str, &'t str)],
    /// Name without `.json`, and text.
    pub policies: &'t [(&'t str, &'t str)],
    /// As with `--compat ocelot`.
    pub ocelot: bool,
    /// The document of a configuration store.
    pub stored: Option<&'t RemoteDocument>,
}

/// Loads the files of a request; `vocabulary` has the setting names of the documents.
pub fn load(request: &Request, environment: Environment, vocabulary: &Vocabulary) -> Loaded {
    let mut diagnostics = Diagnostics::default();
    let options = FindOptions { ocelot: request.ocelot, environment: &request.dotnet };
    let mut source_files = files::find(&request.paths, &request.base_dir, options, &mut diagnostics);
    let folder = request.policies.clone().unwrap_or_else(|| source_files.folder.join("policies"));
    let policies =
        policies::find(&folder, request.policies.is_some(), &mut source_files.watched, &mut diagnostics);
    let mut input = Input {
        files: source_files.files,
        assembly: source_files.assembly,
        incomplete: source_files.truncated,
        policies,
        ocelot: request.ocelot,
        stored: request.stored.clone(),
        entities: request.entities.clone(),
        dotnet: request.dotnet.clone(),
    };
    if let Some(snapshot) = &request.snapshot {
        // What is wrong with the files is not about the snapshot.
        diagnostics = Diagnostics::default();
        (input.files, input.assembly, input.incomplete) = (snapshot.files(), snapshot.layout, false);
        input.policies = snapshot.policies().unwrap_or(input.policies);
    }
    if let Some(entities) = &request.entities {
        let stored = entities.policy_files(&input.policies, &mut diagnostics);
        input.policies.extend(stored);
    }
    let mut loaded = build_document(input, environment, vocabulary, diagnostics);
    loaded.watched.splice(0..0, source_files.watched);
    loaded
}

/// Loads files from memory.
pub fn load_texts(texts: &InMemoryFiles, environment: Environment, vocabulary: &Vocabulary) -> Loaded {
    let file = |(name, text): &(&str, &str)| File::new((*name).to_owned(), None, (*text).to_owned());
    let policy = |(name, text): &(&str, &str)| PolicyFile {
        name: (*name).to_owned(),
        display_path: format!("policies/{name}.json"),
        path: None,
        text: Some((*text).to_owned()),
        is_stored: false,
    };
    let input = Input {
        files: texts.files.iter().map(file).collect(),
        assembly: if texts.files.len() == 1 { SourceLayout::Single } else { SourceLayout::Listed },
        incomplete: texts.files.is_empty(),
        policies: texts.policies.iter().map(policy).collect(),
        ocelot: texts.ocelot,
        stored: texts.stored.cloned(),
        entities: None,
        dotnet: DotnetEnvironment::default(),
    };
    build_document(input, environment, vocabulary, Diagnostics::default())
}

/// All input files.
struct Input {
    files: Vec<File>,
    assembly: SourceLayout,
    incomplete: bool,
    policies: Vec<PolicyFile>,
    ocelot: bool,
    stored: Option<RemoteDocument>,
    entities: Option<Arc<StoredEntities>>,
    dotnet: DotnetEnvironment,
}

fn build_document(
    input: Input,
    environment: Environment,
    vocabulary: &Vocabulary,
    diagnostics: Diagnostics,
) -> Loaded {
    let named = RefCell::new(Vec::new());
    let read = |path: &Path, limit| {
        named.borrow_mut().push(path.to_path_buf());
        (environment.read)(path, limit)
    };
    let mut loaded = merge_trees(input, Environment { read: &read, ..environment }, vocabulary, diagnostics);
    loaded.watched = named.into_inner();
    loaded
}

fn merge_trees(
    mut input: Input,
    environment: Environment,
    vocabulary: &Vocabulary,
    mut diagnostics: Diagnostics,
) -> Loaded {
    let mut sources = Sources::default();
    let texts =
        input.files.iter().map(|file| &*file.text).chain(input.stored.iter().map(|stored| &*stored.text));
    let has_placeholders = texts.into_iter().any(|text| text.contains("${"));
    let (policy_files, entities) = (std::mem::take(&mut input.policies), input.entities.take());
    let (layout, overlays) = (input.assembly, input.files.iter().map(|file| file.is_overlay).collect());
    let Merged { mut root, ocelot, is_incomplete, initial_store_value } =
        merge_files(input, vocabulary, &mut sources, &mut diagnostics);
    if let Some(root) = root.as_mut().filter(|_| has_placeholders) {
        interpolate(root, environment, &mut diagnostics);
    }
    if let (Some(root), Some(entities)) = (&mut root, entities) {
        entities.lay_under(root, &mut sources, &mut diagnostics);
    }
    let options = Options { ocelot };
    let policies =
        policies::read(policy_files, options, vocabulary, environment, &mut sources, &mut diagnostics);
    let mut root = root.filter(|_| !is_incomplete);
    root.iter_mut().for_each(|root| merge::apply(root, &policies, vocabulary, &mut diagnostics));
    let attached =
        root.as_ref().map(|root| ReferencedFiles::read(root, &sources, environment)).unwrap_or_default();
    Loaded {
        sources,
        root,
        policies,
        diagnostics,
        watched: Vec::new(),
        attached,
        ocelot,
        initial_store_value,
        layout,
        overlays,
    }
}

/// The files as one tree.
struct Merged {
    root: Option<Node>,
    ocelot: bool,
    /// A file could not be read or parsed.
    is_incomplete: bool,
    initial_store_value: Option<String>,
}

/// Parses the files and the stored document and merges them.
fn merge_files(
    input: Input,
    vocabulary: &Vocabulary,
    sources: &mut Sources,
    diagnostics: &mut Diagnostics,
) -> Merged {
    let by_name = input.files.iter().any(File::is_ocelot_file);
    let (mut trees, mut ocelot) = parse_all(input.files, input.ocelot, by_name, sources, diagnostics);
    let mut is_incomplete = input.incomplete || trees.iter().any(|(_, tree)| tree.is_none());
    trees.retain(|(role, _)| !is_incomplete || *role != FileRole::Overlay);
    let (parts, overlays) = lay_over_files(trees, input.assembly, diagnostics);
    let mut root = merge(parts, input.assembly, vocabulary.document, ocelot, sources, diagnostics);
    if let Some(root) = &mut root {
        overlays.into_iter().for_each(|tree| overlay(root, tree, diagnostics));
    }
    let initial_store_value = root.as_ref().and_then(remote_document::initial_value);
    if let Some(root) = &mut root {
        lay_over_variables(root, input.dotnet, ocelot, sources, diagnostics);
    }
    if let (Some(root), Some(stored)) = (&mut root, input.stored) {
        match parse_stored(stored, ocelot, sources, diagnostics) {
            Some(tree) => {
                ocelot |= requests_ocelot_mode(&tree);
                remote_document::overlay(root, tree, diagnostics);
            }
            None => is_incomplete = true,
        }
    }
    Merged { root, ocelot, is_incomplete, initial_store_value }
}

/// Lays the file of the environment over its file. Those of a directory are returned, because they belong to the merged
/// tree.
fn lay_over_files(
    trees: ParsedFiles,
    assembly: SourceLayout,
    diagnostics: &mut Diagnostics,
) -> (Vec<MergeInput>, Vec<Node>) {
    let (mut parts, mut overlays): (Vec<MergeInput>, Vec<Node>) = Default::default();
    for (role, tree) in trees {
        match (role, tree, parts.last_mut()) {
            (_, None, _) => {}
            (FileRole::Overlay, Some(tree), Some(part)) if assembly != SourceLayout::Directory => {
                overlay(&mut part.tree, tree, diagnostics);
            }
            (FileRole::Overlay, Some(tree), _) => overlays.push(tree),
            (role, Some(tree), _) => parts.push(MergeInput { tree, is_global: role == FileRole::Global }),
        }
    }
    (parts, overlays)
}

fn lay_over_variables(
    root: &mut Node,
    environment: DotnetEnvironment,
    ocelot: bool,
    sources: &mut Sources,
    diagnostics: &mut Diagnostics,
) {
    if ocelot {
        if let Some(tree) = variables_as_tree(environment.variables, sources) {
            overlay(root, tree, diagnostics);
        }
    } else if let Some(name) = environment.first_ocelot_variable() {
        diagnostics
            .warning(codes::VARIABLES_NOT_READ, None, format!("the environment variable {name} is not read"))
            .help("set the value to ${NAME} in the file, or select \"Compatibility\": \"Ocelot\"");
    }
}

fn parse_stored(
    stored: RemoteDocument,
    ocelot: bool,
    sources: &mut Sources,
    diagnostics: &mut Diagnostics,
) -> Option<Node> {
    let dialect = Dialect { single_quotes: ocelot };
    let id = sources.add(stored.name, None, stored.text.as_ref().to_owned(), dialect);
    parse(id, &sources.get(id)?.text, dialect, diagnostics)
}

/// The role and the tree of each file.
type ParsedFiles = Vec<(FileRole, Option<Node>)>;

/// Parses all files in one dialect. The files themselves may select Ocelot's dialect, so files with errors in the default
/// one are parsed again if they set `Compatibility`.
fn parse_all(
    files: Vec<File>,
    flag: bool,
    by_name: bool,
    sources: &mut Sources,
    diagnostics: &mut Diagnostics,
) -> (ParsedFiles, bool) {
    let mut ids = Vec::with_capacity(files.len());
    let initial = Dialect { single_quotes: flag || by_name };
    for file in files {
        let role = file.role();
        ids.push((role, sources.add(file.name, file.path, file.text, initial)));
    }
    let (trees, errors) = parse_each(&ids, initial, sources);
    let ocelot = initial.single_quotes || trees.iter().flatten().any(requests_ocelot_mode);
    let (trees, errors) = match ocelot && !initial.single_quotes && !errors.list.is_empty() {
        true => {
            sources.set_dialect(Dialect { single_quotes: true });
            parse_each(&ids, Dialect { single_quotes: true }, sources)
        }
        false => (trees, errors),
    };
    diagnostics.append(errors);
    (ids.iter().map(|(role, _)| *role).zip(trees).collect(), ocelot)
}

fn parse_each(
    ids: &[(FileRole, FileId)],
    dialect: Dialect,
    sources: &Sources,
) -> (Vec<Option<Node>>, Diagnostics) {
    let mut diagnostics = Diagnostics::default();
    let one = |(_, id): &(FileRole, FileId)| parse(*id, &sources.get(*id)?.text, dialect, &mut diagnostics);
    (ids.iter().map(one).collect(), diagnostics)
}

/// `"Compatibility": "Ocelot"`.
fn requests_ocelot_mode(tree: &Node) -> bool {
    let compatibility = tree
        .get_ignore_case("GlobalConfiguration")
        .and_then(|global| global.get_ignore_case("Compatibility"));
    compatibility.and_then(Node::as_str).is_some_and(|text| text.trim().eq_ignore_ascii_case("Ocelot"))
}
