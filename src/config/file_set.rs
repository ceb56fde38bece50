//! The names of the configuration files in a directory.

use super::dotnet::DotnetEnvironment;
use std::path::{Path, PathBuf};
use std::{fs, io};

/// The files of one prefix: `gateway.json` and `gateway.*.json`, or the same with `ocelot`.
#[derive(Debug)]
pub struct FileSet<'n> {
    /// The main file.
    pub primary: Option<&'n str>,
    /// Sorted by name, case-insensitive: the order of their routes.
    pub parts: Vec<&'n str>,
}

impl<'n> FileSet<'n> {
    /// Those of these names.
    pub fn of(prefix: &str, names: &'n [String]) -> Self {
        let primary = format!("{prefix}.json");
        let mut parts: Vec<&str> = names.iter().map(String::as_str).filter(|n| is_part(prefix, n)).collect();
        parts.sort_by_key(|name| (name.to_ascii_lowercase(), *name));
        let primary = names.iter().map(String::as_str).find(|name| name.eq_ignore_ascii_case(&primary));
        FileSet { primary, parts }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.primary.is_none() && self.parts.is_empty()
    }

    /// Takes the file of the environment out of the parts. Without a variable that sets the environment the file may be
    /// a part like any other, unless there is only the main file besides it.
    pub fn take_overlay(&mut self, environment: &DotnetEnvironment) -> Option<&'n str> {
        let has_only_two = self.primary.is_some() && self.parts.len() == 1;
        let is_only_file = self.primary.is_none() && self.parts.len() == 1;
        if is_only_file || (environment.explicit_name().is_none() && !has_only_two) {
            return None;
        }
        let name = format!("ocelot.{}.json", environment.name());
        let at = self.parts.iter().position(|part| part.eq_ignore_ascii_case(&name))?;
        Some(self.parts.remove(at))
    }
}

/// `ocelot.Production.json` for `ocelot.json`: the file with exactly this name, else one that differs in case only.
pub fn overlay_path(main: &Path, environment: &str) -> Option<PathBuf> {
    let name = main.file_name()?.to_str()?;
    let (stem, extension) = name.rsplit_once('.').filter(|_| !environment.contains(['/', '\\']))?;
    let name = format!("{stem}.{environment}.{extension}");
    let exact = main.with_file_name(&name);
    if exact.exists() {
        return Some(exact);
    }
    let folder = main.parent().filter(|folder| !folder.as_os_str().is_empty());
    let names = file_names(folder.unwrap_or(Path::new(".")));
    let similar = names.ok()?.into_iter().filter(|other| other.eq_ignore_ascii_case(&name)).min();
    Some(similar.map_or(exact, |name| main.with_file_name(name)))
}

/// `^prefix\.(.*?)\.json$`, case-insensitive: Ocelot's pattern.
fn is_part(prefix: &str, name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let rest = name.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('.'));
    rest.is_some_and(|rest| rest.ends_with(".json"))
}

/// The names of the files in a directory.
pub fn file_names(path: &Path) -> io::Result<Vec<String>> {
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
