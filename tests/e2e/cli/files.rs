//! `new`, `fmt`, `show`, `completions` and `man`.

use super::{margay, margay_with};
use serde_json::{Value, json};

const UNFORMATTED: &str = "{ // a comment\n\"Routes\" : [ { \"UpstreamPathTemplate\":\"/a\", \"DownstreamPathTemplate\": \"/\", \"DownstreamScheme\": \"http\",\n\
    \"DownstreamHostAndPorts\": [{\"Host\":\"localhost\",\"Port\":0x}] } ] }";

#[test]
fn a_new_configuration_passes_the_check_and_is_not_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["new", "--backend", "http://127.0.0.1:9000/v1", "--path", "/api"];
    assert_eq!(margay(folder.path(), &arguments).code, Some(0));
    assert_eq!(margay(folder.path(), &["check"]).code, Some(0));
    assert_eq!(margay(folder.path(), &["fmt", "--check"]).code, Some(0));
    let explained: Value =
        serde_json::from_str(&margay(folder.path(), &["explain", "GET", "/api/x", "--json"]).stdout).unwrap();
    assert!(explained["request"][0].as_str().unwrap().starts_with("GET /v1/x "), "{explained:#}");
    let again = margay(folder.path(), &arguments);
    assert_eq!((again.code, again.stderr.contains("--force")), (Some(1), true));
    let asked = margay(folder.path(), &["new", "other.json"]);
    assert_eq!(
        (asked.code, asked.stderr.contains("--backend")),
        (Some(64), true),
        "without a terminal: {}",
        asked.stderr
    );
}

#[test]
fn fmt_checks_prints_a_diff_and_formats() {
    let folder = tempfile::tempdir().unwrap();
    let text = UNFORMATTED.replace("0x", "1");
    std::fs::write(folder.path().join("gateway.json"), &text).unwrap();
    let checked = margay(folder.path(), &["fmt", "--check"]);
    assert_eq!((checked.code, checked.stdout.as_str()), (Some(1), "gateway.json\n"));
    let diff = margay(folder.path(), &["fmt", "--diff"]);
    assert_eq!(diff.code, Some(1));
    assert!(diff.stdout.contains("+  // a comment"), "{}", diff.stdout);
    assert_eq!(std::fs::read_to_string(folder.path().join("gateway.json")).unwrap(), text);
    assert_eq!(margay(folder.path(), &["fmt"]).code, Some(0));
    assert_eq!(
        margay(folder.path(), &["fmt", "--check", "--json"]).stdout.replace(char::is_whitespace, ""),
        r#"[{"file":"gateway.json","formatted":true}]"#
    );
    assert_eq!(margay_with(folder.path(), &["fmt", "-"], "{\"a\":[1,],}", &[]).stdout, "{ \"a\": [1] }\n");
}

#[test]
fn fmt_leaves_a_file_with_errors_alone() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("gateway.json"), UNFORMATTED).unwrap();
    let formatted = margay(folder.path(), &["fmt"]);
    assert_eq!(formatted.code, Some(2));
    assert!(formatted.stderr.contains("gateway.json:3:"), "{}", formatted.stderr);
    assert_eq!(std::fs::read_to_string(folder.path().join("gateway.json")).unwrap(), UNFORMATTED);
}

#[test]
fn show_resolves_options_and_masks_secrets() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("policies")).unwrap();
    std::fs::write(
        folder.path().join("policies/edge.json"),
        r#"{ "CompressionOptions": { "Level": "Fastest" } }"#,
    )
    .unwrap();
    let document = json!({
        "GlobalConfiguration": { "Timeout": "7s", "Policies": ["edge"] },
        "Routes": [{
            "Key": "a", "UpstreamPathTemplate": "/a", "DownstreamPathTemplate": "/", "DownstreamScheme": "http",
            "DownstreamHostAndPorts": [{ "Host": "localhost", "Port": 1 }], "UpstreamHeaderTransform": { "Authorization": "Bearer hunter2" }
        }]
    });
    std::fs::write(folder.path().join("gateway.json"), document.to_string()).unwrap();
    let shown = margay(folder.path(), &["show", "--json", "--origins"]);
    assert_eq!(shown.code, Some(0), "{}", shown.stderr);
    assert!(!shown.stdout.contains("hunter2"));
    let page: Value = serde_json::from_str(&shown.stdout).unwrap();
    let route = &page["config"]["Routes"][0];
    assert_eq!((&route["Timeout"], &route["CompressionOptions"]["Level"]), (&"7s".into(), &"Fastest".into()));
    assert_eq!(route["CompressionOptions"]["MinSize"], "1KiB");
    let origin = |pointer: &str| page["origins"][pointer].as_str().unwrap_or_default().to_owned();
    assert!(origin("/Routes/0/Timeout").starts_with("gateway.json:1:"), "{}", origin("/Routes/0/Timeout"));
    assert!(origin("/Routes/0/CompressionOptions/Level").starts_with("policies/edge.json:1:"));
    assert_eq!(origin("/Routes/0/Priority"), "default");
    let text = margay(folder.path(), &["show", "--origins", "--route", "a", "--no-defaults"]).stdout;
    assert!(text.contains("\"Timeout\": \"7s\" // gateway.json:1:") && !text.contains("Priority"), "{text}");
}

#[test]
fn completions_and_man_pages_are_generated() {
    let folder = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish"] {
        let completions = margay(folder.path(), &["completions", shell]);
        assert_eq!((completions.code, completions.stdout.contains("rollback")), (Some(0), true), "{shell}");
    }
    assert_eq!(margay(folder.path(), &["man", "man"]).code, Some(0));
    assert!(std::fs::read_to_string(folder.path().join("man/margay-apply.1")).unwrap().contains("watch"));
    assert_eq!(margay(folder.path(), &["frobnicate"]).code, Some(64));
}
