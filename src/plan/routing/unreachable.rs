//! Detects routes that can never serve a request, because an earlier one matches all their requests. A warning at
//! check time.
//!
//! Reported only where it is certain: the same template, or a template that matches everything below a literal path,
//! with no more conditions on host, method and headers.

use std::collections::HashMap;

use super::path::Target;
use super::program::{Op, Program};
use super::table::{Group, Route, RouteTable};

/// Maximum number of routes with the same key that are compared: more are rare, and omitting a warning is acceptable.
const MAX_CANDIDATES: usize = 32;

/// Earlier routes of one host, by what they match.
#[derive(Default)]
struct RouteIndex {
    same_path: HashMap<Vec<u8>, Vec<u32>>,
    under_prefix: HashMap<Vec<u8>, Vec<u32>>,
    all: Vec<u32>,
}

impl RouteTable {
    /// Pairs (route that can never match, route that matches its requests).
    pub fn unreachable_routes(&self) -> Vec<(usize, usize)> {
        let mut found = Vec::new();
        for group in self.hosts.values().flatten().chain([&self.any_host]) {
            self.shadowed_in(group, &mut found);
        }
        found.sort_unstable();
        found
    }

    fn shadowed_in(&self, group: &Group, found: &mut Vec<(usize, usize)>) {
        let mut earlier = RouteIndex::default();
        for (rank, position) in group.order.iter().enumerate() {
            let route = &self.routes[*position as usize];
            let covers = |earlier: &u32| self.routes[*earlier as usize].subsumes(route);
            let by = earlier.candidates(route).find(|e| covers(e));
            if let Some(by) = by.or_else(|| self.shadowed_by_samples(group, rank as u32, route)) {
                found.push((route.spec.index, self.routes[by as usize].spec.index));
            }
            earlier.add(*position, route.spec.template.program());
        }
    }
}

/// A placeholder value of control characters, which no template contains: what matches it matches every value.
const ANY_VALUE: &str = "\u{1}\u{2}";

/// A query that no template contains: a template may match it or not.
const ANY_QUERY: &[u8] = b"?\x01\x02";

impl RouteTable {
    /// The earlier route that matches every path of this one, placeholders empty or not, with and without a query.
    fn shadowed_by_samples(&self, group: &Group, rank: u32, route: &Route) -> Option<u32> {
        let samples = samples(route.spec.template.program());
        let with_query: Vec<Vec<u8>> = samples.iter().map(|path| [path, ANY_QUERY].concat()).collect();
        let bare = samples.iter().map(|path| Target::from_normalized(path, path.len()));
        let queried = with_query.iter().map(|t| Target::from_normalized(t, t.len() - ANY_QUERY.len()));
        let own = |target: &Target<'_>| route.spec.template.matches(target).is_ok();
        let targets: Vec<Target<'_>> = bare.chain(queried).filter(own).collect();
        let earlier = |rank: u32| group.order[rank as usize];
        let by = group.index.best_match(targets.first()?, rank, &mut |rank| {
            let earlier = &self.routes[earlier(rank) as usize];
            let (template, other) = (&earlier.spec.template, route.spec.template.program());
            earlier.covers_conditions(route)
                && (template.program().any_case || !other.any_case)
                && targets.iter().all(|target| template.matches(target).is_ok())
        });
        (by < rank).then(|| earlier(by))
    }
}

/// Paths of a program, one for each way through it; none if samples do not suffice.
fn samples(program: &Program) -> Vec<Vec<u8>> {
    if program.query || program.catch_all {
        return Vec::new();
    }
    let (mut open, mut done) = (vec![Vec::new()], Vec::new());
    for op in &program.ops {
        match op {
            Op::Text(text) => open.iter_mut().for_each(|path: &mut Vec<u8>| path.extend_from_slice(text)),
            Op::Segment => open.iter_mut().for_each(|path| path.extend_from_slice(ANY_VALUE.as_bytes())),
            Op::OptionalTail => done.extend(open.iter().cloned()),
            Op::CatchAll => open = with_each(&open, &["", ANY_VALUE, "\u{1}/\u{1}"]),
            Op::OptionalSlash => open = with_each(&open, &["", "/"]),
            Op::Query { .. } | Op::End => {}
        }
    }
    done.append(&mut open);
    done
}

