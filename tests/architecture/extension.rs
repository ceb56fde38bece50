//! A stage with options touches its folder, its module declaration and its entry of the table; `src/stages/fixture` is
//! such a stage, compiled for tests only.

use super::{none, sources};

/// The files outside of the folder that name the fixture, and how often.
const NAMED_IN: [(&str, usize); 2] = [("stages/mod.rs", 1), ("stages/table.rs", 2)];

/// Lines that name the fixture: (file, number of lines).
fn naming(files: &[(String, String)]) -> Vec<(&str, usize)> {
    let outside = files.iter().filter(|(path, _)| !path.starts_with("stages/fixture"));
    let lines = |text: &str| text.lines().filter(|line| line.to_lowercase().contains("fixture")).count();
    outside.map(|(path, text)| (path.as_str(), lines(text))).filter(|(_, lines)| *lines > 0).collect()
}

#[test]
fn a_stage_with_options_is_named_by_its_folder_and_the_table_only() {
    let files = sources();
    assert!(files.iter().any(|(path, _)| path.starts_with("stages/fixture")), "the fixture is missing");
    let unexpected = naming(&files).into_iter().filter(|found| !NAMED_IN.contains(found));
    none(unexpected.map(|(path, lines)| format!("src/{path} names the fixture in {lines} lines")).collect());
}

#[test]
fn another_file_that_names_the_fixture_is_found() {
    let file = |path: &str, text: &str| (path.to_owned(), text.to_owned());
    let files = [
        file("stages/fixture/mod.rs", "struct FixtureOptions;"),
        file("plan/build.rs", "stages.extend(fixture::build());\nlet other = 1;"),
    ];
    assert_eq!(naming(&files), [("plan/build.rs", 1)]);
}
