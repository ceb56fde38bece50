//! The README of the example with three front ends, run as shown.

use super::readme::{Demo, steps};
use std::path::Path;
use std::process::Command;

const LISTENERS: [(&str, &str); 4] =
    [("BFF_WEB", "8080"), ("BFF_ADMIN", "8081"), ("BFF_MOBILE", "8082"), ("BFF_DESKTOP", "8443")];

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/examples/bff")
}

#[test]
fn the_example_with_three_front_ends_does_what_its_readme_shows() {
    let page = std::fs::read_to_string(folder().join("README.md")).unwrap();
    assert!(steps(&page).len() >= 8, "the tour has only {} steps", steps(&page).len());
    Demo::example("bff", &LISTENERS).take_all(&page);
}

#[test]
fn check_reports_no_diagnostic_for_the_example() {
    let mut check = Command::new(env!("CARGO_BIN_EXE_margay"));
    let result = check.arg("check").arg("--config").arg(folder().join("gateway.json")).output().unwrap();
    let output = [result.stdout, result.stderr].concat();
    let output = String::from_utf8_lossy(&output);
    assert!(output.contains("valid") && !output.contains("warning") && !output.contains("error"), "{output}");
}
