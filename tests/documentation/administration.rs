//! The README of the example of the administration API, run as shown.

use super::readme::{Demo, steps};
use std::path::Path;

#[test]
fn the_example_of_the_administration_api_does_what_its_readme_shows() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/examples/administration");
    let page = std::fs::read_to_string(folder.join("README.md")).unwrap();
    assert!(steps(&page).len() >= 10, "the tour has only {} steps", steps(&page).len());
    Demo::example("administration", &[("MARGAY_LISTEN", "8080"), ("MARGAY_ADMIN", "8081")]).take_all(&page);
}
