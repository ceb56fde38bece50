//! Which files make up a configuration, and their bytes: the only I/O of this floor.

use super::codes;
use super::diagnostics::Diagnostics;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// The largest configuration file.
pub const MAX_FILE: u64 = 64 << 20;
/// The most configuration files of one directory.
const MAX_FILES: usize = 4096;

/// What the files of a configuration have to do with each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceLayout {
    /// One file is everything.
    Single,
    /// The parts of a directory: `GlobalConfiguration` comes from the global file only, as Ocelot merges.
    Directory,
    /// Files that the user listed: `GlobalConfiguration` may stand in any one of them.
    Listed,
}

/// One file, read.
#[derive(Clone, Debug)]
pub struct File {
    /// As the user wrote it.
    pub name: String,
    pub path: Option<PathBuf>,
    pub text: String,
}

impl File {
    /// `ocelot.json`, `ocelot.orders.json`, ...: files that want to be read as Ocelot reads them.
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

/// The files of a configuration, or as many of them as could be read.
#[derive(Debug)]
pub struct SourceFiles {
    pub assembly: SourceLayout,
    pub files: Vec<File>,
    /// Where `policies/` lies unless the user says otherwise.
    pub folder: PathBuf,
    /// Files and directories whose change may change the configuration.
    pub watched: Vec<PathBuf>,
    /// A file could not be read.
    pub truncated: bool,
}

/// Finds and reads the files that the user named; without names `gateway.json`, then `ocelot.json` in `home`.
pub fn find(paths: &[PathBuf], home: &Path, diagnostics: &mut Diagnostics) -> SourceFiles {
    let mut finder = FileFinder { files: Vec::new(), watched: Vec::new(), truncated: false, diagnostics };
    let (assembly, folder) = match paths {
        [] => (SourceLayout::Single, finder.default_files(home)),
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

/// Reads a whole file, but never more than the limit.
pub fn read_limited(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it is larger than {limit} bytes")));
    }
    Ok(bytes)
}

/// Reads a text file; what is wrong with it becomes a diagnostic without a place.
pub fn read_text(path: &Path, name: &str, diagnostics: &mut Diagnostics) -> Option<String> {
    let bytes = match read_limited(path, MAX_FILE) {
        Ok(bytes) => bytes,
        Err(error) => {
            let too_large = error.kind() == io::ErrorKind::FileTooLarge;
            let code = if too_large { codes::FILE_TOO_LARGE } else { codes::FILE_UNREADABLE };
            diagnostics.error(code, None, format!("{name} cannot be read: {}", io_error_text(&error)));
            return None;
        }
    };
    match String::from_utf8(bytes) {
        Ok(text) => Some(text),
        Err(error) => {
            let at = error.utf8_error().valid_up_to();
            let line = error.as_bytes()[..at].iter().filter(|&&b| b == b'\n').count() + 1;
            diagnostics
                .error(
                    codes::NOT_UTF8,
                    None,
                    format!("{name} is not UTF-8: a byte in line {line} is not text"),
                )
                .help("save the file as UTF-8");
            None
        }
    }
}

/// The system's reason without its error number.
pub fn io_error_text(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "it does not exist".to_owned(),
        io::ErrorKind::PermissionDenied => "permission is denied".to_owned(),
        io::ErrorKind::IsADirectory => "it is a directory".to_owned(),
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
    fn default_files(&mut self, home: &Path) -> PathBuf {
        let candidates = [home.join("gateway.json"), home.join("ocelot.json")];
        match candidates.iter().find(|path| path.exists()) {
            Some(path) => self.file(path),
            None => {
                self.no_configuration("neither gateway.json nor ocelot.json is here".to_owned());
                self.watched.extend(candidates);
            }
        }
        home.to_path_buf()
    }

    fn no_configuration(&mut self, message: String) {
        self.truncated = true;
        self.diagnostics
            .error(codes::NO_CONFIGURATION, None, message)
            .help("name a file or a directory with --config");
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
                let message = format!("{} cannot be read: {}", path.display(), io_error_text(&error));
                self.diagnostics.error(codes::FILE_UNREADABLE, None, message);
                return;
            }
        };
        let (ours, ocelots) = (FileSet::of("gateway", &names), FileSet::of("ocelot", &names));
        if !ours.is_empty() && !ocelots.is_empty() {
            let message = format!(
                "{} holds gateway*.json and ocelot*.json; only gateway*.json is read",
                path.display()
            );
            self.diagnostics.warning(codes::FILE_IGNORED, None, message);
        }
        let family = if ours.is_empty() { ocelots } else { ours };
        self.family(path, family);
    }

    fn family(&mut self, path: &Path, family: FileSet) {
        if family.is_empty() {
            return self.no_configuration(format!(
                "{} holds no gateway.NAME.json and no ocelot.NAME.json",
                path.display()
            ));
        }
        if family.parts.len() > MAX_FILES {
            self.truncated = true;
            let message = format!("{} holds more than {MAX_FILES} configuration files", path.display());
            self.diagnostics.error(codes::FILE_TOO_LARGE, None, message);
            return;
        }
        match family.primary {
            Some(primary) if family.parts.is_empty() => self.file(&path.join(primary)),
            // Ocelot writes the merged file there: beside parts it is output, and passed over in silence.
            Some(primary) if primary.eq_ignore_ascii_case("gateway.json") => {
                let message = format!("{primary} is not read, because gateway.NAME.json files lie beside it");
                self.diagnostics
                    .warning(codes::FILE_IGNORED, None, message)
                    .help("rename it to gateway.global.json to make it a part");
            }
            _ => {}
        }
        for part in family.parts {
            self.file(&path.join(part));
        }
    }

    /// A directory that holds just `gateway.json` is as good as that file.
    fn has_only_primary(&self) -> bool {
        let [file] = self.files.as_slice() else { return false };
        ["gateway.json", "ocelot.json"].iter().any(|name| base_name(&file.name).eq_ignore_ascii_case(name))
    }
}

/// The files of one naming: `gateway.json` and `gateway.*.json`, or the same with `ocelot`.
struct FileSet<'n> {
    primary: Option<&'n str>,
    /// Sorted by name without regard to case: the order in which their routes are tried.
    parts: Vec<&'n str>,
}

impl<'n> FileSet<'n> {
    fn of(family: &str, names: &'n [String]) -> Self {
        let primary = format!("{family}.json");
        let mut parts: Vec<&str> = names.iter().map(String::as_str).filter(|n| is_part(family, n)).collect();
        parts.sort_by_key(|name| (name.to_ascii_lowercase(), *name));
        let primary = names.iter().map(String::as_str).find(|name| name.eq_ignore_ascii_case(&primary));
        FileSet { primary, parts }
    }

    fn is_empty(&self) -> bool {
        self.primary.is_none() && self.parts.is_empty()
    }
}

/// `^family\.(.*?)\.json$` without regard to case: Ocelot's pattern.
fn is_part(family: &str, name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let rest = name.strip_prefix(family).and_then(|rest| rest.strip_prefix('.'));
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

/// The last part of a name.
pub fn base_name(name: &str) -> &str {
    name.rsplit(['/', '\\']).next().unwrap_or(name)
}

fn folder_of(path: &Path) -> PathBuf {
    path.parent().map(Path::to_path_buf).unwrap_or_default()
}