fn with_each(paths: &[Vec<u8>], ends: &[&str]) -> Vec<Vec<u8>> {
    paths.iter().flat_map(|path| ends.iter().map(move |end| [path, end.as_bytes()].concat())).collect()
}

impl RouteIndex {
    fn add(&mut self, position: u32, program: &Program) {
        let list = match catch_all_prefix(program) {
            _ if program.catch_all => &mut self.all,
            Some(prefix) => self.under_prefix.entry(prefix.to_ascii_lowercase()).or_default(),
            None => self.same_path.entry(key(program)).or_default(),
        };
        if list.len() < MAX_CANDIDATES {
            list.push(position);
        }
    }

    fn candidates(&self, route: &Route) -> impl Iterator<Item = u32> {
        let program = route.spec.template.program();
        let same = self.same_path.get(&key(program)).into_iter().flatten();
        let below = literal_prefixes(program)
            .into_iter()
            .filter_map(|cut| self.under_prefix.get(&cut.to_ascii_lowercase()))
            .flatten();
        same.chain(below).chain(&self.all).copied()
    }
}

impl Route {
    /// Whether every request of `other` matches this route too. The templates have been compared already.
    fn subsumes(&self, other: &Route) -> bool {
        self.covers_conditions(other)
            && subsumes_path(self.spec.template.program(), other.spec.template.program())
    }
}

impl Route {
    /// Whether its methods, listeners and headers are no narrower.
    fn covers_conditions(&self, other: &Route) -> bool {
        self.methods.is_superset(&other.methods)
            && self.covers_listeners(other)
            && self.spec.headers.is_implied_by(&other.spec.headers)
    }

    /// Whether it accepts requests on every listener of the other one.
    fn covers_listeners(&self, other: &Route) -> bool {
        let others = &other.spec.listeners;
        self.spec.listeners.is_empty()
            || !others.is_empty() && others.iter().all(|name| self.accepts_listener(name))
    }
}

fn subsumes_path(a: &Program, b: &Program) -> bool {
    if a.catch_all || a.any_case {
        return true;
    }
    let below = || catch_all_prefix(a).is_some_and(|prefix| literal_prefixes(b).contains(&prefix));
    !b.any_case && (a.ops == b.ops && a.query == b.query || below())
}

/// Programs that are equal ignoring case have equal keys.
fn key(program: &Program) -> Vec<u8> {
    let mut key = vec![u8::from(program.query), u8::from(program.catch_all)];
    for op in &program.ops {
        key.push(match op {
            Op::Text(_) => 0,
            Op::Segment => 1,
            Op::CatchAll => 2,
            Op::Query { .. } => 3,
            Op::OptionalTail => 4,
            Op::OptionalSlash => 5,
            Op::End => 6,
        });
        if let Op::Text(text) = op {
            key.extend_from_slice(&text.len().to_le_bytes());
            key.extend(text.iter().map(u8::to_ascii_lowercase));
        }
    }
    key
}

/// The literal path of a program that matches it and everything below it: `/a/b` of `/a/b/{rest}`.
fn catch_all_prefix(program: &Program) -> Option<&[u8]> {
    match &program.ops[..] {
        [Op::Text(prefix), Op::OptionalTail, Op::Text(_), Op::CatchAll, Op::End] if !program.query => {
            Some(prefix)
        }
        _ => None,
    }
}

/// The literal paths that every path of this program equals or is below.
fn literal_prefixes(program: &Program) -> Vec<&[u8]> {
    let Some(Op::Text(text)) = program.ops.first() else { return Vec::new() };
    if program.catch_all {
        return Vec::new();
    }
    let slashes = text.iter().enumerate().skip(1).filter(|(_, b)| **b == b'/').map(|(at, _)| &text[..at]);
    let mut cuts: Vec<&[u8]> = slashes.collect();
    if !matches!(program.ops.get(1), Some(Op::Text(_) | Op::Segment | Op::CatchAll)) {
        cuts.push(text);
    }
    cuts
}

#[cfg(test)]
mod tests {
    use crate::plan::routing::{HeaderTemplates, RouteSpec, RouteTable, RoutingRules, Template};

