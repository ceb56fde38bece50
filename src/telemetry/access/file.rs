//! A log file with rotation by size: `access.log`, then `access.log.1` for the newest rotated one, and so on.

use super::{
    config::FileConfig,
    output::{FailureReport, LogOutput, count_lines},
};
use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

/// A new log file is not readable for other users: it contains client addresses.
const FILE_MODE: u32 = 0o640;

/// An open log file.
pub(super) struct FileOutput {
    config: FileConfig,
    file: File,
    size: u64,
    /// The last write failed in the middle of a line.
    is_torn: bool,
    failures: FailureReport,
}

impl FileOutput {
    /// Opens the file to append to it.
    ///
    /// # Errors
    ///
    /// A sentence for the operator.
    pub(super) fn open(config: FileConfig) -> Result<FileOutput, String> {
        let (file, size) = open(&config.path)
            .map_err(|error| format!("cannot open the access log {}: {error}", config.path.display()))?;
        Ok(FileOutput { config, file, size, is_torn: false, failures: FailureReport::default() })
    }

    /// Writes lines that fit into the file.
    fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        if std::mem::take(&mut self.is_torn) {
            self.file.write_all(b"\n")?;
        }
        let written = self.file.write_all(lines);
        self.is_torn = written.is_err();
        match &written {
            Ok(()) => self.size += lines.len() as u64,
            Err(_) => self.size = self.file.metadata().map_or(self.size, |metadata| metadata.len()),
        }
        written
    }

    /// The end of the lines that fit into the file; at least one if the file is empty.
    fn fitting(&self, lines: &[u8]) -> usize {
        let Some(max_bytes) = self.config.max_bytes else { return lines.len() };
        let room = usize::try_from(max_bytes.saturating_sub(self.size)).unwrap_or(usize::MAX);
        if lines.len() <= room {
            return lines.len();
        }
        match memchr::memrchr(b'\n', &lines[..room]) {
            Some(end) => end + 1,
            None if self.size > 0 => 0,
            None => memchr::memchr(b'\n', lines).map_or(lines.len(), |end| end + 1),
        }
    }

    /// Renames the files and starts a new one. If that fails, the current file grows.
    fn rotate(&mut self) -> io::Result<()> {
        for number in (1..self.config.max_files).rev() {
            let from = numbered(&self.config.path, number);
            if from.exists() {
                fs::rename(from, numbered(&self.config.path, number + 1))?;
            }
        }
        fs::rename(&self.config.path, numbered(&self.config.path, 1))?;
        (self.file, self.size) = open(&self.config.path)?;
        self.is_torn = false;
        Ok(())
    }
}

impl LogOutput for FileOutput {
    fn write_lines(&mut self, mut lines: &[u8]) -> u64 {
        while !lines.is_empty() {
            let end = match self.fitting(lines) {
                0 => match self.rotate() {
                    Ok(()) => continue,
                    Err(error) => {
                        log::warn!("cannot rotate the access log {}: {error}", self.config.path.display());
                        lines.len()
                    }
                },
                end => end,
            };
            let written = self.append(&lines[..end]);
            self.failures.update(&self.config.path.display().to_string(), &written);
            if written.is_err() {
                return count_lines(lines);
            }
            lines = &lines[end..];
        }
        0
    }

    fn reopen(&mut self) {
        match open(&self.config.path) {
            Ok((file, size)) => (self.file, self.size, self.is_torn) = (file, size, false),
            Err(error) => {
                log::error!("cannot open the access log {} again: {error}", self.config.path.display());
            }
        }
    }
}

fn open(path: &Path) -> io::Result<(File, u64)> {
    let file = OpenOptions::new().append(true).create(true).mode(FILE_MODE).open(path)?;
    let size = file.metadata()?.len();
    Ok((file, size))
}

fn numbered(path: &Path, number: u32) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(format!(".{number}"));
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scene(max_bytes: u64) -> (tempfile::TempDir, PathBuf, FileOutput) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("access.log");
        let config = FileConfig { path: path.clone(), max_bytes: Some(max_bytes), max_files: 2 };
        let output = FileOutput::open(config).unwrap();
        (folder, path, output)
    }

    fn text(path: &Path) -> String {
        fs::read_to_string(path).unwrap_or_default()
    }

    #[test]
    fn a_file_is_rotated_by_size_at_the_end_of_a_line_and_old_files_are_removed() {
        let (_folder, path, mut output) = scene(10);
        for line in ["one\ntwo\n", "three\n", "four\nfive\n", "six\n"] {
            assert_eq!(output.write_lines(line.as_bytes()), 0);
        }
        assert_eq!(text(&path), "six\n");
        assert_eq!(text(&numbered(&path, 1)), "four\nfive\n");
        assert_eq!(text(&numbered(&path, 2)), "three\n");
        assert!(!numbered(&path, 3).exists());
    }

    #[test]
    fn a_line_longer_than_the_limit_has_a_file_of_its_own() {
        let (_folder, path, mut output) = scene(4);
        output.write_lines(b"a\na long line\nb\n");
        assert_eq!(
            (text(&numbered(&path, 2)), text(&numbered(&path, 1))),
            ("a\n".into(), "a long line\n".into())
        );
        assert_eq!(text(&path), "b\n");
    }

    #[test]
    fn after_a_rotation_by_another_program_lines_go_to_the_new_file() {
        let (folder, path, mut output) = scene(1000);
        output.write_lines(b"old\n");
        let moved = folder.path().join("moved.log");
        fs::rename(&path, &moved).unwrap();
        output.write_lines(b"still old\n");
        output.reopen();
        output.write_lines(b"new\n");
        assert_eq!((text(&moved), text(&path)), ("old\nstill old\n".into(), "new\n".into()));
    }

    #[test]
    fn a_full_disk_loses_lines_and_nothing_else() {
        let config = FileConfig { path: "/dev/full".into(), max_bytes: None, max_files: 1 };
        let mut output = FileOutput::open(config).unwrap();
        assert_eq!(output.write_lines(b"one\ntwo\n"), 2);
        assert_eq!(output.write_lines(b"three\n"), 1);
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_reported_with_its_path() {
        let config = FileConfig { path: "/nowhere/access.log".into(), max_bytes: None, max_files: 1 };
        let error = FileOutput::open(config).err().unwrap();
        assert!(error.starts_with("cannot open the access log /nowhere/access.log: "), "{error}");
    }
}
