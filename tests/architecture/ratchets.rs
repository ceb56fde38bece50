//! Rules of names, comments and texts that hold over all of `src/`.

use super::{circles, names, none, sources, text};

/// Option groups that more than one document declares: TLS to the backend of a route, and TLS to a resolver of services.
const DECLARED_TWICE: &[&str] = &["tlsoptions"];

/// Settings with the same description in more than one document: `$schema`, which is a key of files, not of gateways, and the
/// name and the description that each entity of API management has, whose documents have no settings of routes.
const DESCRIBED_TWICE: &[&str] = &["schema", "display_name", "description"];

/// Words that comments, doc comments and texts do not contain. The subject has a name: the client, the
/// operator, another worker, an untrusted peer.
const FORBIDDEN_WORDS: &[&str] = &[
    "nobody",
    "somebody",
    "whoever",
    "anew",
    "at one time",
    "is asked",
    "is told",
    "stranger",
    "strangers",
    "again and again",
    "beside",
    "cannot be meant",
    "heard",
    "hears",
    "left alone",
    "let go",
    "means nothing",
    "of its own",
    "spoken",
    "told",
];

#[test]
fn constants_types_and_parameters_have_names_of_the_field() {
    let mut found = Vec::new();
    for (path, text) in &sources() {
        let names = names::forbidden(text).into_iter();
        found.extend(names.map(|(line, kind, name)| format!("src/{path}:{line}: {kind} `{name}`")));
    }
    none(found);
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
    none(found);
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
    let mut found = Vec::new();
    for word in FORBIDDEN_WORDS {
        for (path, text) in &files {
            for (at, line) in text.lines().enumerate() {
                let place = || format!("src/{path}:{}: \"{word}\" in {}", at + 1, line.trim());
                found.extend((0..text::count(line, word)).map(|_| place()));
            }
        }
    }
    none(found);
}
