//! Finds and reads the files of a configuration: the only I/O of this floor.

use super::codes;
use super::diagnostics::Diagnostics;
use super::dotnet::DotnetEnvironment;
use super::encoding::decode;
use super::file_set::{FileSet, file_names, overlay_path};
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
    /// `ocelot.ENVIRONMENT.json`: laid over the file before it, or over the merged files of a directory.
    pub(super) is_overlay: bool,
}

/// The part of a file in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileRole {
    /// One of the merged files.
    Part,
    /// The file whose `GlobalConfiguration` counts in a directory.
    Global,
    /// `ocelot.ENVIRONMENT.json`.
    Overlay,
}

impl File {
    /// A file that is merged with others.
    pub fn new(name: String, path: Option<PathBuf>, text: String) -> File {
        File { name, path, text, is_overlay: false }
    }

    /// The part of the file in the configuration.
    pub fn role(&self) -> FileRole {
        match (self.is_overlay, self.is_global()) {
            (true, _) => FileRole::Overlay,
            (false, true) => FileRole::Global,
            (false, false) => FileRole::Part,
        }
    }

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

/// What selects the files and how they are read.
#[derive(Clone, Copy, Debug)]
pub struct FindOptions<'r> {
    /// `--compat ocelot`.
    pub ocelot: bool,
    /// Selects `ocelot.ENVIRONMENT.json`.
    pub environment: &'r DotnetEnvironment,
}

/// Finds and reads the given files; without paths `gateway.json`, then `ocelot.json`, in `base_dir`. A file
/// `ocelot.json` is followed by its `ocelot.ENVIRONMENT.json`.
pub fn find(
    paths: &[PathBuf],
    base_dir: &Path,
    options: FindOptions,
    diagnostics: &mut Diagnostics,
) -> SourceFiles {
    let mut finder =
        FileFinder { files: Vec::new(), watched: Vec::new(), truncated: false, options, diagnostics };
    let (assembly, folder) = match paths {
        [] => (SourceLayout::Single, finder.default_files(base_dir)),
        [path] if path.is_dir() => {
            finder.directory(path);
            (SourceLayout::Directory, path.clone())
        }
        [path] => {
            finder.main_file(path);
            (SourceLayout::Single, folder_of(path))
        }
        [first, ..] => {
            for path in paths {
                if path.is_dir() { finder.directory(path) } else { finder.main_file(path) }
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

/// Reads a text file; an error becomes a diagnostic without a span. Under Ocelot compatibility invalid bytes are a
/// warning.
pub fn read_text(path: &Path, name: &str, ocelot: bool, diagnostics: &mut Diagnostics) -> Option<String> {
    let bytes = match read_limited(path, MAX_FILE) {
        Ok(bytes) => bytes,
        Err(error) => {
            let too_large = error.kind() == io::ErrorKind::FileTooLarge;
            let code = if too_large { codes::FILE_TOO_LARGE } else { codes::FILE_UNREADABLE };
            diagnostics.error(code, None, format!("cannot read {name}: {}", io_error_text(&error)));
            return None;
        }
    };
    decode(bytes).map_or_else(
        |error| {
            diagnostics
                .error_or_ocelot_warning(ocelot, codes::NOT_UTF8, None, format!("{name} {}", error.message))
                .help("save the file as UTF-8");
            ocelot.then_some(error.lossy_text)
        },
        Some,
    )
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
    options: FindOptions<'d>,
    diagnostics: &'d mut Diagnostics,
}

impl FileFinder<'_> {
    fn default_files(&mut self, base_dir: &Path) -> PathBuf {
        let candidates = [base_dir.join("gateway.json"), base_dir.join("ocelot.json")];
        match candidates.iter().find(|path| path.exists()) {
            Some(path) => self.main_file(path),
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
            .help("pass a file or a directory with --config, or make a first one: margay new");
    }

    /// A file of the command line, followed by the file of the environment.
    fn main_file(&mut self, path: &Path) {
        if self.files.iter().any(|file| file.is_overlay && is_same_file(file.path.as_deref(), path)) {
            return;
        }
        self.file(path);
        let is_ocelot = self.files.last().is_some_and(|file| {
            file.path.as_deref() == Some(path) && (self.options.ocelot || file.is_ocelot_file())
        });
        if is_ocelot {
            self.overlay(path);
        }
    }

    fn file(&mut self, path: &Path) {
        self.watched.push(path.to_path_buf());
        let name = path.display().to_string();
        let mut file = File::new(name, Some(path.to_path_buf()), String::new());
        let ocelot = self.options.ocelot || file.is_ocelot_file();
        match read_text(path, &file.name, ocelot, self.diagnostics) {
            Some(text) => {
                file.text = text;
                self.files.push(file);
            }
            None => self.truncated = true,
        }
    }

    /// The file of the environment next to a file: `ocelot.Production.json` next to `ocelot.json`.
    fn overlay(&mut self, main: &Path) {
        let environment = self.options.environment;
        if let Some(other) = environment.overridden_name().and_then(|name| overlay_path(main, name))
            && other.exists()
        {
            let message = format!(
                "{} is ignored: DOTNET_ENVIRONMENT, which selects {}, takes precedence over ASPNETCORE_ENVIRONMENT",
                other.display(),
                environment.name()
            );
            self.diagnostics.warning(codes::FILE_IGNORED, None, message);
        }
        let Some(path) = overlay_path(main, environment.name()) else { return };
        if path.exists() { self.overlay_file(&path) } else { self.watched.push(path) }
    }

    fn overlay_file(&mut self, path: &Path) {
        let before = self.files.len();
        self.file(path);
        self.files.iter_mut().skip(before).for_each(|file| file.is_overlay = true);
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
        let gateway_is_read = !gateway.is_empty();
        if gateway_is_read && !ocelot.is_empty() {
            let message = format!(
                "{} contains gateway*.json and ocelot*.json files; only gateway*.json is read",
                path.display()
            );
            self.diagnostics.warning(codes::FILE_IGNORED, None, message);
        }
        let mut set = if gateway_is_read { gateway } else { ocelot };
        let overlay = if gateway_is_read { None } else { set.take_overlay(self.options.environment) };
        self.file_set(path, set);
        if let Some(overlay) = overlay {
            self.overlay_file(&path.join(overlay));
        }
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
        let ([file] | [file, File { is_overlay: true, .. }]) = self.files.as_slice() else { return false };
        ["gateway.json", "ocelot.json"].iter().any(|name| base_name(&file.name).eq_ignore_ascii_case(name))
    }
}

/// The last path segment of a name.
pub fn base_name(name: &str) -> &str {
    name.rsplit(['/', '\\']).next().unwrap_or(name)
}

fn is_same_file(known: Option<&Path>, path: &Path) -> bool {
    known.is_some_and(|known| match (known.canonicalize(), path.canonicalize()) {
        (Ok(known), Ok(path)) => known == path,
        _ => known == path,
    })
}

fn folder_of(path: &Path) -> PathBuf {
    path.parent().map(Path::to_path_buf).unwrap_or_default()
}
