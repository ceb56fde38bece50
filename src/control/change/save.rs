//! Writes a configuration to its file.

use crate::base::atomic_file::{self, Ownership};
use crate::config::Snapshot;
use std::path::{Path, PathBuf};

/// Appended to the name of the file for the backup of its old content.
const BACKUP_SUFFIX: &str = ".bak";

/// Why a configuration is not saved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SaveError {
    /// The configuration is not one file.
    NotOneFile,
    /// The file is not as it was read.
    Changed(PathBuf),
    /// The file cannot be read or written.
    Failed(PathBuf, String),
}

impl std::fmt::Display for SaveError {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        match self {
            SaveError::NotOneFile => f.write_str(
                "the configuration consists of several files, or of none; save it where it is written",
            ),
            SaveError::Changed(path) => {
                write!(f, "{} was changed since it was read; apply that change first", path.display())
            }
            SaveError::Failed(path, error) => write!(f, "{} cannot be written: {error}", path.display()),
        }
    }
}

/// Replaces the file of `read` by the text of `new`; its old content is next to it. Links are followed, mode and owner
/// are kept.
///
/// # Errors
/// The file is unchanged.
pub fn save(read: &Snapshot, new: &Snapshot) -> Result<PathBuf, SaveError> {
    let (target, current) = check(read, new)?;
    let (_, new_text) = new.single_file().ok_or(SaveError::NotOneFile)?;
    let failed = |error: std::io::Error| SaveError::Failed(target.clone(), error.to_string());
    let ownership = Ownership::of(&target).map_err(failed)?;
    atomic_file::replace_with(&backup_path(&target), &current, Some(ownership)).map_err(failed)?;
    atomic_file::replace_with(&target, new_text.as_bytes(), Some(ownership)).map_err(failed)?;
    Ok(target)
}

/// Whether `save` would be refused now: the file behind all links, and its content.
///
/// # Errors
/// The reason.
pub fn check(read: &Snapshot, new: &Snapshot) -> Result<(PathBuf, Vec<u8>), SaveError> {
    let (path, old_text) = read.single_file().ok_or(SaveError::NotOneFile)?;
    new.single_file().ok_or(SaveError::NotOneFile)?;
    let failed = |error: std::io::Error| SaveError::Failed(path.clone(), error.to_string());
    let target = std::fs::canonicalize(path).map_err(failed)?;
    let current = std::fs::read(&target).map_err(failed)?;
    match is_same_text(&current, old_text) {
        true => Ok((target, current)),
        false => Err(SaveError::Changed(path.clone())),
    }
}

fn is_same_text(bytes: &[u8], text: &str) -> bool {
    bytes == text.as_bytes()
}

fn backup_path(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(BACKUP_SUFFIX);
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Environment, Request};
    use crate::plan::document::load;
    use std::os::unix::fs::{PermissionsExt, symlink};

    /// The configuration of a directory.
    fn read(folder: &Path) -> crate::config::Loaded {
        let request = Request { base_dir: folder.to_path_buf(), ..Request::default() };
        load(&request, Environment::of_process())
    }

    #[test]
    fn the_file_is_replaced_behind_its_link_with_its_mode_and_a_backup() {
        let folder = tempfile::tempdir().unwrap();
        let real = folder.path().join("real.json");
        std::fs::write(&real, "{}").unwrap();
        std::fs::set_permissions(&real, std::fs::Permissions::from_mode(0o640)).unwrap();
        symlink("real.json", folder.path().join("gateway.json")).unwrap();
        let loaded = read(folder.path());
        let new = Snapshot::of(&loaded).with_document("{ \"AccessLog\": true }".into());
        save(&Snapshot::of(&loaded), &new).unwrap();
        assert_eq!(std::fs::read_to_string(&real).unwrap(), "{ \"AccessLog\": true }");
        assert_eq!(std::fs::read_to_string(folder.path().join("real.json.bak")).unwrap(), "{}");
        assert_eq!(Ownership::of(&real).unwrap().mode, 0o640);
        assert!(folder.path().join("gateway.json").is_symlink());
    }

    #[test]
    fn a_file_that_was_changed_since_it_was_read_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("gateway.json");
        std::fs::write(&file, "{}").unwrap();
        let loaded = read(folder.path());
        std::fs::write(&file, "{ }").unwrap();
        let new = Snapshot::of(&loaded).with_document("{ \"AccessLog\": true }".into());
        assert_eq!(save(&Snapshot::of(&loaded), &new), Err(SaveError::Changed(file.clone())));
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "{ }");
    }

    #[test]
    fn a_configuration_of_several_files_is_not_saved() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["gateway.a.json", "gateway.b.json"] {
            std::fs::write(folder.path().join(name), "{}").unwrap();
        }
        let request = Request { paths: vec![folder.path().to_path_buf()], ..Request::default() };
        let loaded = load(&request, Environment::of_process());
        let new = Snapshot::of(&loaded).with_document("{}".into());
        assert_eq!(save(&Snapshot::of(&loaded), &new), Err(SaveError::NotOneFile));
    }
}
