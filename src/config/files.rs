//! Finds and reads the files of a configuration: the only I/O of this floor.

use super::codes;
use super::diagnostics::Diagnostics;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Maximum size of a configuration file in bytes.
pub const MAX_FILE: u64 = 64 << 20;
/// Maximum number of configuration files in one directory.
const MAX_FILES: usize = 4096;

/// How the files of a configuration are combined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceLayout {
    /// One file contains the whole configuration.
    #[default]
    Single,
    /// The files of a directory: `GlobalConfiguration` is taken from the global file only, as Ocelot merges.
    Directory,
    /// Files listed on the command line: `GlobalConfiguration` may be in any one of them.
    Listed,
}

/// A file with its content.
#[derive(Clone, Debug)]
pub struct File {
    /// The name as given on the command line.
    pub name: String,
    pub path: Option<PathBuf>,
    pub text: String,
}

impl File {
    /// `ocelot.json`, `ocelot.orders.json`, ...: files that select Ocelot compatibility.
    pub fn is_ocelot_file(&self) -> bool {
        let name = base_name(&self.name).to_ascii_lowercase();
        name.starts_with("ocelot") && name.ends_with(".json")
    }

    /// `ocelot.global.json` or `gateway.global.json`.
    pub fn is_global(&self) -> bool {
        let name = base_name(&self.name);
        ["ocelot.global.json", "gateway.global.json"].iter().any(|global| name.eq_ignore_ascii_case(global))
    }
}

/// The readable files of a configuration.
#[derive(Debug)]
pub struct SourceFiles {
    pub assembly: SourceLayout,
    pub files: Vec<File>,
    /// The parent of the default `policies/` directory.
    pub folder: PathBuf,
    /// Files and directories that are watched for changes.
    pub watched: Vec<PathBuf>,
    /// At least one file could not be read.
    pub truncated: bool,
}

/// Finds and reads the given files; without paths `gateway.json`, then `ocelot.json`, in `base_dir`.
pub fn find(paths: &[PathBuf], base_dir: &Path, diagnostics: &mut Diagnostics) -> SourceFiles {
    let mut finder = FileFinder { files: Vec::new(), watched: Vec::new(), truncated: false, diagnostics };
    let (assembly, folder) = match paths {
        [] => (SourceLayout::Single, finder.default_files(base_dir)),
        [path] if path.is_dir() => {
            finder.directory(path);
            (SourceLayout::Directory, path.clone())
        }
        [path] => {
            finder.file(path);
            (SourceLayout::Single, folder_of(path))
        }
        [first, ..] => {
            for path in paths {
                if path.is_dir() { finder.directory(path) } else { finder.file(path) }
            }
            (SourceLayout::Listed, if first.is_dir() { first.clone() } else { folder_of(first) })
        }
    };
    let assembly = if assembly == SourceLayout::Directory && finder.has_only_primary() {
        SourceLayout::Single
    } else {
        assembly
    };
    SourceFiles {
        assembly,
        files: finder.files,
        folder,
        watched: finder.watched,
        truncated: finder.truncated,
    }
}

/// Reads a whole file of at most `limit` bytes.
pub fn read_limited(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("larger than {limit} bytes")));
    }
    Ok(bytes)
}

/// Reads a text file; an error becomes a diagnostic without a span.
pub fn read_text(path: &Path, name: &str, diagnostics: &mut Diagnostics) -> Option<String> {
    let bytes = match read_limited(path, MAX_FILE) {
        Ok(bytes) => bytes,
        Err(error) => {
            let too_large = error.kind() == io::ErrorKind::FileTooLarge;
            let code = if too_large { codes::FILE_TOO_LARGE } else { codes::FILE_UNREADABLE };
            diagnostics.error(code, None, format!("cannot read {name}: {}", io_error_text(&error)));
            return None;
        }
    };
    match String::from_utf8(bytes) {
        Ok(text) => Some(text),
        Err(error) => {
            let at = error.utf8_error().valid_up_to();
            let line = error.as_bytes()[..at].iter().filter(|&&b| b == b'\n').count() + 1;
            diagnostics
                .error(codes::NOT_UTF8, None, format!("{name} is not UTF-8: invalid byte in line {line}"))
                .help("save the file as UTF-8");
            None
        }
    }
}

/// The text of an I/O error, without its number.
pub fn io_error_text(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "no such file or directory".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        io::ErrorKind::IsADirectory => "is a directory".to_owned(),
        _ => error.to_string(),
    }
}

struct FileFinder<'d> {
    files: Vec<File>,
    watched: Vec<PathBuf>,
    truncated: bool,
    diagnostics: &'d mut Diagnostics,
}

