//! The result of loading.

use super::de::Options;
use super::diagnostics::Diagnostics;
use super::files::SourceLayout;
use super::node::Node;
use super::policies::Policies;
use super::referenced_files::ReferencedFiles;
use super::source::Sources;
use std::path::PathBuf;

/// A loaded configuration, before it is deserialized.
#[derive(Debug, Default)]
pub struct Loaded {
    pub sources: Sources,
    /// The merged and interpolated tree, with policies merged into the routes. `None` if a file could not be read or
    /// parsed, because diagnostics about the rest would be unreliable.
    pub root: Option<Node>,
    pub policies: Policies,
    pub diagnostics: Diagnostics,
    /// Files and directories that are watched for changes, including those of placeholders. Some may not exist yet.
    pub watched: Vec<PathBuf>,
    /// The files that settings reference.
    pub attached: ReferencedFiles,
    /// Ocelot compatibility, selected by the flag, by the file name or by `Compatibility`.
    pub ocelot: bool,
    /// The initial value of an empty configuration store, if the files have one.
    pub initial_store_value: Option<String>,
    /// How the files were combined, and which of them are overlays; the policies follow in `sources`.
    pub layout: SourceLayout,
    pub overlays: Vec<bool>,
}

impl Loaded {
    /// The deserializer options.
    pub fn options(&self) -> Options {
        Options { ocelot: self.ocelot }
    }
}
