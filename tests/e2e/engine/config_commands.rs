//! `margay diff`, `margay test` and `margay check --tests` on files.

use super::safe_change::document;
use crate::support::gateway::binary;
use serde_json::{Value, json};

/// The exit code and the output of a command on files of these texts.
fn command(name: &str, arguments: &[&str], files: &[(&str, &Value)]) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().expect("a directory");
    for (file, text) in files {
        std::fs::write(folder.path().join(file), text.to_string()).expect("write");
    }
    let mut command = std::process::Command::new(binary());
    let output =
        command.arg(name).args(arguments).current_dir(folder.path()).output().expect("the command runs");
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn the_exit_code_of_diff_is_that_of_diff() {
    let (old, new) = (document(1, "/ok", &json!({})), document(1, "/new", &json!({})));
    let files = [("old.json", &old), ("new.json", &new), ("broken.json", &json!({ "Routes": 1 }))];
    assert_eq!(command("diff", &["old.json", "old.json"], &files), (Some(0), String::new()));
    let words = "route a: backend path /ok -> /new\n".to_owned();
    assert_eq!(command("diff", &["old.json", "new.json"], &files), (Some(1), words));
    assert_eq!(command("diff", &["old.json", "broken.json"], &files), (Some(2), String::new()));
    let (code, text) = command("diff", &["--json", "old.json", "new.json"], &files);
    let changes: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!((code, &changes["changes"][0]["after"]), (Some(1), &json!("/new")));
    assert_eq!(changes["routes"], json!(["a"]));
}

#[test]
fn the_exit_codes_of_test_and_check_report_a_failed_test() {
    let with = |status: u16| {
        document(
            1,
            "/ok",
            &json!({ "Tests": [{ "Name": "n", "Request": "GET /c", "Expect": { "Status": status } }] }),
        )
    };
    let (right, wrong) = (with(404), with(200));
    let files = [("right.json", &right), ("wrong.json", &wrong), ("broken.json", &json!({ "Routes": 1 }))];
    assert_eq!(command("test", &["right.json"], &files), (Some(0), "1 test: all passed\n".to_owned()));
    assert_eq!(command("test", &["broken.json"], &files).0, Some(2));
    let (code, text) = command("test", &["wrong.json"], &files);
    assert_eq!(code, Some(1));
    assert!(text.contains("FAILED n (wrong.json:1:"), "{text}");
    let (code, text) = command("test", &["--json", "wrong.json"], &files);
    let report: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!((code, report["passed"].as_bool()), (Some(1), Some(false)));
    assert_eq!(command("check", &["wrong.json"], &files).0, Some(0));
    assert_eq!(command("check", &["--tests", "wrong.json"], &files).0, Some(2));
    assert_eq!(command("check", &["--tests", "right.json"], &files).0, Some(0));
}
