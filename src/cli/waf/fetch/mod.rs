//! `margay waf fetch`: installs a release of the OWASP Core Rule Set that is verified by its checksum.

mod archive;
mod download;
mod install;
mod releases;
#[cfg(test)]
mod testing;

use super::args::WafFetch;
use super::rules::check_decisions;
use crate::base::hex;
use crate::cli::{Exit, output};
use crate::stages::waf::rule_source::{ExtraRules, RULES_VARIABLE, load};
use install::StagedRules;
use sha2::{Digest, Sha256};
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// Installs the rules and prints what they are.
pub(super) fn run(arguments: &WafFetch) -> Exit {
    match fetch(arguments) {
        Ok(text) => {
            output::write_stdout(&text);
            Exit::Done
        }
        Err(error) => Exit::failed(&error),
    }
}

fn fetch(arguments: &WafFetch) -> Result<String, String> {
    let target = target(arguments.to.as_deref())?;
    let source = source(arguments)?;
    let archive = download::read(&source)?;
    if let Some(expected) = &arguments.sha256 {
        check_archive(&archive, expected)?;
    }
    let files = archive::read(&archive)?;
    if arguments.sha256.is_none() {
        let expected = arguments.release.as_deref().or(arguments.from.is_none().then(releases::latest));
        releases::verify(&files, expected)?;
    }
    let failed = |error: std::io::Error| format!("{}: {error}", target.display());
    let staged = StagedRules::write(&files, &target).map_err(failed)?;
    let mut text = String::new();
    try_rules(staged.path(), &mut text)?;
    let previous = staged.install(&target).map_err(failed)?;
    let installed = load(Some(&target), &ExtraRules::default()).map_err(|error| error.to_string())?;
    let _ = writeln!(text, "installed: {}", installed.describe());
    if let Some(previous) = previous {
        let _ = writeln!(text, "the previous rules are in {}", previous.display());
    }
    Ok(text)
}

/// The directory to replace.
fn target(setting: Option<&Path>) -> Result<PathBuf, String> {
    let named = || std::env::var_os(RULES_VARIABLE).filter(|named| !named.is_empty()).map(PathBuf::from);
    let neighbor = || {
        let binary = std::env::current_exe().ok()?;
        Some(binary.parent()?.parent()?.join("share/margay/crs"))
    };
    let target = setting.map(Path::to_path_buf).or_else(named).or_else(neighbor);
    let target = target.ok_or("no directory for the rules: name one with --to")?;
    match target.file_name() {
        Some(_) => Ok(target),
        None => Err(format!("{}: expected a directory with a name", target.display())),
    }
}

/// Where the archive is.
fn source(arguments: &WafFetch) -> Result<String, String> {
    if let Some(from) = &arguments.from {
        return Ok(from.clone());
    }
    let release = arguments.release.as_deref().unwrap_or(releases::latest());
    let is_plain =
        release.split('.').all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()));
    if !is_plain {
        return Err(format!("invalid release {release}: expected a number such as {}", releases::latest()));
    }
    if arguments.sha256.is_none() && !releases::is_known(release) {
        return Err(format!(
            "margay does not know the checksum of release {release}: pass --sha256 with that of {}",
            releases::url(release)
        ));
    }
    Ok(releases::url(release))
}

fn check_archive(archive: &[u8], expected: &str) -> Result<(), String> {
    let found = hex::encode(&Sha256::digest(archive));
    match found.eq_ignore_ascii_case(expected.trim()) {
        true => Ok(()),
        false => Err(format!("the checksum of the archive is {found}, expected {expected}")),
    }
}

/// Loads the rules before they are installed; other decisions than expected are reported, for the operator to judge.
fn try_rules(directory: &Path, text: &mut String) -> Result<(), String> {
    let rules = load(Some(directory), &ExtraRules::default())
        .map_err(|error| format!("the rules cannot be loaded, nothing is installed: {error}"))?;
    check_decisions(&rules, text);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: &str = "SecComponentSignature \"OWASP_CRS/4.99.0\"\nSecRule ARGS \"@contains evil\" \"id:942100,phase:2,block\"\n";

    fn arguments(from: &Path, to: &Path, sum: Option<String>) -> WafFetch {
        let from = Some(from.display().to_string());
        WafFetch { release: None, from, sha256: sum, to: Some(to.to_path_buf()) }
    }

    #[test]
    fn a_release_is_installed_if_its_checksum_is_right() {
        let folder = tempfile::tempdir().unwrap();
        let (file, target) = (folder.path().join("crs.tar.gz"), folder.path().join("crs"));
        let archive = testing::archive(&[("crs/rules/a.conf", RULES)]);
        std::fs::write(&file, &archive).unwrap();
        let error = fetch(&arguments(&file, &target, None)).unwrap_err();
        assert!(error.contains("no known release") && error.contains("--sha256"), "{error}");
        let error = fetch(&arguments(&file, &target, Some("00".to_owned()))).unwrap_err();
        assert!(error.ends_with("expected 00") && !target.exists(), "{error}");
        let sum = hex::encode(&Sha256::digest(&archive));
        let text = fetch(&arguments(&file, &target, Some(sum))).unwrap();
        assert!(
            text.contains("installed: OWASP_CRS/4.99.0, 1 rules") && text.contains("decisions"),
            "{text}"
        );
        assert!(target.join("rules/a.conf").is_file());
    }

    #[test]
    fn rules_that_cannot_be_loaded_replace_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (file, target) = (folder.path().join("crs.tar.gz"), folder.path().join("crs"));
        let archive = testing::archive(&[("crs/rules/a.conf", "SecNope On\n")]);
        std::fs::write(&file, &archive).unwrap();
        std::fs::create_dir_all(target.join("rules")).unwrap();
        let sum = hex::encode(&Sha256::digest(&archive));
        let error = fetch(&arguments(&file, &target, Some(sum))).unwrap_err();
        assert!(error.contains("nothing is installed") && error.contains("a.conf:1"), "{error}");
        assert!(std::fs::read_dir(folder.path()).unwrap().count() == 2);
    }

    #[test]
    fn an_unknown_release_needs_a_checksum() {
        let unknown = WafFetch { release: Some("4.99.0".to_owned()), from: None, sha256: None, to: None };
        assert!(source(&unknown).unwrap_err().contains("pass --sha256"));
        let latest = WafFetch { release: None, ..unknown.clone() };
        assert!(source(&latest).unwrap().ends_with(&format!("v{}.tar.gz", releases::latest())));
        let invalid = WafFetch { release: Some("../4".to_owned()), ..unknown };
        assert!(source(&invalid).unwrap_err().contains("invalid release"));
    }
}