impl FileFinder<'_> {
    fn default_files(&mut self, base_dir: &Path) -> PathBuf {
        let candidates = [base_dir.join("gateway.json"), base_dir.join("ocelot.json")];
        match candidates.iter().find(|path| path.exists()) {
            Some(path) => self.file(path),
            None => {
                self.no_configuration("found neither gateway.json nor ocelot.json".to_owned());
                self.watched.extend(candidates);
            }
        }
        base_dir.to_path_buf()
    }

    fn no_configuration(&mut self, message: String) {
        self.truncated = true;
        self.diagnostics
            .error(codes::NO_CONFIGURATION, None, message)
            .help("pass a file or a directory with --config");
    }

    fn file(&mut self, path: &Path) {
        self.watched.push(path.to_path_buf());
        let name = path.display().to_string();
        match read_text(path, &name, self.diagnostics) {
            Some(text) => self.files.push(File { name, path: Some(path.to_path_buf()), text }),
            None => self.truncated = true,
        }
    }

    fn directory(&mut self, path: &Path) {
        self.watched.push(path.to_path_buf());
        let names = match file_names(path) {
            Ok(names) => names,
            Err(error) => {
                self.truncated = true;
                let message = format!("cannot read {}: {}", path.display(), io_error_text(&error));
                self.diagnostics.error(codes::FILE_UNREADABLE, None, message);
                return;
            }
        };
        let (gateway, ocelot) = (FileSet::of("gateway", &names), FileSet::of("ocelot", &names));
        if !gateway.is_empty() && !ocelot.is_empty() {
            let message = format!(
                "{} contains gateway*.json and ocelot*.json files; only gateway*.json is read",
                path.display()
            );
            self.diagnostics.warning(codes::FILE_IGNORED, None, message);
        }
        let set = if gateway.is_empty() { ocelot } else { gateway };
        self.file_set(path, set);
    }

    fn file_set(&mut self, path: &Path, set: FileSet) {
        if set.is_empty() {
            return self.no_configuration(format!(
                "{} contains no gateway.NAME.json or ocelot.NAME.json files",
                path.display()
            ));
        }
        if set.parts.len() > MAX_FILES {
            self.truncated = true;
            let message = format!("{} contains more than {MAX_FILES} configuration files", path.display());
            self.diagnostics.error(codes::FILE_TOO_LARGE, None, message);
            return;
        }
        match set.primary {
            Some(primary) if set.parts.is_empty() => self.file(&path.join(primary)),
            // Ocelot writes its merged output to this file; next to parts it is ignored silently.
            Some(primary) if primary.eq_ignore_ascii_case("gateway.json") => {
                let message =
                    format!("{primary} is ignored, because the directory contains gateway.NAME.json files");
                self.diagnostics
                    .warning(codes::FILE_IGNORED, None, message)
                    .help("rename it to gateway.global.json to include it");
            }
            _ => {}
        }
        for part in set.parts {
            self.file(&path.join(part));
        }
    }

    /// A directory that contains only `gateway.json` is equivalent to that file.
    fn has_only_primary(&self) -> bool {
        let [file] = self.files.as_slice() else { return false };
        ["gateway.json", "ocelot.json"].iter().any(|name| base_name(&file.name).eq_ignore_ascii_case(name))
    }
}

/// The files of one prefix: `gateway.json` and `gateway.*.json`, or the same with `ocelot`.
struct FileSet<'n> {
    primary: Option<&'n str>,
    /// Sorted by name, case-insensitive: the order of their routes.
    parts: Vec<&'n str>,
}

impl<'n> FileSet<'n> {
    fn of(prefix: &str, names: &'n [String]) -> Self {
        let primary = format!("{prefix}.json");
        let mut parts: Vec<&str> = names.iter().map(String::as_str).filter(|n| is_part(prefix, n)).collect();
        parts.sort_by_key(|name| (name.to_ascii_lowercase(), *name));
        let primary = names.iter().map(String::as_str).find(|name| name.eq_ignore_ascii_case(&primary));
        FileSet { primary, parts }
    }

    fn is_empty(&self) -> bool {
        self.primary.is_none() && self.parts.is_empty()
    }
}

/// `^prefix\.(.*?)\.json$`, case-insensitive: Ocelot's pattern.
fn is_part(prefix: &str, name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let rest = name.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('.'));
    rest.is_some_and(|rest| rest.ends_with(".json"))
}

fn file_names(path: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let is_file = fs::metadata(entry.path()).is_ok_and(|meta| !meta.is_dir());
        if let (true, Ok(name)) = (is_file, entry.file_name().into_string()) {
            names.push(name);
        }
    }
    Ok(names)
}

/// The last path segment of a name.
pub fn base_name(name: &str) -> &str {
    name.rsplit(['/', '\\']).next().unwrap_or(name)
}

fn folder_of(path: &Path) -> PathBuf {
    path.parent().map(Path::to_path_buf).unwrap_or_default()
}
