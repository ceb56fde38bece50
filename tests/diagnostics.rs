//! The exact output of `margay check` for invalid configurations: `tests/golden/diagnostics/NAME.json`, or a
//! directory `NAME`, with the output in `NAME.txt`. A new file needs no code; `UPDATE=1 cargo test --test diagnostics` writes it.

use std::path::{Path, PathBuf};
use std::process::Command;

const FOLDER: &str = "tests/golden/diagnostics";

/// The output of the command for a file, and its exit code.
fn check(file: &Path) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_margay"));
    command.current_dir(env!("CARGO_MANIFEST_DIR")).env_clear().arg("check").arg("--config").arg(file);
    let output = command.output().expect("margay runs");
    assert!(output.stdout.is_empty(), "diagnostics go to standard error");
    let text = String::from_utf8(output.stderr).expect("UTF-8");
    format!("{text}exit code {}\n", output.status.code().unwrap_or(-1))
}

fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(FOLDER);
    let names = folder.read_dir().expect("the golden files").flatten().map(|entry| entry.file_name());
    let files = names.map(|name| Path::new(FOLDER).join(name));
    let mut files: Vec<PathBuf> =
        files.filter(|file| file.extension().is_none_or(|end| end != "txt")).collect();
    files.sort();
    files
}

#[test]
fn every_broken_file_produces_its_golden_diagnostics() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for file in files() {
        let text = check(&file);
        let golden = root.join(&file).with_extension("txt");
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&golden, &text).expect("the golden file is written");
        }
        let expected = std::fs::read_to_string(&golden).unwrap_or_default();
        assert!(text == expected, "{}: expected\n{expected}\nfound\n{text}", file.display());
    }
}

#[test]
fn six_mistakes_produce_six_diagnostics() {
    let text = check(&Path::new(FOLDER).join("six-mistakes.json"));
    let codes: std::collections::BTreeSet<&str> =
        text.lines().filter_map(|line| line.strip_prefix("error[")?.split(']').next()).collect();
    assert_eq!(codes.len(), 6, "{text}");
    assert!(text.ends_with("6 errors\nexit code 2\n"), "{text}");
}
