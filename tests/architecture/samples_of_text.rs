//! Samples that break the rules of `names`, `text` and `circles`, and samples that look alike and do not.

use super::{circles::circles, names, text};

fn names_in(text: &str) -> Vec<String> {
    names::forbidden(text).into_iter().map(|(_, kind, name)| format!("{kind} {name}")).collect()
}

fn files(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect()
}

#[test]
fn a_constant_named_by_an_adjective_is_found() {
    assert_eq!(names_in("const MOST: usize = 1;"), ["constant MOST"]);
    assert_eq!(names_in("pub static LONGEST_NAME: usize = 1;"), ["constant LONGEST_NAME"]);
    assert_eq!(names_in("impl X { const SHARDS_AT_ONCE: usize = 1; }"), ["constant SHARDS_AT_ONCE"]);
    assert!(names_in("const MAX_HOPS: u8 = 1; const ALMOST: u8 = 2; const fn most() {}").is_empty());
}

#[test]
fn a_type_named_by_a_participle_is_found() {
    assert_eq!(names_in("pub enum Found { A }"), ["type Found"]);
    assert_eq!(names_in("struct Part<'p>(&'p str);"), ["type Part"]);
    assert!(names_in("struct JsonPathPart; enum FoundRoute {} fn f() -> Found {}").is_empty());
}

#[test]
fn a_parameter_without_a_name_is_found() {
    assert_eq!(names_in("fn f(&self, x: &mut Exchange) {}"), ["parameter x"]);
    assert_eq!(names_in("fn f<T: Fn(u8)>(a: u8, out: &mut Vec<T>) {}"), ["parameter out"]);
    assert!(names_in("fn f(exchange: out::X, p: (x::Y, u8)) { let x: u8 = 1; |w: u8| w; }").is_empty());
}

#[test]
fn an_undocumented_public_item_is_found() {
    let found = |text| text::undocumented(text).len();
    assert_eq!(found("pub fn f() {}"), 1);
    assert_eq!(found("/// Documented.\npub fn f() {}\n\n#[derive(Debug)]\npub struct S;"), 1);
    assert_eq!(
        found("impl S {\n    pub async fn f() {}\n    /// Documented.\n    pub const A: u8 = 1;\n}"),
        1
    );
    assert_eq!(found("/// Documented.\n#[derive(\n    Debug,\n)]\npub struct S;"), 0);
    assert_eq!(found("$(#[$meta])*\npub struct $name {}"), 0);
    assert_eq!(found("pub(crate) fn f() {}\npub use a::b;\nfn g() {}"), 0);
}

#[test]
fn a_forbidden_word_is_counted_as_a_whole_word() {
    assert_eq!(text::count("Nobody knows; nobody.", "nobody"), 2);
    assert_eq!(text::count("A backend is\nasked; it is asked", "is asked"), 1);
    assert_eq!(text::count("renewed anewly", "anew"), 0);
}

#[test]
fn a_comment_that_cites_an_unnamed_specification_is_found() {
    assert_eq!(text::cited_sections("fn f() {}\n// spec section 7.1\n"), [2]);
    assert_eq!(text::cited_sections("//! As in (Spec section 3)."), [1]);
    assert!(text::cited_sections("// docs/ocelot-behavior.md, section 7; RFC 9110, section 5").is_empty());
}

#[test]
fn an_option_that_two_documents_declare_is_found() {
    let attribute = "#[serde(rename = \"CorsOptions\")]\npub cors: Setting<CorsOptions>,\n";
    let twice = files(&[("config/route.rs", attribute), ("config/global.rs", attribute)]);
    assert_eq!(
        text::declared_twice(&twice)["corsoptions"],
        ["src/config/route.rs:1", "src/config/global.rs:1"]
    );
    let table = "=> {\n    cors: CorsOptions [aggregate _]\n}\n";
    let again = files(&[("stages/table.rs", table), ("plan/route.rs", attribute)]);
    assert_eq!(text::declared_twice(&again).len(), 1);
    let in_tests = files(&[("config/route.rs", attribute), ("config/tests.rs", attribute)]);
    assert!(text::declared_twice(&in_tests).is_empty());
}

#[test]
fn a_setting_that_two_documents_describe_is_found() {
    let document =
        "    /// The key. Default: none.\n    #[serde(rename = \"Key\")]\n    pub key: Setting<String>,\n";
    let other = document.replace("none", "the path");
    let found = |files: &[(&str, &str)]| text::repeated_settings(&self::files(files));
    let twice = found(&[("plan/document/route.rs", document), ("plan/document/global.rs", document)]);
    let places = ["src/plan/document/route.rs:3".to_owned(), "src/plan/document/global.rs:3".to_owned()];
    assert_eq!(twice, [("key".to_owned(), places.to_vec())]);
    assert!(found(&[("plan/document/route.rs", document), ("plan/document/global.rs", &other)]).is_empty());
    assert!(found(&[("plan/document/route.rs", document), ("backend/settings.rs", document)]).is_empty());
}

#[test]
fn files_that_name_each_other_are_a_circle() {
    let found = circles(&files(&[
        ("lib.rs", "pub mod a;"),
        ("a/mod.rs", "mod b;\nmod c;\nmod d;\npub use b::B;"),
        ("a/b.rs", "use super::c::C; pub struct B;"),
        ("a/c.rs", "pub struct C; fn f() { crate::a::d::g() }"),
        ("a/d.rs", "use crate::a::{self, B}; pub fn g() {}"),
    ]));
    assert_eq!(found, [["a/b.rs", "a/c.rs", "a/d.rs"]], "the re-export of `B` leads to its file");
}

#[test]
fn a_child_that_uses_its_parent_and_is_used_by_it_is_a_circle() {
    let found = circles(&files(&[
        ("lib.rs", "pub mod a;"),
        ("a/mod.rs", "mod b; pub struct A(b::B);"),
        ("a/b.rs", "pub struct B; fn f(a: &super::A) {}"),
    ]));
    assert_eq!(found, [["a/b.rs", "a/mod.rs"]]);
}

#[test]
fn re_exports_and_tests_make_no_circle() {
    let found = circles(&files(&[
        ("lib.rs", "pub mod a;"),
        ("a/mod.rs", "mod b; mod c; pub use c::C; pub use b::*; pub struct A;"),
        ("a/b.rs", "use super::{A, C}; pub struct B;"),
        ("a/c.rs", "pub struct C;\n#[cfg(test)]\nmod tests { use super::super::b::B; }"),
        ("a/tests.rs", "use super::b::B;"),
    ]));
    assert!(found.is_empty(), "{found:?}");
}
