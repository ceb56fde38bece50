//! Which transport route a connection takes, by its server name and its ALPN protocols: a pure function.

use crate::net::client_hello::ClientHello;
use std::collections::HashMap;

/// The conditions of a route on one listener; empty: any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteConditions {
    /// `db.example`, or `*.db.example`, in lower case.
    pub server_names: Vec<String>,
    pub alpn: Vec<String>,
}

/// The condition by which a route was selected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MatchReason {
    /// This name, or `*.` and a parent domain.
    ServerName(Box<str>),
    /// The route has no server names.
    NoCondition,
}

impl MatchReason {
    /// The condition as the document has it; `any` without one.
    pub fn text(&self) -> &str {
        match self {
            MatchReason::ServerName(name) => name,
            MatchReason::NoCondition => "any",
        }
    }
}

/// The routes of one listener.
#[derive(Clone, Debug, Default)]
pub struct TransportRouter {
    exact: HashMap<Box<str>, Candidates>,
    /// Parent domains, without the `*.`.
    wildcard: HashMap<Box<str>, Candidates>,
    any: Candidates,
    /// Whether any route has a condition.
    has_conditions: bool,
}

/// The routes with one server name.
#[derive(Clone, Debug, Default)]
struct Candidates {
    /// Each with its protocols.
    by_alpn: Vec<(Box<[u8]>, usize)>,
    without_alpn: Option<usize>,
}

impl Candidates {
    fn add(&mut self, alpn: &[String], route: usize) {
        if alpn.is_empty() {
            self.without_alpn.get_or_insert(route);
        }
        self.by_alpn.extend(alpn.iter().map(|name| (name.as_bytes().into(), route)));
    }

    fn find(&self, offered: &[Box<[u8]>]) -> Option<usize> {
        let by_alpn = self.by_alpn.iter().find(|(name, _)| offered.contains(name));
        by_alpn.map(|(_, route)| *route).or(self.without_alpn)
    }
}

impl TransportRouter {
    /// The router of these routes, each with its index.
    pub fn new<'c>(routes: impl IntoIterator<Item = (usize, &'c RouteConditions)>) -> TransportRouter {
        let mut router = TransportRouter::default();
        for (route, conditions) in routes {
            let RouteConditions { server_names, alpn } = conditions;
            router.has_conditions |= !server_names.is_empty() || !alpn.is_empty();
            if server_names.is_empty() {
                router.any.add(alpn, route);
            }
            for name in server_names {
                let (table, name) = match name.strip_prefix("*.") {
                    Some(parent) => (&mut router.wildcard, parent),
                    None => (&mut router.exact, name.as_str()),
                };
                table.entry(name.into()).or_default().add(alpn, route);
            }
        }
        router
    }

    /// Whether a connection must be read before its route is known.
    pub fn has_conditions(&self) -> bool {
        self.has_conditions
    }

    /// The route: of those whose conditions hold the one with the same name, else with the longest suffix, else without
    /// names; among these one with protocols before one without. `None`: none matches.
    pub fn find(&self, hello: &ClientHello) -> Option<(usize, MatchReason)> {
        let name = hello.server_name.as_deref();
        self.find_by_name(name, &hello.alpn).or_else(|| {
            let route = self.any.find(&hello.alpn)?;
            Some((route, MatchReason::NoCondition))
        })
    }

    /// The route of a connection that is no TLS, or was not read.
    pub fn find_unconditional(&self) -> Option<usize> {
        self.any.without_alpn
    }

    fn find_by_name(&self, name: Option<&str>, offered: &[Box<[u8]>]) -> Option<(usize, MatchReason)> {
        let name = name?;
        if let Some(route) = self.exact.get(name).and_then(|found| found.find(offered)) {
            return Some((route, MatchReason::ServerName(name.into())));
        }
        let mut rest = name;
        while let Some((label, parent)) = rest.split_once('.') {
            let found = self.wildcard.get(parent).filter(|_| !label.is_empty());
            if let Some(route) = found.and_then(|found| found.find(offered)) {
                return Some((route, MatchReason::ServerName(format!("*.{parent}").into())));
            }
            rest = parent;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conditions(names: &[&str], alpn: &[&str]) -> RouteConditions {
        let owned = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
        RouteConditions { server_names: owned(names), alpn: owned(alpn) }
    }

    fn hello(name: &str, alpn: &[&str]) -> ClientHello {
        let server_name = (!name.is_empty()).then(|| name.into());
        ClientHello { server_name, alpn: alpn.iter().map(|name| name.as_bytes().into()).collect() }
    }

    fn route(routes: &[RouteConditions], name: &str, alpn: &[&str]) -> Option<usize> {
        TransportRouter::new(routes.iter().enumerate()).find(&hello(name, alpn)).map(|(route, _)| route)
    }

    #[test]
    fn the_same_name_precedes_the_longest_suffix_and_both_precede_routes_without_names() {
        let routes = [
            conditions(&["db.example"], &[]),
            conditions(&["*.db.example", "*.shop.example"], &[]),
            conditions(&["*.eu.shop.example"], &[]),
            conditions(&[], &[]),
        ];
        for (name, expected) in [
            ("db.example", 0),
            ("a.db.example", 1),
            ("b.a.db.example", 1),
            ("y.eu.shop.example", 2),
            ("eu.shop.example", 1),
            ("shop.example", 3),
            ("xdb.example", 3),
            ("db.example.", 3),
            (".db.example", 3),
            ("", 3),
        ] {
            assert_eq!(route(&routes, name, &[]), Some(expected), "{name}");
        }
        assert_eq!(route(&routes[..3], "other.example", &[]), None);
    }

    #[test]
    fn of_routes_with_one_name_the_one_whose_protocol_is_offered_is_first() {
        let routes = [
            conditions(&["a.example"], &[]),
            conditions(&["a.example"], &["postgresql"]),
            conditions(&["*.example"], &["h2"]),
        ];
        assert_eq!(route(&routes, "a.example", &["h2", "postgresql"]), Some(1));
        assert_eq!(route(&routes, "a.example", &["h2"]), Some(0));
        assert_eq!(route(&routes, "b.example", &["h2"]), Some(2));
        assert_eq!(route(&routes, "b.example", &[]), None);
        assert_eq!(
            route(&routes[1..], "a.example", &["h2"]),
            Some(1),
            "the condition of the first does not hold"
        );
    }

    #[test]
    fn a_connection_that_is_no_tls_takes_the_route_without_conditions() {
        let with = TransportRouter::new([(0, &conditions(&[], &["h2"])), (1, &conditions(&[], &[]))]);
        assert_eq!(with.find_unconditional(), Some(1));
        assert!(with.has_conditions());
        let without = TransportRouter::new([(0, &conditions(&[], &[]))]);
        assert!(!without.has_conditions());
        assert_eq!(TransportRouter::default().find_unconditional(), None);
    }
}
