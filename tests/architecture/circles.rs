//! Circles: groups of files in which each file names another one of the group, directly or through others.
//!
//! An arrow leads from a file to the file that defines what a `use` or a path names. Re-exports are followed to the
//! definition, so a `mod.rs` that only lists and re-exports its children has no arrow to them. Tests are cut away.

use super::lexer::{Kind, Token, tokens};
use super::text::without_tests;
use std::collections::{BTreeMap, BTreeSet};

type Path<'s> = Vec<&'s str>;

/// One module with a file of its own.
struct Module<'s> {
    file: &'s str,
    path: Path<'s>,
    children: BTreeSet<&'s str>,
    items: BTreeSet<&'s str>,
    /// What `use` binds: the name (`*` for globs), the path as written.
    imports: Vec<(&'s str, Path<'s>)>,
    /// Every path the file names, except in `pub use`.
    named: Vec<Path<'s>>,
}

/// The files of each circle, by (path below src, text) of all files.
pub fn circles(files: &[(String, String)]) -> Vec<Vec<String>> {
    let modules: BTreeMap<Path<'_>, Module<'_>> = files
        .iter()
        .filter(|(path, text)| path != "main.rs" && !without_tests(path, text).is_empty())
        .map(|(path, text)| Module::read(path, without_tests(path, text)))
        .map(|module| (module.path.clone(), module))
        .collect();
    let mut arrows = BTreeMap::<&str, BTreeSet<&str>>::new();
    for module in modules.values() {
        let named = module.named.iter().filter_map(|path| resolve(&modules, &module.path, path, 8));
        arrows.insert(module.file, named.filter(|file| *file != module.file).collect());
    }
    strongly_connected(&arrows)
}

/// `a/b.rs` and `a/b/mod.rs` are both `a::b`; `lib.rs` is the root.
fn module_path(file: &str) -> Path<'_> {
    let stem = file.trim_end_matches(".rs");
    let mut path: Path<'_> = stem.split('/').collect();
    if matches!(path.last(), Some(&"mod" | &"lib")) {
        path.pop();
    }
    path
}

impl<'s> Module<'s> {
    fn read(file: &'s str, text: &'s str) -> Self {
        let mut module = Module {
            file,
            path: module_path(file),
            children: BTreeSet::new(),
            items: BTreeSet::new(),
            imports: Vec::new(),
            named: Vec::new(),
        };
        let t = tokens(text);
        let mut at = 0;
        while at < t.len() {
            at = module.declaration(&t, at);
        }
        module
    }

