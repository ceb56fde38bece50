//! The texts of one version of the configuration: for its history, and in the place of the files.

use super::files::{File, SourceLayout};
use super::loaded::Loaded;
use super::policies::PolicyFile;
use super::span::FileId;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The files and policies of a configuration as written: without the values of variables and the content of other files.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    pub layout: SourceLayout,
    files: Vec<SnapshotFile>,
    /// `None`: those of the policies directory at the time of loading.
    policies: Option<Vec<SnapshotFile>>,
}

/// One file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct SnapshotFile {
    /// Of a policy: its name.
    name: String,
    path: Option<PathBuf>,
    text: String,
    /// `ocelot.ENVIRONMENT.json`.
    #[serde(default)]
    is_overlay: bool,
}

impl Snapshot {
    /// The texts of what was loaded.
    pub fn of(loaded: &Loaded) -> Snapshot {
        let file = |id: FileId, name: Option<&str>, is_overlay: bool| {
            let source = loaded.sources.get(id)?;
            let name = name.unwrap_or(&source.name).to_owned();
            Some(SnapshotFile { name, path: source.path.clone(), text: source.text.clone(), is_overlay })
        };
        let ids = loaded.sources.iter().map(|(id, _)| id).zip(&loaded.overlays);
        let policies =
            loaded.policies.all.iter().filter_map(|policy| file(policy.file?, Some(&policy.name), false));
        let has_options = |id: FileId| loaded.policies.all.iter().any(|policy| policy.file == Some(id));
        let documents = loaded
            .policies
            .documents
            .iter()
            .filter(|document| !has_options(document.file) && !document.is_stored)
            .filter_map(|document| {
                let name =
                    if document.is_xml { format!("{}.xml", document.name) } else { document.name.clone() };
                file(document.file, Some(&name), false)
            });
        Snapshot {
            layout: loaded.layout,
            files: ids.filter_map(|(id, is_overlay)| file(id, None, *is_overlay)).collect(),
            policies: Some(policies.chain(documents).collect()),
        }
    }

    /// A document in the place of the main file: relative paths and the policies are those of the files.
    pub fn with_document(&self, text: String) -> Snapshot {
        let main = self.files.first();
        let name = main.map_or_else(|| "gateway.json".to_owned(), |file| file.name.clone());
        let path = main.and_then(|file| file.path.clone());
        let file = SnapshotFile { name, path, text, is_overlay: false };
        Snapshot { layout: SourceLayout::Single, files: vec![file], policies: None }
    }

    /// The path and the text of the configuration, if it is one file.
    pub fn single_file(&self) -> Option<(&PathBuf, &str)> {
        match self.files.as_slice() {
            [file] if self.layout == SourceLayout::Single => Some((file.path.as_ref()?, &file.text)),
            _ => None,
        }
    }

    /// Bytes of all texts.
    pub fn size(&self) -> usize {
        self.files.iter().chain(self.policies.iter().flatten()).map(|file| file.text.len()).sum()
    }

    /// The files, as they would be read.
    pub(super) fn files(&self) -> Vec<File> {
        let file = |file: &SnapshotFile| File {
            name: file.name.clone(),
            path: file.path.clone(),
            text: file.text.clone(),
            is_overlay: file.is_overlay,
        };
        self.files.iter().map(file).collect()
    }

    /// The policies, as they would be read.
    pub(super) fn policies(&self) -> Option<Vec<PolicyFile>> {
        let policy = |file: &SnapshotFile| PolicyFile {
            name: file.name.clone(),
            display_path: file
                .path
                .as_ref()
                .map_or_else(|| file.name.clone(), |path| path.display().to_string()),
            path: file.path.clone(),
            text: Some(file.text.clone()),
            is_stored: false,
        };
        Some(self.policies.as_ref()?.iter().map(policy).collect())
    }
}
