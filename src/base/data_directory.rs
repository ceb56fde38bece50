//! The directory of what the gateway keeps between two starts. Every feature has its own files in it; what cannot be
//! written there is kept in memory by its feature, and the operator is warned.

use super::atomic_file;
use std::fs::DirBuilder;
use std::io::{self, Read};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// The mode of the directory: its files may contain secrets of the configuration.
const DIRECTORY_MODE: u32 = 0o700;

/// The directory; it is created by the first write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataDirectory {
    path: PathBuf,
}

impl DataDirectory {
    /// The directory with this path.
    pub fn new(path: impl Into<PathBuf>) -> DataDirectory {
        DataDirectory { path: path.into() }
    }

    /// The path of the directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The content of a file; `None`: it does not exist.
    ///
    /// # Errors
    /// The file cannot be read, or is larger than `max_bytes`.
    pub fn read(&self, name: &str, max_bytes: u64) -> io::Result<Option<Vec<u8>>> {
        let file = match std::fs::File::open(self.path.join(name)) {
            Ok(file) => file,
            Err(error) if is_absent(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut content = Vec::new();
        file.take(max_bytes + 1).read_to_end(&mut content)?;
        match content.len() as u64 > max_bytes {
            true => {
                Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("larger than {max_bytes} bytes")))
            }
            false => Ok(Some(content)),
        }
    }

    /// Replaces a file as a whole.
    ///
    /// # Errors
    /// The directory cannot be created or written, or is full; the old file is unchanged.
    pub fn write(&self, name: &str, content: &[u8]) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(&self.path)?;
        atomic_file::replace(&self.path.join(name), content)
    }

    /// Removes a file; one that does not exist is removed.
    ///
    /// # Errors
    /// The directory cannot be written.
    pub fn remove(&self, name: &str) -> io::Result<()> {
        match std::fs::remove_file(self.path.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// The names of the files that begin with `prefix`.
    ///
    /// # Errors
    /// The directory exists and cannot be read.
    pub fn list(&self, prefix: &str) -> io::Result<Vec<String>> {
        let entries = match std::fs::read_dir(&self.path) {
            Ok(entries) => entries,
            Err(error) if is_absent(&error) => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        Ok(names.filter(|name| name.starts_with(prefix)).collect())
    }
}

/// There is no such file, or its directory is none.
fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_first_write_creates_a_private_directory() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataDirectory::new(folder.path().join("data"));
        assert_eq!(data.read("a", 9).unwrap(), None);
        assert_eq!(data.list("").unwrap(), Vec::<String>::new());
        assert!(!data.path().exists());
        data.write("a", b"one").unwrap();
        let mode = std::fs::metadata(data.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, DIRECTORY_MODE);
        assert_eq!(data.read("a", 9).unwrap().as_deref(), Some(&b"one"[..]));
        assert_eq!(data.read("a", 2).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        assert_eq!(data.list("a").unwrap(), ["a"]);
        data.remove("a").unwrap();
        data.remove("a").unwrap();
        assert_eq!(data.read("a", 9).unwrap(), None);
    }

    #[test]
    fn a_directory_that_cannot_be_written_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("data"), "a file").unwrap();
        assert!(DataDirectory::new(folder.path().join("data")).write("a", b"one").is_err());
    }
}
