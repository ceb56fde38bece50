//! Rules that hold over all of `src/`. Where the code does not follow a rule everywhere, a number holds how often it
//! may break it: the number may fall, it never rises, and at 0 the rule is absolute.

use super::{circles, names, none, sources, text};

/// Forbidden names (rules N1, N3, N9): (kind, how many).
const FORBIDDEN_NAMES: [(&str, usize); 3] = [("constant", 0), ("type", 0), ("parameter", 0)];

/// Comments that cite a specification by "spec section" instead of `docs/ocelot-behavior.md`.
const CITED_SECTIONS: usize = 0;

/// Option groups that more than one document declares.
const DECLARED_TWICE: &[&str] = &[];

/// Settings with the same description in more than one document: `$schema`, which is a key of files, not of gateways.
const DESCRIBED_TWICE: &[&str] = &["schema"];

/// Words that comments, doc comments and texts avoid, and how often they occur. The subject has a name: the client, the
/// operator, another worker, an untrusted peer.
const FORBIDDEN_WORDS: [(&str, usize); 20] = [
    ("nobody", 0),
    ("somebody", 0),
    ("whoever", 0),
    ("anew", 0),
    ("at one time", 0),
    ("is asked", 0),
    ("is told", 0),
    ("stranger", 0),
    ("strangers", 0),
    ("again and again", 0),
    ("beside", 7),
    ("cannot be meant", 0),
    ("heard", 0),
    ("hears", 0),
    ("left alone", 0),
    ("let go", 0),
    ("means nothing", 0),
    ("of its own", 4),
    ("spoken", 6),
    ("told", 0),
];

/// Fails with everything found when it is more than allowed.
#[track_caller]
fn at_most(allowed: usize, rule: &str, found: Vec<String>) {
    if found.len() > allowed {
        let count = found.len();
        none(found.into_iter().chain([format!("{rule}: found {count}, allowed {allowed}")]).collect());
    }
}

#[test]
fn constants_types_and_parameters_have_names_of_the_field() {
    let mut found = Vec::new();
    for (path, text) in &sources() {
        let names = names::forbidden(text).into_iter();
        found.extend(names.map(|(line, kind, name)| (kind, format!("src/{path}:{line}: {kind} `{name}`"))));
    }
    for (kind, allowed) in FORBIDDEN_NAMES {
        let of_kind = found.iter().filter(|(k, _)| *k == kind).map(|(_, fault)| fault.clone());
        at_most(allowed, "forbidden names", of_kind.collect());
    }
}

#[test]
fn no_group_of_files_names_each_other() {
    let groups = circles::circles(&sources());
    none(groups.iter().map(|files| format!("files that name each other: {}", files.join(" "))).collect());
}

#[test]
fn public_items_have_doc_comments() {
    let mut found = Vec::new();
    for (path, text) in &sources() {
        let items = text::undocumented(text::without_tests(path, text)).into_iter();
        found.extend(items.map(|(line, item)| format!("src/{path}:{line}: no doc comment: {item}")));
    }
    none(found);
}

#[test]
fn comments_cite_the_document_that_is_in_the_repository() {
    let mut found = Vec::new();
    for (path, text) in &sources() {
        let lines = text::cited_sections(text).into_iter();
        found.extend(lines.map(|line| format!("src/{path}:{line}: cite docs/ocelot-behavior.md, section N")));
    }
    at_most(CITED_SECTIONS, "citations", found);
}

#[test]
fn no_option_is_declared_twice() {
    let files = sources();
    let declared = text::declared_twice(&files).into_iter();
    let new = declared.filter(|(key, _)| !DECLARED_TWICE.contains(&key.as_str()));
    none(new.map(|(key, places)| format!("`{key}` is declared by {}", places.join(", "))).collect());
}

#[test]
fn no_setting_is_described_twice() {
    let repeated = text::repeated_settings(&sources()).into_iter();
    let new = repeated.filter(|(field, _)| !DESCRIBED_TWICE.contains(&field.as_str()));
    none(new.map(|(field, places)| format!("`{field}` is declared by {}", places.join(", "))).collect());
}

#[test]
fn text_names_its_subject() {
    let files = sources();
    for (word, allowed) in FORBIDDEN_WORDS {
        let mut found = Vec::new();
        for (path, text) in &files {
            for (at, line) in text.lines().enumerate() {
                let place = || format!("src/{path}:{}: \"{word}\" in {}", at + 1, line.trim());
                found.extend((0..text::count(line, word)).map(|_| place()));
            }
        }
        at_most(allowed, word, found);
    }
}
