//! The README of the example with partitions, run as shown.

use super::readme::{Demo, steps};
use std::path::Path;
use std::process::Command;

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/examples/service-fabric")
}

#[test]
fn the_example_with_partitions_does_what_its_readme_shows() {
    let page = std::fs::read_to_string(folder().join("README.md")).unwrap();
    assert!(steps(&page).len() >= 8, "the page has only {} steps", steps(&page).len());
    Demo::example("service-fabric", &[("FABRIC_LISTEN", "8080"), ("FABRIC_ADMIN", "8081")]).take_all(&page);
}

#[test]
fn check_reports_no_diagnostic_for_the_example_with_partitions() {
    let mut check = Command::new(env!("CARGO_BIN_EXE_margay"));
    let result = check.arg("check").arg("--config").arg(folder().join("gateway.json")).output().unwrap();
    let output = [result.stdout, result.stderr].concat();
    let output = String::from_utf8_lossy(&output);
    assert!(output.contains("valid") && !output.contains("warning") && !output.contains("error"), "{output}");
}
