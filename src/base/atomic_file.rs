//! Files that are replaced as a whole: a reader sees the old content or the new one, and so does the process after a
//! crash.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The mode of a new file, which only its owner may read.
pub const PRIVATE_MODE: u32 = 0o600;

/// Mode and owner of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ownership {
    pub mode: u32,
    pub user: u32,
    pub group: u32,
}

impl Ownership {
    /// That of an existing file.
    ///
    /// # Errors
    /// The file cannot be inspected.
    pub fn of(path: &Path) -> io::Result<Ownership> {
        let metadata = fs::metadata(path)?;
        Ok(Ownership { mode: metadata.mode() & 0o7777, user: metadata.uid(), group: metadata.gid() })
    }
}

/// Replaces a file; a new one has the mode 0600, an existing one keeps nothing but its name.
///
/// # Errors
/// The directory cannot be written, or is full; the old file is unchanged.
pub fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    replace_with(path, content, None)
}

/// Replaces a file with one of this mode and owner.
///
/// # Errors
/// The directory cannot be written, or the process may not give a file to this owner; the old file is unchanged.
pub fn replace_with(path: &Path, content: &[u8], ownership: Option<Ownership>) -> io::Result<()> {
    let temporary = temporary_path(path);
    let written = write_new(&temporary, content, ownership).and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written?;
    sync_directory(path)
}

/// Replaces the content of an existing file; links are followed, mode and owner are kept.
///
/// # Errors
/// The file does not exist, its directory cannot be written, or the process may not give a file to its owner; the old file is
/// unchanged.
pub fn rewrite(path: &Path, content: &[u8]) -> io::Result<()> {
    let target = fs::canonicalize(path)?;
    replace_with(&target, content, Some(Ownership::of(&target)?))
}

fn write_new(path: &Path, content: &[u8], ownership: Option<Ownership>) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(PRIVATE_MODE).open(path)?;
    if let Some(ownership) = ownership {
        let own = file.metadata()?;
        if (own.uid(), own.gid()) != (ownership.user, ownership.group) {
            fchown(&file, Some(ownership.user), Some(ownership.group))?;
        }
        file.set_permissions(fs::Permissions::from_mode(ownership.mode))?;
    }
    file.write_all(content)?;
    file.sync_all()
}

/// A name in the same directory that no other call uses.
fn temporary_path(path: &Path) -> PathBuf {
    static CALLS: AtomicU64 = AtomicU64::new(0);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let (process, call) = (std::process::id(), CALLS.fetch_add(1, Relaxed));
    path.with_file_name(format!(".{name}.{process}.{call}.tmp"))
}

/// Makes the new name durable.
fn sync_directory(path: &Path) -> io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_file_is_private_and_no_other_file_remains() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        for content in ["one", "two"] {
            replace(&path, content.as_bytes()).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), content);
        }
        assert_eq!(Ownership::of(&path).unwrap().mode, PRIVATE_MODE);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn mode_and_owner_of_a_replaced_file_are_kept_on_request() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        fs::write(&path, "one").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let before = Ownership::of(&path).unwrap();
        replace_with(&path, b"two", Some(before)).unwrap();
        assert_eq!(Ownership::of(&path).unwrap(), before);
    }

    #[test]
    fn a_file_behind_a_link_is_rewritten_and_the_link_stays() {
        let folder = tempfile::tempdir().unwrap();
        let (real, link) = (folder.path().join("real.json"), folder.path().join("link.json"));
        fs::write(&real, "one").unwrap();
        fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink("real.json", &link).unwrap();
        rewrite(&link, b"two").unwrap();
        assert!(link.is_symlink());
        assert_eq!(fs::read_to_string(&real).unwrap(), "two");
        assert_eq!(Ownership::of(&real).unwrap().mode, 0o640);
        assert!(rewrite(&folder.path().join("missing"), b"x").is_err());
    }

    #[test]
    fn a_failed_write_leaves_the_old_file() {
        let folder = tempfile::tempdir().unwrap();
        assert!(replace(&folder.path().join("missing/a.json"), b"x").is_err());
        let directory = folder.path().join("d");
        fs::create_dir(&directory).unwrap();
        assert!(replace(&directory, b"x").is_err(), "a directory is no file");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
