//! Explains why a request matches its route: for `explain`, with the matcher that serves live traffic.

use super::headers::HeaderLookup;
use super::table::{Method, Query, Route, RouteTable};
use crate::base::path_params::PathParams;

/// The result of one route that was considered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteTrace {
    /// The index of the route.
    pub index: usize,
    /// Its result.
    pub verdict: MatchOutcome,
}

/// The result of one route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MatchOutcome {
    /// It serves the request, with these values.
    Matched {
        /// In the order of [`RouteTable::names`].
        values: PathParams,
    },
    /// It matches too, but another route comes first.
    LowerPriority {
        /// The route that serves the request.
        by: usize,
    },
    /// The path matches, the host does not.
    NoHost,
    /// Path and host match, the listener does not.
    NoListener,
    /// Path, host and listener match, the method does not.
    NoMethod,
    /// Everything matches except this header, which is missing or different.
    NoHeader(String),
    /// The path does not match.
    Path {
        /// How many bytes of the path match.
        matched: usize,
    },
}

impl MatchOutcome {
    /// The distance of a miss; paths with a longer matching prefix are nearer.
    fn miss_distance(&self) -> (u8, std::cmp::Reverse<usize>) {
        let (kind, matched) = match self {
            MatchOutcome::Matched { .. } => (0, 0),
            MatchOutcome::LowerPriority { .. } => (1, 0),
            MatchOutcome::NoHeader(_) => (2, 0),
            MatchOutcome::NoMethod => (3, 0),
            MatchOutcome::NoListener => (4, 0),
            MatchOutcome::NoHost => (5, 0),
            MatchOutcome::Path { matched } => (6, *matched),
        };
        (kind, std::cmp::Reverse(matched))
    }
}

impl RouteTable {
    /// The route that serves the request, those that match too, and the nearest misses; at most `max` of them.
    ///
    /// This visits every route: it is meant for diagnosis, not for traffic.
    pub fn trace<H: HeaderLookup + ?Sized>(&self, query: &Query<'_, H>, max: usize) -> Vec<RouteTrace> {
        let winner = self.find_route(query).map(|route| route.spec.index);
        let consider = |route: &Route| RouteTrace {
            index: route.spec.index,
            verdict: self.verdict(route, query, winner),
        };
        let mut all: Vec<RouteTrace> =
            self.ranked().map(|position| consider(&self.routes[position])).collect();
        all.sort_by_key(|c| c.verdict.miss_distance());
        all.truncate(max);
        all
    }

    /// Every route once, by rank within its host, routes with a host first.
    fn ranked(&self) -> impl Iterator<Item = usize> {
        let own = self.hosts.values().flatten().flat_map(|group| &group.order);
        own.chain(&self.any_host.order).map(|position| *position as usize)
    }

    fn verdict<H: HeaderLookup + ?Sized>(
        &self,
        route: &Route,
        query: &Query<'_, H>,
        winner: Option<usize>,
    ) -> MatchOutcome {
        if let Err(matched) = route.spec.template.matches(query.target) {
            return MatchOutcome::Path { matched };
        }
        let own = self.group(query.host).map(|group| &group.host);
        if !route.host().is_empty() && !own.is_some_and(|host| self.rules.same_host(host, route.host())) {
            return MatchOutcome::NoHost;
        }
        if !route.accepts_listener(query.listener) {
            return MatchOutcome::NoListener;
        }
        if !route.methods.contains(Method::from_name(query.method)) {
            return MatchOutcome::NoMethod;
        }
        if let Err(header) = route.spec.headers.matches(query.headers) {
            return MatchOutcome::NoHeader(header.to_owned());
        }
        match winner {
            Some(by) if by != route.spec.index => MatchOutcome::LowerPriority { by },
            _ => {
                let mut values = PathParams::new();
                route.extract(query, &mut values);
                MatchOutcome::Matched { values }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::routing::{HeaderTemplates, RouteSpec, RoutingRules, Target, Template};

    fn route(index: usize, template: &str, method: &str, host: &str, header: &str) -> RouteSpec {
        let pairs: Vec<(String, String)> = match header {
            "" => Vec::new(),
            header => vec![(header.to_owned(), "1".to_owned())],
        };
        RouteSpec {
            index,
            template: Template::compile(template, false, &RoutingRules::default()).unwrap(),
            methods: vec![method.to_owned()],
            host: Some(host.to_owned()),
            headers: HeaderTemplates::compile(&pairs, false).unwrap(),
            listeners: if header.is_empty() { Vec::new() } else { vec!["in".to_owned()] },
            priority: 1,
        }
    }

    #[test]
    fn the_nearest_misses_come_first_with_their_reasons() {
        let specs = vec![
            route(0, "/orders/{id}", "POST", "", ""),
            route(1, "/orders/{id}/lines/{n}", "GET", "", ""),
            route(2, "/orders/{id}", "GET", "other.example", ""),
            route(3, "/orders/{id}", "GET", "", "X-Beta"),
            route(4, "/orders/{id}", "GET", "", ""),
            route(5, "/{all}", "GET", "", ""),
            route(6, "/catalog", "GET", "", ""),
            RouteSpec { listeners: vec!["out".to_owned()], ..route(7, "/orders/{id}", "GET", "", "") },
        ];
        let table = RouteTable::new(specs, RoutingRules::default());
        let target = Target::normalize(b"/orders/7", false).unwrap();
        let query =
            Query { method: b"GET", host: b"a.example", target: &target, headers: &(), listener: "in" };
        let seen = table.trace(&query, 7);
        let verdict = |index: usize| seen.iter().find(|c| c.index == index).map(|c| c.verdict.clone());
        let mut values = PathParams::new();
        values.push_range(8, 9);
        assert_eq!(seen[0], RouteTrace { index: 4, verdict: MatchOutcome::Matched { values } });
        assert_eq!(verdict(5), Some(MatchOutcome::LowerPriority { by: 4 }));
        assert_eq!(verdict(3), Some(MatchOutcome::NoHeader("X-Beta".to_owned())));
        assert_eq!(verdict(0), Some(MatchOutcome::NoMethod));
        assert_eq!(verdict(7), Some(MatchOutcome::NoListener));
        assert_eq!(verdict(2), Some(MatchOutcome::NoHost));
        assert_eq!(seen[6], RouteTrace { index: 1, verdict: MatchOutcome::Path { matched: 9 } });
        assert_eq!(seen.len(), 7);
    }
}
