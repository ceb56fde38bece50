//! Enforces ARCHITECTURE.md: floors, names, sizes, circles, dependencies.

#[path = "architecture/circles.rs"]
mod circles;
#[path = "architecture/dependencies.rs"]
mod dependencies;
#[path = "architecture/extension.rs"]
mod extension;
#[path = "architecture/lexer.rs"]
mod lexer;
#[path = "architecture/names.rs"]
mod names;
#[path = "architecture/ratchets.rs"]
mod ratchets;
#[path = "architecture/rules.rs"]
mod rules;
#[path = "architecture/samples.rs"]
mod samples;
#[path = "architecture/samples_of_text.rs"]
mod samples_of_text;
#[path = "architecture/text.rs"]
mod text;

use rules::{FILE_LINES, File};
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file of `src/`: (path below it, text).
fn sources() -> Vec<(String, String)> {
    let src = root().join("src");
    let mut found = Vec::new();
    let mut folders = vec![src.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let name = path.strip_prefix(&src).unwrap().to_str().unwrap().to_owned();
                found.push((name, std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

#[track_caller]
fn none(faults: Vec<String>) {
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

#[test]
fn no_file_breaks_a_rule_of_floors_or_words() {
    none(sources().iter().flat_map(|(path, text)| File::new(path, text).faults()).collect());
}

#[test]
fn files_are_small() {
    let lines = |text: &str| text.lines().count();
    let all = sources();
    let long = all.iter().filter(|(_, text)| lines(text) > FILE_LINES);
    none(
        long.map(|(path, text)| format!("src/{path}: {} lines, at most {FILE_LINES}", lines(text))).collect(),
    );
}

#[test]
fn functions_are_small() {
    let mut faults = Vec::new();
    for (path, text) in &sources() {
        faults.extend(File::new(path, text).long_functions().into_iter().map(|(name, line, lines)| {
            let most = rules::FUNCTION_LINES;
            format!("src/{path}:{line}: `{name}` has {lines} lines, at most {most}")
        }));
    }
    none(faults);
}

#[test]
fn lib_rs_lists_every_floor_from_the_top_down() {
    let lib = std::fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let listed: Vec<_> = lib.lines().filter_map(|l| l.strip_prefix("pub mod ")?.strip_suffix(';')).collect();
    assert_eq!(listed, rules::FLOORS.map(|(name, _)| name));
}
#[test]
fn the_top_level_has_every_planned_entry() {
    for name in [
        "Cargo.toml",
        "gateway.json",
        "policies",
        "src",
        "tests",
        "benches",
        "deploy",
        "docs",
        "README.md",
        "ARCHITECTURE.md",
        "LICENSE",
    ] {
        assert!(root().join(name).exists(), "{name} is missing");
    }
}
