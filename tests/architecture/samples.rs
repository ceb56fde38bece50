//! Samples that break the rules.

use super::lexer::tokens;
use super::rules::File;

fn faults(path: &str, text: &str) -> Vec<String> {
    File::new(path, text).faults()
}

#[track_caller]
fn one_fault(path: &str, text: &str, says: &str) {
    let found = faults(path, text);
    assert!(found.len() == 1 && found[0].contains(says), "{text} gave {found:?}");
}

#[test]
fn an_upward_arrow_is_found_in_every_form_of_path() {
    for text in [
        "use crate::server::Worker;",
        "use crate::{base::x, server::{Worker, y}};",
        "use crate::{\n    base,\n    server,\n};",
        "fn f() { crate::server::run() }",
        "use super::super::server::Worker;",
        "use super::super::{base, server::Worker};",
        "mod tests { use super::super::super::server::Worker; }",
        "pub(in crate::server) fn f() {}",
        "fn f() { margay::server::run() }",
    ] {
        one_fault("net/dial.rs", text, "`net` names `server`, which is above it");
    }
}

#[test]
fn a_module_file_needs_one_super_less() {
    one_fault("net/mod.rs", "use super::server::Worker;", "above it");
    assert!(
        faults("net/mod.rs", "use super::super::server::Worker;").is_empty(),
        "does not compile, not ours to say"
    );
    assert!(faults("net/dial.rs", "use super::server::Worker;").is_empty(), "net::server, a room of its own");
}

#[test]
fn siblings_do_not_name_each_other() {
    one_fault("telemetry/access.rs", "use crate::config::Span;", "its sibling `config`");
    one_fault("config/load.rs", "use crate::telemetry::Metrics;", "its sibling `telemetry`");
}

#[test]
fn arrows_down_and_within_a_floor_are_fine() {
    let text = "use crate::net::dial; use crate::{base::units, pipeline::Head, backend::x};";
    assert!(faults("backend/pool.rs", text).is_empty());
    assert!(faults("main.rs", "fn main() { margay::cli::main() }").is_empty());
}

#[test]
fn an_unknown_floor_is_found() {
    one_fault("helpers/mod.rs", "", "`helpers` is not a floor");
}

#[test]
fn pingora_is_named_only_in_net() {
    one_fault("server/accept.rs", "use pingora::server::Server;", "outside net/");
    one_fault("server/accept.rs", "use pingora_core::x;", "outside net/");
    assert!(faults("net/accept.rs", "use pingora::server::Server;").is_empty());
    assert!(faults("server/run.rs", "use crate::net::pingora::run;").is_empty());
    assert!(faults("server/accept.rs", "// pingora accepts\nconst WHO: &str = \"pingora\";").is_empty());
}

#[test]
fn upstream_and_downstream_are_named_only_in_config() {
    one_fault("plan/route.rs", "struct UpstreamHost;", "`UpstreamHost`: say client or backend");
    one_fault("plan/route.rs", "let to_downstream = 1;", "say client or backend");
    assert!(faults("config/route.rs", "upstream_path_template: String").is_empty());
    assert!(
        faults("plan/route.rs", r##"let a = "upstream"; let b = r#"an "upstream""#; // upstream"##)
            .is_empty()
    );
}

#[test]
fn a_long_function_is_measured_from_fn_to_its_brace() {
    let body = |lines: usize| {
        format!("trait T {{ fn no(&self); }}\nfn f(a: [u8; 2]) {{\n{}}}\n", "x();\n".repeat(lines))
    };
    assert!(File::new("base/x.rs", &body(38)).long_functions().is_empty());
    assert_eq!(File::new("base/x.rs", &body(39)).long_functions(), [("f".to_owned(), 2, 41)]);
}

#[test]
fn a_long_function_inside_another_item_is_found() {
    let text = format!("impl X {{\n async fn f() -> Y {{ match a {{\n{} }} }} }}", "x => {}\n".repeat(50));
    assert_eq!(File::new("base/x.rs", &text).long_functions().len(), 1);
}

#[test]
fn names_in_literals_and_comments_are_skipped() {
    let text = r####"'a' '\'' '\u{1f}' "x\"y" b"z" br##"q"#"## /* a /* b */ c */ fn f<'life>(c: char) 0x1f_u8 // end"####;
    let names: Vec<_> = tokens(text).iter().filter_map(|t| t.name()).collect();
    assert_eq!(names, ["fn", "f", "life", "c", "char"]);
}

#[test]
fn tokens_carry_their_line_number() {
    let lines: Vec<_> = tokens("a\n\"x\ny\" b /* \n */ c").iter().map(|t| t.line).collect();
    assert_eq!(lines, [1, 3, 4]);
}
