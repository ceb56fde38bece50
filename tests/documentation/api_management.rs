//! The README of the example of API management, run as shown.

use super::readme::{Demo, steps};
use std::path::Path;

#[test]
fn the_example_of_api_management_does_what_its_readme_shows() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/examples/api-management");
    let page = std::fs::read_to_string(folder.join("README.md")).unwrap();
    assert!(steps(&page).len() >= 8, "the tour has only {} steps", steps(&page).len());
    Demo::example("api-management", &[("SHOP_LISTEN", "8080"), ("SHOP_ADMIN", "8081")]).take_all(&page);
}
