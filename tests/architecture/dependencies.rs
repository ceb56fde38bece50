//! The dependencies: the given packages, and `deny.toml` for all packages.

use super::{none, root, sources};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// The nine given packages, and the capability that an unused one is reserved for.
const GIVEN: [(&str, Option<&str>); 9] = [
    ("pingora", None),
    ("serde", None),
    ("serde_json", None),
    ("arc-swap", None),
    ("notify", None),
    ("prometheus", None),
    ("jsonwebtoken", Some("authentication")),
    ("governor", None),
    ("moka", Some("the response cache")),
];

fn metadata() -> Value {
    let target = "x86_64-unknown-linux-gnu";
    let cargo = Command::new(env!("CARGO"))
        .args(["metadata", "--locked", "--format-version", "1", "--filter-platform", target])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(cargo.status.success(), "{}", String::from_utf8_lossy(&cargo.stderr));
    serde_json::from_slice(&cargo.stdout).unwrap()
}

fn deny() -> toml::Table {
    std::fs::read_to_string(root().join("deny.toml")).unwrap().parse().unwrap()
}

/// Our own package and the others.
fn packages(metadata: &Value) -> (&Value, Vec<&Value>) {
    let (own, others): (Vec<_>, Vec<_>) =
        metadata["packages"].as_array().unwrap().iter().partition(|p| p["source"].is_null());
    assert_eq!(own.len(), 1, "one crate");
    (own[0], others)
}

fn name(package: &Value) -> &str {
    package["name"].as_str().unwrap()
}

fn strings<'t>(list: &'t toml::Value, key: &str) -> BTreeSet<&'t str> {
    let entries = list.as_array().unwrap().iter();
    entries.map(|e| e.get(key).unwrap_or(e).as_str().unwrap()).collect()
}

#[test]
fn the_given_packages_are_direct_dependencies_and_used() {
    let metadata = metadata();
    let (own, _) = packages(&metadata);
    let normal = |d: &&Value| d["kind"].is_null();
    let direct: BTreeSet<_> =
        own["dependencies"].as_array().unwrap().iter().filter(normal).map(name).collect();
    let all: String = sources().into_iter().map(|(_, text)| text).collect();
    let mut faults = Vec::new();
    for (package, later) in GIVEN {
        if !direct.contains(package) {
            faults.push(format!("{package} is not a direct dependency"));
        }
        let used = all.contains(&format!("{}::", package.replace('-', "_")));
        if !used && later.is_none() {
            faults.push(format!("nothing in src/ uses {package}"));
        }
    }
    none(faults);
}

#[test]
fn every_license_is_allowed_by_deny_toml() {
    let (metadata, deny) = (metadata(), deny());
    let allowed = strings(&deny["licenses"]["allow"], "");
    let mut faults = Vec::new();
    let mut met = BTreeSet::new();
    for package in packages(&metadata).1 {
        let licence = package["license"].as_str().unwrap_or("none");
        met.extend(atoms(licence));
        if !permitted(licence, &allowed) {
            faults.push(format!("{} is under {licence}", name(package)));
        }
    }
    faults.extend(allowed.difference(&met).map(|l| format!("nothing is under {l} any more")));
    none(faults);
}

#[test]
fn no_dependency_is_banned() {
    let (metadata, deny) = (metadata(), deny());
    let banned = strings(&deny["bans"]["deny"], "crate");
    let found = packages(&metadata).1.into_iter().filter(|p| banned.contains(name(p)));
    none(found.map(|p| format!("{} is banned, deny.toml says why", name(p))).collect());
}

#[test]
fn duplicate_versions_are_listed_in_deny_toml() {
    let (metadata, deny) = (metadata(), deny());
    let skipped = strings(&deny["bans"]["skip"], "crate");
    let mut versions = BTreeMap::<_, Vec<_>>::new();
    for package in packages(&metadata).1 {
        versions.entry(name(package)).or_default().push(package["version"].as_str().unwrap());
    }
    versions.retain(|_, versions| versions.len() > 1);
    let mut faults = Vec::new();
    for (package, versions) in versions.iter().filter(|(p, _)| !skipped.contains(*p)) {
        faults.push(format!("{package} comes as {}", versions.join(" and ")));
    }
    faults.extend(
        skipped.iter().filter(|s| !versions.contains_key(*s)).map(|s| format!("{s} comes once: unskip it")),
    );
    none(faults);
}

#[test]
fn every_package_comes_from_crates_io() {
    let metadata = metadata();
    let index = "registry+https://github.com/rust-lang/crates.io-index";
    let elsewhere = packages(&metadata).1.into_iter().filter(|p| p["source"] != index);
    none(elsewhere.map(|p| format!("{} comes from {}", name(p), p["source"])).collect());
}

/// The licenses that an expression contains.
fn atoms(expression: &str) -> impl Iterator<Item = &str> {
    let words = expression.split(['(', ')', '/', ' ']).filter(|w| !w.is_empty());
    words.filter(|w| !["OR", "AND", "WITH", "LLVM-exception"].contains(w))
}

/// SPDX expressions as crates write them: `/` is an old `OR`, `AND` binds tighter, parentheses group once; an
/// exception (`WITH`) only adds rights.
fn permitted(expression: &str, allowed: &BTreeSet<&str>) -> bool {
    if let Some((open, close)) = expression.find('(').zip(expression.find(')')) {
        let (before, group, after) =
            (&expression[..open], &expression[open + 1..close], &expression[close + 1..]);
        let inner = if permitted(group, allowed) { "yes" } else { "no" };
        return permitted(&format!("{before}{inner}{after}"), allowed);
    }
    let one =
        |atom: &str| atom == "yes" || allowed.contains(atom.split(" WITH ").next().unwrap_or(atom).trim());
    expression.replace('/', " OR ").split(" OR ").any(|side| side.split(" AND ").all(|atom| one(atom.trim())))
}

#[test]
fn license_expressions_follow_spdx() {
    let allowed = BTreeSet::from(["MIT", "ISC"]);
    for (expression, expected) in [
        ("MIT", true),
        ("GPL-3.0", false),
        ("GPL-3.0 OR MIT", true),
        ("Apache-2.0/MIT", true),
        ("MIT AND GPL-3.0", false),
        ("MIT AND ISC", true),
        ("(MIT OR GPL-3.0) AND Unicode-3.0", false),
        ("(MIT OR GPL-3.0) AND ISC", true),
        ("MIT WITH LLVM-exception", true),
        ("none", false),
    ] {
        assert_eq!(permitted(expression, &allowed), expected, "{expression}");
    }
}