    /// Routes written as `template methods host header priority`.
    fn unreachable_routes(routes: &[(&str, &[&str], &str, &str, i64)]) -> Vec<(usize, usize)> {
        let spec = |(index, route): (usize, &(&str, &[&str], &str, &str, i64))| RouteSpec {
            index,
            template: Template::compile(route.0, false, &RoutingRules::default()).unwrap(),
            methods: route.1.iter().map(|m| (*m).to_owned()).collect(),
            host: Some(route.2.to_owned()),
            headers: match route.3 {
                "" => HeaderTemplates::default(),
                value => HeaderTemplates::compile(&[("X".to_owned(), value.to_owned())], false).unwrap(),
            },
            listeners: Vec::new(),
            priority: route.4,
        };
        RouteTable::new(routes.iter().enumerate().map(spec).collect(), RoutingRules::default())
            .unreachable_routes()
    }

    #[test]
    fn the_same_template_under_other_names_is_shadowed() {
        assert_eq!(unreachable_routes(&[("/a/{x}", &[], "", "", 1), ("/A/{y}", &[], "", "", 1)]), [(1, 0)]);
        assert_eq!(unreachable_routes(&[("/a", &[], "", "", 1), ("/a", &[], "", "", 2)]), [(0, 1)]);
        assert_eq!(unreachable_routes(&[("/a", &[], "", "", 1), ("/a/", &[], "", "", 1)]), []);
    }

    #[test]
    fn everything_below_a_path_shadows_what_is_there() {
        let open: (&str, &[&str], &str, &str, i64) = ("/a/{rest}", &[], "", "", 1);
        for template in ["/a", "/a/", "/a/b", "/a/{x}/c", "/a?x={x}", "/a/b/{y}", "/a/x{y}"] {
            assert_eq!(unreachable_routes(&[open, (template, &[], "", "", 1)]), [(1, 0)], "{template}");
        }
        for template in ["/ab", "/{x}/b", "/b/a", "/a{x}/b", "/{all}"] {
            assert_eq!(unreachable_routes(&[open, (template, &[], "", "", 1)]), [], "{template}");
        }
        assert_eq!(unreachable_routes(&[("/{all}", &[], "", "", 9), ("/x?y={z}", &[], "", "", 0)]), [(1, 0)]);
        assert_eq!(unreachable_routes(&[("/{all}", &[], "", "", 9), ("/x", &[], "", "", 1)]), []);
    }

    #[test]
    fn a_placeholder_that_may_be_empty_shadows_the_path_without_it() {
        for (earlier, later) in [
            ("/a/{x}/{y}", "/a/b/"),
            ("/a{x}", "/a"),
            ("/a{x}", "/ab/c"),
            ("/a/{x}/{y}", "/a/{x}/c/{z}"),
            ("/a/b{x}", "/a/b/{y}"),
            ("/{x}/b/{y}", "/a/b/c"),
        ] {
            let routes: [(&str, &[&str], &str, &str, i64); 2] =
                [(earlier, &[], "", "", 1), (later, &[], "", "", 1)];
            assert_eq!(unreachable_routes(&routes), [(1, 0)], "{earlier} {later}");
        }
        for (earlier, later) in [("/a/{x}/{y}", "/a/{x}"), ("/a{x}", "/{y}b"), ("/a/{x}/b", "/a/{y}/{z}")] {
            let routes: [(&str, &[&str], &str, &str, i64); 2] =
                [(earlier, &[], "", "", 1), (later, &[], "", "", 1)];
            assert_eq!(unreachable_routes(&routes), [], "{earlier} {later}");
        }
    }

    #[test]
    fn more_conditions_shadow_nothing() {
        assert_eq!(unreachable_routes(&[("/a", &["GET"], "", "", 1), ("/a", &[], "", "", 1)]), []);
        assert_eq!(
            unreachable_routes(&[("/a", &["GET", "PUT"], "", "", 1), ("/a", &["get"], "", "", 1)]),
            [(1, 0)]
        );
        assert_eq!(unreachable_routes(&[("/a", &[], "", "v", 1), ("/a", &[], "", "", 1)]), []);
        assert_eq!(unreachable_routes(&[("/a", &[], "", "v", 1), ("/a", &[], "", "v", 1)]), [(1, 0)]);
        assert_eq!(unreachable_routes(&[("/a", &[], "h", "", 1), ("/a", &[], "", "", 1)]), []);
        assert_eq!(unreachable_routes(&[("/a", &[], "", "", 9), ("/a", &[], "h", "", 1)]), []);
        assert_eq!(unreachable_routes(&[("/a", &[], "h", "", 1), ("/a", &[], "H", "", 1)]), [(1, 0)]);
    }
}
