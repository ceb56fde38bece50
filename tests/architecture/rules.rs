//! Rules on one file: functions from its text to the violations.

use super::lexer::{Kind, Token, tokens};

/// The floors and their heights: an arrow may only point down.
pub const FLOORS: [(&str, u8); 14] = [
    ("cli", 9),
    ("control", 8),
    ("server", 7),
    ("plan", 6),
    ("stages", 5),
    ("realtime", 5),
    ("backend", 4),
    ("state", 4),
    ("net", 3),
    ("pipeline", 2),
    ("waf", 2),
    ("telemetry", 1),
    ("config", 1),
    ("base", 0),
];

/// Longest file and longest function, in lines.
pub const FILE_LINES: usize = 400;
pub const FUNCTION_LINES: usize = 40;

/// One file of `src/`, by its path below it.
pub struct File<'s> {
    pub path: &'s str,
    tokens: Vec<Token<'s>>,
}

impl<'s> File<'s> {
    pub fn new(path: &'s str, text: &'s str) -> Self {
        File { path, tokens: tokens(text) }
    }

    /// The floor the file stands on; `main.rs` and `lib.rs` stand above all.
    pub fn floor(&self) -> Option<&'s str> {
        self.path.split_once('/').map(|(floor, _)| floor)
    }

    /// All violations, as `path:line: sentence`.
    pub fn faults(&self) -> Vec<String> {
        let rules = [Self::arrows, Self::pingora, Self::words];
        let found = rules.iter().flat_map(|rule| rule(self));
        found.map(|(line, what)| format!("src/{}:{line}: {what}", self.path)).collect()
    }

    /// Arrows point down, and siblings do not use each other.
    fn arrows(&self) -> Vec<(usize, String)> {
        let Some(here) = self.floor() else { return Vec::new() };
        let Some(own) = height(here) else {
            return vec![(1, format!("`{here}` is not a floor of the house"))];
        };
        let mut faults = Vec::new();
        for (line, floor) in self.floors_named() {
            let there = height(floor).filter(|_| floor != here);
            match there.map(|there| there.cmp(&own)) {
                Some(std::cmp::Ordering::Greater) => {
                    faults.push((line, format!("`{here}` names `{floor}`, which is above it")));
                }
                Some(std::cmp::Ordering::Equal) => {
                    faults.push((line, format!("`{here}` names its sibling `{floor}`")));
                }
                _ => {}
            }
        }
        faults
    }

    /// Only `net` uses pingora; `net::pingora` is our own module.
    fn pingora(&self) -> Vec<(usize, String)> {
        if self.floor() == Some("net") {
            return Vec::new();
        }
        let t = &self.tokens;
        let is_own = |at: usize| follows_path(t, at) && at >= 3 && t[at - 3].name() == Some("net");
        let is_pingora = |n: &str| n == "pingora" || n.starts_with("pingora_");
        let named = (0..t.len()).filter(|at| t[*at].name().is_some_and(is_pingora) && !is_own(*at));
        named.map(|at| (t[at].line, "pingora is named outside net/".into())).collect()
    }

    /// Client and backend, except where configuration keys are read.
    fn words(&self) -> Vec<(usize, String)> {
        if self.floor() == Some("config") {
            return Vec::new();
        }
        let mut faults = Vec::new();
        for (line, name) in self.tokens.iter().filter_map(|t| Some((t.line, t.name()?))) {
            let lower = name.to_ascii_lowercase();
            if lower.contains("upstream") || lower.contains("downstream") {
                faults.push((line, format!("`{name}`: say client or backend")));
            }
        }
        faults
    }

    /// Functions longer than allowed: (name, line, length).
    pub fn long_functions(&self) -> Vec<(String, usize, usize)> {
        let t = &self.tokens;
        let starts = (0..t.len()).filter(|i| t[*i].name() == Some("fn"));
        starts.filter_map(|i| self.function(i)).filter(|(_, _, lines)| *lines > FUNCTION_LINES).collect()
    }

    /// The function whose `fn` is here; none for a type `fn(..)` or a declaration without a body.
    fn function(&self, at: usize) -> Option<(String, usize, usize)> {
        let name = self.tokens.get(at + 1)?.name()?;
        let mut depth = 0;
        for t in &self.tokens[at..] {
            match t.kind {
                Kind::Mark(';') if depth == 0 => return None,
                Kind::Mark('(' | '[' | '{') => depth += 1,
                Kind::Mark(')' | ']') => depth -= 1,
                Kind::Mark('}') if depth == 1 => {
                    return Some((name.to_owned(), self.tokens[at].line, t.line + 1 - self.tokens[at].line));
                }
                Kind::Mark('}') => depth -= 1,
                _ => {}
            }
        }
        None
    }

    /// Every floor this file names through `crate::`, `margay::` or enough `super::`.
    fn floors_named(&self) -> Vec<(usize, &'s str)> {
        let t = &self.tokens;
        let mut named = Vec::new();
        for at in 0..t.len() {
            let root = match t[at].name() {
                Some("crate" | "margay") if t.get(at + 1).is_some_and(|t| t.is(':')) => Some(at),
                Some("super") if !follows_path(t, at) => self.supers_to_root(at),
                _ => None,
            };
            if let Some(root) = root {
                after_root(t, root + 1, &mut named);
            }
        }
        named
    }

    /// The last `super` of a run that climbs to the crate's root.
    fn supers_to_root(&self, at: usize) -> Option<usize> {
        let mut needed = module_depth(self.path) + self.inner_modules(at);
        let mut last = at;
        loop {
            needed -= 1;
            if needed == 0 {
                return Some(last);
            }
            let more = self.tokens.get(last + 3).and_then(Token::name) == Some("super");
            last = if more { last + 3 } else { return None };
        }
    }

    /// How many `mod name {` are open around a token.
    fn inner_modules(&self, at: usize) -> usize {
        let mut open = Vec::new();
        for i in 0..at {
            let t = &self.tokens;
            if t[i].is('{') {
                open.push(i >= 2 && t[i - 2].name() == Some("mod"));
            } else if t[i].is('}') {
                open.pop();
            }
        }
        open.into_iter().filter(|module| *module).count()
    }
}

/// Whether a name is the middle of a path (`self::super::x`).
fn follows_path(t: &[Token], at: usize) -> bool {
    at >= 2 && t[at - 1].is(':') && t[at - 2].is(':')
}

/// Modules between the crate's root and this file: `a/mod.rs` and `a.rs` 1, `a/b.rs` 2.
fn module_depth(path: &str) -> usize {
    let parts = path.split('/').count();
    if path.ends_with("/mod.rs") { parts - 1 } else { parts }
}

/// The names that stand directly below the root: `::name` or each of `::{name, name::x}`.
fn after_root<'s>(t: &[Token<'s>], at: usize, named: &mut Vec<(usize, &'s str)>) {
    let Some(next) = t.get(at + 2) else { return };
    if !next.is('{') {
        named.extend(next.name().map(|name| (next.line, name)));
        return;
    }
    let (mut depth, mut fresh) = (0, true);
    for t in &t[at + 2..] {
        match t.kind {
            Kind::Mark('{') => depth += 1,
            Kind::Mark('}') => depth -= 1,
            Kind::Mark(',') if depth == 1 => fresh = true,
            Kind::Name(name) if depth == 1 && fresh => {
                named.push((t.line, name));
                fresh = false;
            }
            _ => {}
        }
        if depth == 0 {
            return;
        }
    }
}

fn height(floor: &str) -> Option<u8> {
    FLOORS.iter().find(|(name, _)| *name == floor).map(|(_, height)| *height)
}
