//! Rules on the text of a file: documentation of public items, forbidden words, comments that cite a specification,
//! and options that more than one document declares.

use std::collections::BTreeMap;

/// The file without its tests: everything before `#[cfg(test)]` that opens a module with a body, nothing of a test file.
pub fn without_tests<'s>(path: &str, text: &'s str) -> &'s str {
    let stem = path.rsplit('/').next().unwrap_or(path).trim_end_matches(".rs");
    if stem == "tests" || stem.ends_with("_tests") || path.contains("/tests/") {
        return "";
    }
    let mut from = 0;
    while let Some(at) = text[from..].find("#[cfg(test)]") {
        let rest = text[from + at + "#[cfg(test)]".len()..].trim_start();
        let rest = rest.trim_start_matches("pub ");
        if rest.starts_with("mod ") && rest.find('{') < rest.find(';') && rest.contains('{') {
            return &text[..from + at];
        }
        from += at + 1;
    }
    text
}

/// Public items without a doc comment: (line, the item's first line). An item that a macro declares has the doc comment
/// of the macro's caller.
pub fn undocumented(text: &str) -> Vec<(usize, &str)> {
    let lines: Vec<&str> = text.lines().collect();
    let items = lines.iter().enumerate().filter(|(_, line)| is_public_item(line.trim_start()));
    items.filter(|(at, _)| !is_documented(&lines[..*at])).map(|(at, line)| (at + 1, line.trim())).collect()
}

fn is_public_item(line: &str) -> bool {
    let Some(mut rest) = line.strip_prefix("pub ") else { return false };
    while let Some(more) = ["async ", "unsafe ", "default "].iter().find_map(|word| rest.strip_prefix(word)) {
        rest = more;
    }
    ["fn ", "struct ", "enum ", "trait ", "const ", "static ", "type ", "union "]
        .iter()
        .any(|keyword| rest.strip_prefix(keyword).is_some_and(|name| !name.starts_with('$')))
}

/// Whether the lines above an item end in a doc comment; attributes may stand between them.
fn is_documented(above: &[&str]) -> bool {
    let mut in_attribute = false;
    for line in above.iter().rev().map(|line| line.trim()) {
        if line.starts_with("///") || line.starts_with("#[doc") || (!in_attribute && line.ends_with("*/")) {
            return true;
        }
        match line {
            _ if line.starts_with("#[") => in_attribute = false,
            _ if in_attribute => {}
            _ if line.ends_with(']') => in_attribute = true,
            _ => return false,
        }
    }
    false
}

/// How often a word or phrase occurs, as whole words and case-insensitive.
pub fn count(text: &str, phrase: &str) -> usize {
    let text = text.to_ascii_lowercase();
    let part_of_word = |c: char| c.is_ascii_alphanumeric();
    text.match_indices(phrase)
        .filter(|(at, _)| {
            !text[..*at].ends_with(part_of_word) && !text[at + phrase.len()..].starts_with(part_of_word)
        })
        .count()
}

/// Lines that cite a specification without its name.
pub fn cited_sections(text: &str) -> Vec<usize> {
    let lines = text.lines().enumerate();
    lines
        .filter(|(_, line)| line.to_ascii_lowercase().contains("spec section"))
        .map(|(at, _)| at + 1)
        .collect()
}

/// Every option group that a document or the table of stages declares: (key in lower case, line).
pub fn declared_options(text: &str) -> Vec<(String, usize)> {
    let lines = text.lines().enumerate();
    let declared = lines.filter_map(|(at, line)| Some((declared_option(line.trim())?, at + 1)));
    declared.filter(|(key, _)| key.ends_with("options")).collect()
}

/// `rename = "CorsOptions"`, `pub metadata_options: Setting<...>`, or `cors: CorsOptions [aggregate _]` of the table.
fn declared_option(line: &str) -> Option<String> {
    if let Some((_, rest)) = line.split_once("rename = \"") {
        return Some(rest.split_once('"')?.0.to_lowercase());
    }
    let (name, of) = line.trim_start_matches("pub ").split_once(": ")?;
    let of = of.split_once(" [").map_or("", |(options, _)| options);
    let is_field = line.starts_with("pub ") && name.ends_with("_options");
    is_field.then(|| name.replace('_', "")).or_else(|| of.ends_with("Options").then(|| of.to_lowercase()))
}

/// Settings of the documents that several places declare with the same description: (field, places).
pub fn repeated_settings(files: &[(String, String)]) -> Vec<(String, Vec<String>)> {
    let mut settings = BTreeMap::<String, (String, Vec<String>)>::new();
    for (path, text) in files.iter().filter(|(path, _)| path.starts_with("plan/document/")) {
        let mut description = String::new();
        for (at, line) in without_tests(path, text).lines().map(str::trim).enumerate() {
            match line.strip_prefix("pub ").and_then(|field| field.split_once(": ")) {
                Some((field, _)) if !description.is_empty() => {
                    let declared = settings.entry(format!("{description} {line}")).or_default();
                    declared.0 = field.to_owned();
                    declared.1.push(format!("src/{path}:{}", at + 1));
                }
                _ if line.starts_with("///") || line.starts_with("#[") => {
                    description += line;
                    continue;
                }
                _ => {}
            }
            description.clear();
        }
    }
    settings.into_values().filter(|(_, places)| places.len() > 1).collect()
}

/// Option groups that several places declare: key → places.
pub fn declared_twice(files: &[(String, String)]) -> BTreeMap<String, Vec<String>> {
    let mut places = BTreeMap::<String, Vec<String>>::new();
    for (path, text) in files {
        for (key, line) in declared_options(without_tests(path, text)) {
            places.entry(key).or_default().push(format!("src/{path}:{line}"));
        }
    }
    places.retain(|_, places| places.len() > 1);
    places
}
