//! From the match order of a source to the order of margay's route table.
//!
//! margay matches routes with a host first, then by priority, then in the order of the file, and `/{name}` always has
//! priority 0. Routes without a host that the source matches before one with a host are repeated for that host.

use super::report::Report;
use super::route_draft::{PathSegments, RouteDraft, UniqueNames};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// The methods of a route without methods, where another route of its path has some of them.
const METHODS: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"];

/// Path, host and headers of a route.
type Condition = (String, Option<String>, Vec<(String, String)>);

/// Maximum number of routes that are repeated for hosts.
const MAX_HOST_COPIES: usize = 10_000;

/// The routes of the result; `drafts` are in the match order of the source.
pub fn into_routes(drafts: Vec<RouteDraft>, report: &mut Report) -> Vec<Value> {
    let mut drafts = without_duplicates(with_host_copies(drafts, report), report);
    set_priorities(&mut drafts);
    let mut names = UniqueNames::default();
    for draft in &mut drafts {
        draft.key = names.claim(&draft.key);
    }
    drafts.into_iter().map(RouteDraft::into_value).collect()
}

/// Adds a copy of a route without a host for every host that has an overlapping route after it.
fn with_host_copies(drafts: Vec<RouteDraft>, report: &mut Report) -> Vec<RouteDraft> {
    let mut by_host: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (at, draft) in drafts.iter().enumerate() {
        if let Some(host) = &draft.host {
            by_host.entry(host.clone()).or_default().push(at);
        }
    }
    let paths: Vec<PathSegments> = drafts.iter().map(|draft| PathSegments::new(&draft.path)).collect();
    let is_shared = |one: usize, other: usize| {
        share_methods(&drafts[one], &drafts[other]) && paths[one].may_overlap(&paths[other])
    };
    let mut copies = 0;
    let mut ordered = Vec::with_capacity(drafts.len());
    for (at, draft) in drafts.iter().enumerate() {
        for (host, positions) in by_host.iter().filter(|_| draft.host.is_none()) {
            let mut later = positions[positions.partition_point(|other| *other < at)..].iter();
            if copies < MAX_HOST_COPIES && later.any(|other| is_shared(at, *other)) {
                copies += 1;
                report.change(
                    &draft.position,
                    "repeated for each host that a later route has: margay matches routes with a host first",
                );
                ordered.push(RouteDraft {
                    key: format!("{}@{host}", draft.key),
                    host: Some(host.clone()),
                    ..draft.clone()
                });
            }
        }
        ordered.push(draft.clone());
    }
    if copies == MAX_HOST_COPIES {
        report.change(
            "Routes",
            "too many routes without a host precede routes with a host: check the match order",
        );
    }
    ordered
}

/// Removes methods that an earlier route of the same path, host and headers matches: margay refuses equal routes with a
/// method in common.
fn without_duplicates(drafts: Vec<RouteDraft>, report: &mut Report) -> Vec<RouteDraft> {
    let mut matched: BTreeMap<Condition, Vec<String>> = BTreeMap::new();
    let mut remaining = Vec::with_capacity(drafts.len());
    for mut draft in drafts {
        let mut headers = draft.headers.clone();
        headers.sort();
        let taken = matched.entry((draft.path.clone(), draft.host.clone(), headers)).or_default();
        let is_any = draft.methods.is_empty();
        if is_any && !taken.is_empty() {
            let message = "matches the standard methods that no earlier route of its path matches";
            report.change(&draft.position, message);
            draft.methods = METHODS.map(str::to_owned).to_vec();
        }
        draft.methods.retain(|method| !taken.contains(method));
        if draft.methods.is_empty() && !(is_any && taken.is_empty()) {
            report.skip(&draft.position, "never matches: earlier routes match the same requests");
            continue;
        }
        taken.extend(if is_any { METHODS.map(str::to_owned).to_vec() } else { draft.methods.clone() });
        remaining.push(draft);
    }
    remaining
}

/// Whether a method matches both.
fn share_methods(one: &RouteDraft, other: &RouteDraft) -> bool {
    one.methods.is_empty()
        || other.methods.is_empty()
        || one.methods.iter().any(|method| other.methods.contains(method))
}

/// Routes after a `/{name}` of the same host get its priority, so that the order of the file decides.
fn set_priorities(drafts: &mut [RouteDraft]) {
    let mut with_catch_all: BTreeSet<Option<String>> = BTreeSet::new();
    for draft in drafts {
        if draft.is_catch_all() {
            with_catch_all.insert(draft.host.clone());
        } else if with_catch_all.contains(&draft.host) {
            draft.priority = Some(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(key: &str, host: Option<&str>, path: &str) -> RouteDraft {
        RouteDraft {
            key: key.into(),
            host: host.map(str::to_owned),
            path: path.into(),
            ..RouteDraft::default()
        }
    }

    fn keys(drafts: Vec<RouteDraft>) -> Vec<String> {
        let routes = into_routes(drafts, &mut Report::default());
        routes.iter().map(|route| route["Key"].as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn a_route_without_host_before_one_with_a_host_is_repeated_for_it() {
        let drafts =
            vec![draft("api", None, "/api/{x}"), draft("all", Some("h"), "/{x}"), draft("end", None, "/{x}")];
        assert_eq!(keys(drafts), ["api@h", "api", "all", "end"]);
        let apart = vec![draft("a", None, "/a/{x}"), draft("b", Some("h"), "/b/{x}")];
        assert_eq!(keys(apart), ["a", "b"]);
    }

    #[test]
    fn methods_of_earlier_equal_routes_are_removed() {
        let with = |key: &str, methods: &[&str]| RouteDraft {
            methods: methods.iter().map(|method| (*method).to_owned()).collect(),
            ..draft(key, None, "/a/{x}")
        };
        let mut report = Report::default();
        let drafts = vec![
            with("post", &["POST"]),
            with("two", &["POST", "GET"]),
            with("all", &[]),
            with("late", &["PUT"]),
        ];
        let routes = into_routes(drafts, &mut report);
        assert_eq!(routes[1]["UpstreamHttpMethod"], serde_json::json!(["GET"]));
        assert_eq!(routes[2]["UpstreamHttpMethod"].as_array().unwrap().len(), 6, "all but POST and GET");
        assert_eq!(routes.len(), 3);
        assert!(report.to_text().contains("never matches"));
    }

    #[test]
    fn routes_after_a_catch_all_have_its_priority() {
        let routes = into_routes(
            vec![draft("all", None, "/{x}"), draft("b", None, "/b"), draft("c", Some("h"), "/c")],
            &mut Report::default(),
        );
        let priorities: Vec<_> = routes.iter().map(|route| route.get("Priority").cloned()).collect();
        assert_eq!(priorities, [None, None, Some(0.into()), Some(0.into())], "all@h, all, b, c");
    }
}