    /// Reads what begins at a token and returns where to go on.
    fn declaration(&mut self, t: &[Token<'s>], at: usize) -> usize {
        let Some(name) = t[at].name() else { return at + 1 };
        let next = t.get(at + 1).and_then(Token::name);
        match (name, next) {
            ("mod", Some(child)) if t.get(at + 2).is_some_and(|t| t.is(';')) => {
                self.children.insert(child);
                at + 3
            }
            ("use", _) if !t.get(at + 1).is_some_and(|t| t.is('<')) => self.import(t, at),
            ("struct" | "enum" | "trait" | "type" | "fn" | "const" | "static" | "union", Some(item)) => {
                self.items.insert(item);
                at + 2
            }
            _ if is_path_start(t, at) => {
                let mut paths = Vec::new();
                let end = tree(t, at, &Vec::new(), &mut paths);
                self.named.extend(paths.into_iter().map(|(path, _)| path));
                end.max(at + 1)
            }
            _ => at + 1,
        }
    }

    fn import(&mut self, t: &[Token<'s>], at: usize) -> usize {
        let public = at > 0 && (t[at - 1].name() == Some("pub") || t[at - 1].is(')'));
        let mut paths = Vec::new();
        let end = tree(t, at + 1, &Vec::new(), &mut paths);
        for (path, alias) in paths {
            if let Some(name) = alias.or(path.last().copied()) {
                self.imports.push((name, path.clone()));
            }
            if !public {
                self.named.push(path);
            }
        }
        end.max(at + 1)
    }
}

/// A name that `::` follows and none precedes.
fn is_path_start(t: &[Token], at: usize) -> bool {
    let colon = |i: usize| t.get(i).is_some_and(|t| t.is(':'));
    let follows = at >= 2 && colon(at - 1) && colon(at - 2);
    colon(at + 1) && colon(at + 2) && !follows && !(at > 0 && t[at - 1].is('.'))
}

/// Reads a path or a tree of paths; pushes each with its alias and returns the position behind it.
fn tree<'s>(
    t: &[Token<'s>],
    mut at: usize,
    start: &Path<'s>,
    paths: &mut Vec<(Path<'s>, Option<&'s str>)>,
) -> usize {
    let mut path = start.clone();
    loop {
        match t.get(at).map(|t| t.kind) {
            Some(Kind::Name("self")) if !path.is_empty() => at += 1,
            Some(Kind::Name(name)) => {
                path.push(name);
                at += 1;
            }
            Some(Kind::Mark('*')) if !path.is_empty() => {
                paths.push((path, Some("*")));
                return at + 1;
            }
            Some(Kind::Mark('{')) => return group(t, at + 1, &path, paths),
            Some(Kind::Mark(':')) if path.is_empty() => at += 2,
            _ => break,
        }
        let colons = t.get(at).is_some_and(|t| t.is(':')) && t.get(at + 1).is_some_and(|t| t.is(':'));
        if !colons {
            break;
        }
        at += 2;
    }
    let mut alias = None;
    if t.get(at).and_then(Token::name) == Some("as") {
        alias = t.get(at + 1).and_then(Token::name);
        at += 2;
    }
    paths.push((path, alias));
    at
}

fn group<'s>(
    t: &[Token<'s>],
    mut at: usize,
    start: &Path<'s>,
    paths: &mut Vec<(Path<'s>, Option<&'s str>)>,
) -> usize {
    while let Some(token) = t.get(at) {
        at = match token.kind {
            Kind::Mark('}') => return at + 1,
            Kind::Name(_) | Kind::Mark('{' | '*') => tree(t, at, start, paths).max(at + 1),
            Kind::Mark(_) => at + 1,
        };
    }
    at
}

/// The file that defines what a path names, seen from a module.
fn resolve<'s>(
    modules: &BTreeMap<Path<'s>, Module<'s>>,
    from: &Path<'s>,
    path: &Path<'s>,
    depth: usize,
) -> Option<&'s str> {
    let (mut here, mut rest) = (from.clone(), &path[..]);
    match *rest.first()? {
        "crate" | "margay" => here.clear(),
        "self" => {}
        "super" => {
            here.pop();
        }
        first if modules.get(&here)?.children.contains(first) => here.push(first),
        _ => return None,
    }
    rest = &rest[1..];
    while rest.first() == Some(&"super") {
        here.pop();
        rest = &rest[1..];
    }
    while let Some(name) = rest.first() {
        here.push(name);
        if !modules.contains_key(&here) {
            here.pop();
            break;
        }
        rest = &rest[1..];
    }
    let module = modules.get(&here)?;
    let Some(name) = rest.first().filter(|name| !module.items.contains(*name)) else {
        return Some(module.file);
    };
    let reexported = depth.checked_sub(1).and_then(|depth| reexported(modules, module, name, depth));
    Some(reexported.unwrap_or(module.file))
}

/// Where a name comes from that a module imports.
fn reexported<'s>(
    modules: &BTreeMap<Path<'s>, Module<'s>>,
    module: &Module<'s>,
    name: &'s str,
    depth: usize,
) -> Option<&'s str> {
    if let Some((_, path)) = module.imports.iter().find(|(bound, _)| *bound == name) {
        return resolve(modules, &module.path, path, depth);
    }
    let globs = module.imports.iter().filter(|(bound, _)| *bound == "*");
    globs.into_iter().find_map(|(_, path)| {
        let file = resolve(modules, &module.path, path, depth)?;
        let source = modules.values().find(|m| m.file == file)?;
        source.items.contains(name).then_some(file)
    })
}

/// Groups of two and more nodes that reach each other, by reachability in both directions.
fn strongly_connected(arrows: &BTreeMap<&str, BTreeSet<&str>>) -> Vec<Vec<String>> {
    let reached: BTreeMap<&str, BTreeSet<&str>> =
        arrows.keys().map(|node| (*node, reach(arrows, node))).collect();
    let mut groups = BTreeSet::new();
    for (node, targets) in &reached {
        let mutual =
            targets.iter().filter(|other| reached.get(*other).is_some_and(|back| back.contains(node)));
        let group: BTreeSet<String> = mutual.map(|file| (*file).to_owned()).collect();
        if group.len() > 1 {
            groups.insert(group.into_iter().collect::<Vec<_>>());
        }
    }
    groups.into_iter().collect()
}

fn reach<'s>(arrows: &BTreeMap<&'s str, BTreeSet<&'s str>>, from: &'s str) -> BTreeSet<&'s str> {
    let (mut reached, mut open) = (BTreeSet::new(), vec![from]);
    while let Some(node) = open.pop() {
        for next in arrows.get(node).into_iter().flatten() {
            if reached.insert(*next) {
                open.push(next);
            }
        }
    }
    reached
}
