//! The OWASP Core Rule Set on this machine: `MARGAY_CRS`, or `../shared/crs-4.28.0`.

use crate::waf::language::parser::RuleText;
use crate::waf::library::Library;
use std::path::{Path, PathBuf};

/// The directory of the rule set; a test without it reports that it skips.
pub fn directory() -> Option<PathBuf> {
    let named = std::env::var_os("MARGAY_CRS").map(PathBuf::from);
    let neighbor = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/crs-4.28.0");
    let found = named.into_iter().chain([neighbor]).find(|path| path.join("rules").is_dir());
    if found.is_none() {
        eprintln!("skipped: no rule set at MARGAY_CRS or ../shared/crs-4.28.0");
    }
    found
}

/// The rules of the directory.
pub fn library(directory: &Path) -> Library {
    let rules = directory.join("rules");
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(&rules).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "conf"));
    files.sort();
    let mut text = RuleText::default();
    for file in files {
        let read = std::fs::read_to_string(&file).unwrap();
        let data = |name: &str| std::fs::read(rules.join(name)).map_err(|error| error.to_string());
        text.add(&file.file_name().unwrap().to_string_lossy(), &read, &data).unwrap();
    }
    Library::new(text)
}
