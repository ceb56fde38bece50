//! Where managed rules come from: a directory with the OWASP Core Rule Set, or the rules that are part of the binary.
//!
//! Libraries are shared by all plans of the process as long as the files do not change.

use crate::waf::base_rules;
use crate::waf::language::parser::{RuleError, RuleText};
use crate::waf::library::Library;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::SystemTime;

/// The variable that names the directory.
pub const RULES_VARIABLE: &str = "MARGAY_WAF_RULES";

/// The bytes that all rule files together may have.
const MAX_RULE_BYTES: u64 = 64 << 20;

/// Rule files of a policy behind the managed rules.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ExtraRules {
    /// Files.
    pub files: Vec<PathBuf>,
    /// Directories of plugins.
    pub plugins: Vec<PathBuf>,
}

/// A rule set that is loaded, and where it is from.
pub struct LoadedRules {
    /// The rules.
    pub library: Arc<Library>,
    /// The directory; none for the built-in rules.
    pub directory: Option<PathBuf>,
    /// The files that were read.
    pub files: Vec<PathBuf>,
}

impl LoadedRules {
    /// The rules in force, for people.
    pub fn describe(&self) -> String {
        let count = self.library.rules.len();
        let version = self.library.signatures.first().map_or("unknown version", String::as_str);
        match &self.directory {
            Some(directory) => format!("{version}, {count} rules, {}", directory.display()),
            None => format!("built-in rules, {count} rules"),
        }
    }
}

/// The directory of managed rules: the setting, the variable, or one of the usual places.
pub fn find_directory(setting: Option<&Path>) -> Option<PathBuf> {
    if let Some(setting) = setting {
        return Some(setting.to_path_buf());
    }
    if let Some(named) = std::env::var_os(RULES_VARIABLE).filter(|named| !named.is_empty()) {
        return Some(PathBuf::from(named));
    }
    let neighbor = std::env::current_exe()
        .ok()
        .and_then(|binary| Some(binary.parent()?.parent()?.join("share/margay/crs")));
    let usual = ["/usr/share/margay/crs", "/usr/share/modsecurity-crs"].map(PathBuf::from);
    neighbor.into_iter().chain(usual).find(|directory| directory.join("rules").is_dir())
}

/// Loads the managed rules of a directory, or the built-in ones, with the files of a policy.
pub fn load(directory: Option<&Path>, extra: &ExtraRules) -> Result<LoadedRules, RuleError> {
    let files = rule_files(directory, extra)?;
    let key = (directory.map(Path::to_path_buf), extra.clone(), fingerprint(&files));
    let known = lock_cache().get(&key).and_then(Weak::upgrade);
    let library = match known {
        Some(library) => library,
        None => {
            let library = Arc::new(read(directory, &files)?);
            let mut cache = lock_cache();
            cache.retain(|_, library| library.strong_count() > 0);
            cache.insert(key, Arc::downgrade(&library));
            library
        }
    };
    Ok(LoadedRules { library, directory: directory.map(Path::to_path_buf), files })
}

type CacheKey = (Option<PathBuf>, ExtraRules, Vec<(PathBuf, Option<SystemTime>, u64)>);

fn lock_cache() -> MutexGuard<'static, HashMap<CacheKey, Weak<Library>>> {
    static CACHE: OnceLock<Mutex<HashMap<CacheKey, Weak<Library>>>> = OnceLock::new();
    CACHE.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner)
}

fn fingerprint(files: &[PathBuf]) -> Vec<(PathBuf, Option<SystemTime>, u64)> {
    let state = |path: &PathBuf| {
        let metadata = std::fs::metadata(path).ok();
        let modified = metadata.as_ref().and_then(|metadata| metadata.modified().ok());
        (path.clone(), modified, metadata.map_or(0, |metadata| metadata.len()))
    };
    files.iter().map(state).collect()
}

/// The files in the order in which they are read: plugins at the places that the Core Rule Set defines.
fn rule_files(directory: Option<&Path>, extra: &ExtraRules) -> Result<Vec<PathBuf>, RuleError> {
    let mut files = plugin_files(&extra.plugins, "-config.conf")?;
    files.extend(plugin_files(&extra.plugins, "-before.conf")?);
    if let Some(directory) = directory {
        let managed = list(&directory.join("rules"), ".conf")?;
        if managed.is_empty() {
            return Err(failed(directory, "expected *.conf files in its folder `rules`, found none"));
        }
        files.extend(managed);
    }
    files.extend(plugin_files(&extra.plugins, "-after.conf")?);
    files.extend(extra.files.iter().cloned());
    Ok(files)
}

fn plugin_files(plugins: &[PathBuf], end: &str) -> Result<Vec<PathBuf>, RuleError> {
    let lists: Result<Vec<_>, _> = plugins.iter().map(|directory| list(directory, end)).collect();
    lists.map(|lists| lists.into_iter().flatten().collect())
}

fn list(directory: &Path, end: &str) -> Result<Vec<PathBuf>, RuleError> {
    let entries = std::fs::read_dir(directory).map_err(|error| failed(directory, &error.to_string()))?;
    let paths = entries.filter_map(|entry| entry.ok().map(|entry| entry.path()));
    let mut files: Vec<PathBuf> = paths.filter(|path| path.to_string_lossy().ends_with(end)).collect();
    files.sort();
    Ok(files)
}

fn failed(path: &Path, message: &str) -> RuleError {
    RuleError { file: path.display().to_string(), line: 0, message: message.to_owned() }
}

fn read(directory: Option<&Path>, files: &[PathBuf]) -> Result<Library, RuleError> {
    let mut text = RuleText::default();
    let size: u64 = files.iter().filter_map(|file| std::fs::metadata(file).ok()).map(|file| file.len()).sum();
    if size > MAX_RULE_BYTES {
        let path = files.first().map_or(Path::new(""), PathBuf::as_path);
        return Err(failed(path, "the rule files are larger than 64 MiB"));
    }
    if directory.is_none() {
        base_rules::add_to(&mut text)?;
    }
    for file in files {
        let content = std::fs::read_to_string(file).map_err(|error| failed(file, &error.to_string()))?;
        let folder = file.parent().unwrap_or(Path::new("."));
        let data = |name: &str| std::fs::read(folder.join(name)).map_err(|error| format!("{name}: {error}"));
        text.add(&file.display().to_string(), &content, &data)?;
    }
    check_version(directory, &text)?;
    Ok(Library::new(text))
}

/// Rule sets before 3.3 have rules and variables that the engine does not have.
fn check_version(directory: Option<&Path>, text: &RuleText) -> Result<(), RuleError> {
    let Some(directory) = directory else { return Ok(()) };
    match version(&text.signatures) {
        Some(version) if version < (3, 3) => {
            let message = format!("rule set {}.{} is too old: expected 3.3 or later", version.0, version.1);
            Err(failed(directory, &message))
        }
        _ => Ok(()),
    }
}

/// The version in `OWASP_CRS/4.28.0`.
pub fn version(signatures: &[String]) -> Option<(u32, u32)> {
    let version = signatures.iter().find_map(|signature| signature.strip_prefix("OWASP_CRS/"))?;
    let mut numbers = version.split('.').map_while(|number| number.parse().ok());
    Some((numbers.next()?, numbers.next().unwrap_or(0)))
}
