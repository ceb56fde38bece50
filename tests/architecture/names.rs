//! Names that no constant, type or parameter may have (rules N1, N3 and N9 of ARCHITECTURE.md).

use super::lexer::{Kind, Token, tokens};

/// A constant states its kind: `MAX_*`, `MIN_*`, `DEFAULT_*`, `*_TIMEOUT`, `*_INTERVAL`, `*_BYTES`, `*_CAPACITY`.
const CONSTANTS: &[&str] = &[
    "MOST",
    "LEAST",
    "LONGEST",
    "LARGEST",
    "KEPT",
    "USUAL",
    "SILENCE",
    "PATIENCE",
    "SOONEST",
    "LATEST",
    "AT_ONCE",
    "GAP",
    "TURN",
    "PARTING",
    "READY",
    "FAREWELL",
    "BURIAL",
    "SPARE",
    "REMEMBERED",
    "STRANGE",
];

/// A type is a noun of the field; these need a qualifier (`CorsDecision`, `JsonPathPart`) or another noun.
const TYPES: &[&str] = &[
    "Found",
    "Kept",
    "Told",
    "Asked",
    "Wanted",
    "Shown",
    "Judged",
    "Joined",
    "Met",
    "Stranger",
    "Place",
    "Part",
    "Way",
    "Written",
    "Entered",
    "Picked",
    "Announced",
    "Bound",
    "Seat",
    "One",
    "Taken",
    "Queued",
    "Standing",
    "Share",
    "Hold",
    "Lease",
    "Leaves",
    "Watching",
    "Terms",
    "Care",
    "Keeps",
    "Quality",
    "Reception",
    "Speech",
    "Shape",
    "Reader",
    "Names",
    "Turns",
    "Guest",
    "Wish",
];

/// A parameter is `exchange` (or `ctx`), `worker`, `diagnostics`, `document`.
const PARAMETERS: &[&str] = &[
    "x", "w", "out", "written", "around", "ground", "mistake", "wrong", "told", "judged", "wish", "speech",
    "whom", "nobody",
];

/// Every forbidden name that a file declares: (line, kind, name).
pub fn forbidden(text: &str) -> Vec<(usize, &'static str, String)> {
    let t = tokens(text);
    let mut found = Vec::new();
    for (at, token) in t.iter().enumerate() {
        let Some(keyword) = token.name() else { continue };
        let Some(name) = t.get(at + 1).and_then(Token::name) else { continue };
        let kind = match keyword {
            "const" | "static" if CONSTANTS.iter().any(|word| starts_or_ends_with(name, word)) => "constant",
            "struct" | "enum" | "trait" | "type" | "union" if TYPES.contains(&name) => "type",
            "fn" => {
                let forbidden = parameters(&t[at + 2..]).into_iter().filter(|(_, n)| PARAMETERS.contains(n));
                found.extend(forbidden.map(|(line, name)| (line, "parameter", name.to_owned())));
                continue;
            }
            _ => continue,
        };
        found.push((token.line, kind, name.to_owned()));
    }
    found
}

/// Whole words only: `MOST_HOPS` and `HOPS_MOST`, not `ALMOST`.
fn starts_or_ends_with(name: &str, word: &str) -> bool {
    let bounded = |rest: &str, boundary: fn(&str) -> bool| rest.is_empty() || boundary(rest);
    name.strip_prefix(word).is_some_and(|rest| bounded(rest, |r| r.starts_with('_')))
        || name.strip_suffix(word).is_some_and(|rest| bounded(rest, |r| r.ends_with('_')))
}

/// The parameters after a function's name: names directly before a single `:` in the outer parentheses.
fn parameters<'s>(t: &[Token<'s>]) -> Vec<(usize, &'s str)> {
    let open = after_generics(t);
    let (mut depth, mut names) = (0, Vec::new());
    for (at, token) in t.iter().enumerate().skip(open) {
        match token.kind {
            Kind::Mark('(' | '[' | '{') => depth += 1,
            Kind::Mark(')' | ']' | '}') => depth -= 1,
            Kind::Name(name) if depth == 1 && is_followed_by_one_colon(t, at) => {
                names.push((token.line, name));
            }
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    names
}

/// Behind `<...>`, where a function has type parameters; the `>` of an arrow closes nothing.
fn after_generics(t: &[Token]) -> usize {
    let mut depth = 0;
    for (at, token) in t.iter().enumerate() {
        match token.kind {
            Kind::Mark('<') => depth += 1,
            Kind::Mark('>') if at > 0 && t[at - 1].is('-') => {}
            Kind::Mark('>') => depth -= 1,
            _ => {}
        }
        if depth == 0 && !token.is('>') {
            return at;
        }
    }
    t.len()
}

fn is_followed_by_one_colon(t: &[Token], at: usize) -> bool {
    let colon = |i: usize| t.get(i).is_some_and(|t| t.is(':'));
    colon(at + 1) && !colon(at + 2) && !(at > 0 && t[at - 1].is(':'))
}
