//! The functions of expressions: one table for each group.

mod crypto;
mod encoding;
mod format;
mod function;
mod json;
mod lists;
mod patterns;
mod standard;
mod text;
mod time;
mod tokens;
mod xml;

pub use encoding::{query_map, url_parts, url_value};
pub use format::TYPE_NAMES;
pub use function::Function;
pub use patterns::{call_pattern, compile_pattern};
pub use tokens::decode_jwt;

const GROUPS: [&[Function]; 11] = [
    text::FUNCTIONS,
    standard::FUNCTIONS,
    patterns::FUNCTIONS,
    json::FUNCTIONS,
    xml::FUNCTIONS,
    encoding::FUNCTIONS,
    crypto::FUNCTIONS,
    tokens::FUNCTIONS,
    time::FUNCTIONS,
    lists::FUNCTIONS,
    format::FUNCTIONS,
];

fn all() -> impl Iterator<Item = &'static Function> {
    GROUPS.iter().flat_map(|group| group.iter())
}

/// The function for a call; `arguments` counts the value that it is called on.
pub fn find(name: &str, is_member: bool, arguments: usize) -> Option<&'static Function> {
    all().find(|f| f.name == name && f.is_member == is_member && (f.min..=f.max).contains(&arguments))
}

/// How a function of this name is called.
pub fn any_arity(name: &str) -> Option<String> {
    let found = all().find(|f| f.name == name)?;
    let (min, max) = (found.min, found.max);
    let (own, from, to) =
        if found.is_member { ("on a value with ", min - 1, max - 1) } else { ("", min, max) };
    Some(if from == to { format!("{own}{from}") } else { format!("{own}{from} to {to}") })
}

/// The names of all functions.
pub fn names() -> Vec<&'static str> {
    all().map(|f| f.name).chain(["coalesce", "cel.bind"]).collect()
}

/// Whether functions have this prefix.
pub fn is_namespace(name: &str) -> bool {
    name == "cel" || all().any(|f| f.name.strip_prefix(name).is_some_and(|rest| rest.starts_with('.')))
}
