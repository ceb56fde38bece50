//! Puts a rule set in the place of another one in one step; the old one is kept.

use super::archive::ArchiveFile;
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A rule set next to the directory that it will replace; removed when dropped.
#[derive(Debug)]
pub struct StagedRules(PathBuf);

impl StagedRules {
    /// Writes the files.
    ///
    /// # Errors
    /// The directory above `target` cannot be written.
    pub fn write(files: &[ArchiveFile], target: &Path) -> io::Result<Self> {
        let staged = Self(sibling(target, &format!("new-{}", std::process::id())));
        match fs::remove_dir_all(&staged.0) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        for file in files {
            let path = staged.0.join(&file.name);
            fs::create_dir_all(path.parent().unwrap_or(&staged.0))?;
            fs::write(&path, &file.content)?;
            fs::File::open(&path)?.sync_all()?;
        }
        Ok(staged)
    }

    /// Where the files are.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Replaces the target; returns where the old rules are now, if there were any.
    ///
    /// # Errors
    /// The target cannot be replaced; it is unchanged.
    pub fn install(self, target: &Path) -> io::Result<Option<PathBuf>> {
        if !target.exists() {
            fs::rename(&self.0, target)?;
            return Ok(None);
        }
        let previous = sibling(target, "previous");
        match fs::remove_dir_all(&previous) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let exchanged = renameat2(AT_FDCWD, &self.0, AT_FDCWD, target, RenameFlags::RENAME_EXCHANGE);
        if exchanged.is_ok() {
            fs::rename(&self.0, &previous)?;
            return Ok(Some(previous));
        }
        // A file system without exchange.
        fs::rename(target, &previous)?;
        fs::rename(&self.0, target)?;
        Ok(Some(previous))
    }
}

impl Drop for StagedRules {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// `DIR.END`, next to a directory.
fn sibling(directory: &Path, end: &str) -> PathBuf {
    let mut name = directory.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{end}"));
    directory.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(text: &str) -> Vec<ArchiveFile> {
        vec![ArchiveFile { name: "rules/a.conf".to_owned(), content: text.as_bytes().to_vec() }]
    }

    #[test]
    fn the_old_rules_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("crs");
        let read = |path: &Path| fs::read_to_string(path.join("rules/a.conf")).unwrap();
        let staged = StagedRules::write(&rules("1"), &target).unwrap();
        assert!(!target.exists());
        assert_eq!(staged.install(&target).unwrap(), None);
        for text in ["2", "3"] {
            let staged = StagedRules::write(&rules(text), &target).unwrap();
            assert!(staged.install(&target).unwrap().is_some());
        }
        assert_eq!(
            (read(&target), read(&folder.path().join("crs.previous"))),
            ("3".to_owned(), "2".to_owned())
        );
        drop(StagedRules::write(&rules("4"), &target).unwrap());
        let names = fs::read_dir(folder.path()).unwrap().count();
        assert_eq!((read(&target), names), ("3".to_owned(), 2));
    }
}
