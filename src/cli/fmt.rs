//! `margay fmt`: the canonical format of configuration files.

use super::args::Fmt;
use super::{Exit, format, output, settings};
use crate::base::atomic_file;
use crate::config::parse::{Dialect, parse};
use crate::config::render::{self};
use crate::config::{Diagnostics, FileId, Sources};
use serde_json::{Value, json};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Maximum size of a file in bytes, as of configuration files.
const MAX_FILE_BYTES: u64 = 64 << 20;

/// What is done with a file that is not formatted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum FmtMode {
    Write,
    Check,
    Diff,
}

/// Formats the files; without errors in them the exit code depends on the mode.
pub(super) fn run(arguments: &Fmt) -> Exit {
    let mode = match (arguments.check, arguments.diff) {
        (_, true) => FmtMode::Diff,
        (true, false) => FmtMode::Check,
        (false, false) => FmtMode::Write,
    };
    if arguments.files.iter().any(|file| file.as_os_str() == "-") {
        return format_input(mode);
    }
    let files = match files(&arguments.files) {
        Ok(files) => files,
        Err(error) => return Exit::failed(&error),
    };
    let (mut exit, mut results) = (Exit::Done, Vec::new());
    for path in files {
        let name = path.display().to_string();
        let outcome = match std::fs::read_to_string(&path) {
            Err(error) => Err(Exit::failed(&format!("cannot read {name}: {error}"))),
            Ok(text) => canonical(&name, &text).map(|formatted| (formatted != text, text, formatted)),
        };
        match outcome {
            Err(failed) => exit = failed,
            Ok((is_changed, text, formatted)) => {
                results.push(json!({ "file": name, "formatted": !is_changed }));
                let wants_exit = if is_changed {
                    apply(mode, &path, &text, &formatted, arguments.json)
                } else {
                    Exit::Done
                };
                exit = if exit == Exit::Done { wants_exit } else { exit };
            }
        }
    }
    if arguments.json {
        output::write_stdout(&format!("{:#}\n", Value::from(results)));
    }
    exit
}

fn apply(mode: FmtMode, path: &Path, text: &str, formatted: &str, is_json: bool) -> Exit {
    let name = path.display().to_string();
    match mode {
        FmtMode::Write => match atomic_file::rewrite(path, formatted.as_bytes()) {
            Ok(()) => {
                output::write_stderr(&format!("margay: formatted {name}\n"));
                Exit::Done
            }
            Err(error) => Exit::failed(&format!("cannot write {name}: {error}")),
        },
        FmtMode::Check => {
            if !is_json {
                output::write_stdout(&format!("{name}\n"));
            }
            Exit::Failed
        }
        FmtMode::Diff => {
            output::write_stdout(&format::unified_diff(&name, text, formatted));
            Exit::Failed
        }
    }
}

/// Standard input to standard output.
fn format_input(mode: FmtMode) -> Exit {
    let mut text = String::new();
    if let Err(error) = io::stdin().lock().take(MAX_FILE_BYTES).read_to_string(&mut text) {
        return Exit::failed(&format!("cannot read standard input: {error}"));
    }
    let formatted = match canonical("-", &text) {
        Ok(formatted) => formatted,
        Err(exit) => return exit,
    };
    match mode {
        FmtMode::Write => output::write_stdout(&formatted),
        FmtMode::Diff => output::write_stdout(&format::unified_diff("-", &text, &formatted)),
        FmtMode::Check => {}
    }
    if mode == FmtMode::Write || formatted == text { Exit::Done } else { Exit::Failed }
}

/// The canonical form of a text without syntax errors; errors are reported.
fn canonical(name: &str, text: &str) -> Result<String, Exit> {
    let dialect = Dialect { single_quotes: true };
    let (mut sources, mut diagnostics) = (Sources::default(), Diagnostics::default());
    sources.add(name, None, text.to_owned(), dialect);
    let root = parse(FileId(0), text, dialect, &mut diagnostics);
    match format::format_text(text).filter(|_| root.is_some() && !diagnostics.has_errors()) {
        Some(formatted) => Ok(formatted),
        None => {
            output::write_stderr(&render::text(&diagnostics, &sources, settings::color_style()));
            Err(Exit::invalid(&format!("{name} has syntax errors and is not formatted")))
        }
    }
}

/// The files of the arguments, or the configuration of the working directory with its policies.
fn files(arguments: &[PathBuf]) -> Result<Vec<PathBuf>, String> {
    if !arguments.is_empty() {
        let lists: Result<Vec<_>, _> = arguments.iter().map(|path| json_files(path)).collect();
        return lists.map(|lists| lists.concat());
    }
    let main = ["gateway.json", "ocelot.json"].into_iter().map(PathBuf::from).find(|path| path.exists());
    let main = main.ok_or("no gateway.json in the working directory; name the files to format")?;
    let policies =
        if Path::new("policies").is_dir() { json_files(Path::new("policies"))? } else { Vec::new() };
    Ok([vec![main], policies].concat())
}

/// The file, or the .json files of a directory by name.
fn json_files(path: &Path) -> Result<Vec<PathBuf>, String> {
    if !path.is_dir() {
        return Ok(vec![path.to_path_buf()]);
    }
    let entries =
        std::fs::read_dir(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.is_file() && path.extension().is_some_and(|extension| extension == "json"))
        .collect();
    files.sort();
    Ok(files)
}
