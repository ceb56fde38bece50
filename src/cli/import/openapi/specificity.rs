//! The order of routes in which concrete paths are matched before templates (OpenAPI, Path Templating Matching), and the
//! order of the document otherwise.

use crate::cli::import::route_draft::{PathSegments, RouteDraft};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Up to this number of routes, only overlapping ones change their order; more are sorted.
const MAX_COMPARED_ROUTES: usize = 10_000;

/// How specific each segment is, from the left; smaller values first.
fn specificity(draft: &RouteDraft) -> (Vec<u8>, bool, usize) {
    let (path, query) =
        draft.path.split_once('?').map_or((draft.path.as_str(), ""), |(path, query)| (path, query));
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    let spans = path.ends_with('}');
    let class = |(at, segment): (usize, &&str)| match (segment.starts_with('{'), segment.ends_with('}')) {
        _ if !segment.contains('{') => 0,
        (true, true) if spans && at + 1 == segments.len() => 3,
        (true, true) if segment.matches('{').count() == 1 => 2,
        _ => 1,
    };
    let classes = segments.iter().enumerate().map(class).collect();
    (classes, query.is_empty(), usize::MAX - draft.headers.len())
}

/// Sorts routes so that none is hidden by a less specific one that matches the same requests.
pub fn sort(drafts: Vec<RouteDraft>) -> Vec<RouteDraft> {
    let ranks: Vec<_> = drafts.iter().map(specificity).collect();
    if drafts.len() > MAX_COMPARED_ROUTES {
        let mut order: Vec<usize> = (0..drafts.len()).collect();
        order.sort_by(|a, b| ranks[*a].cmp(&ranks[*b]));
        return pick(drafts, &order);
    }
    let order = topological_order(&drafts, &ranks);
    pick(drafts, &order)
}

/// Each route after the more specific ones that match some of its requests, in the given order otherwise.
fn topological_order(drafts: &[RouteDraft], ranks: &[(Vec<u8>, bool, usize)]) -> Vec<usize> {
    let paths: Vec<PathSegments> = drafts.iter().map(|draft| PathSegments::new(&draft.path)).collect();
    let (mut waits_for, mut successors) = (vec![0_usize; drafts.len()], vec![Vec::new(); drafts.len()]);
    for (at, rank) in ranks.iter().enumerate() {
        for (other, earlier) in ranks[..at].iter().enumerate() {
            if rank == earlier || !paths[at].may_overlap(&paths[other]) {
                continue;
            }
            let (first, second) = if rank < earlier { (at, other) } else { (other, at) };
            successors[first].push(second);
            waits_for[second] += 1;
        }
    }
    release_in_order(waits_for, &successors)
}

/// Each item after the ones it waits for, in the given order otherwise.
fn release_in_order(mut waits_for: Vec<usize>, successors: &[Vec<usize>]) -> Vec<usize> {
    let mut ready: BinaryHeap<Reverse<usize>> =
        (0..waits_for.len()).filter(|at| waits_for[*at] == 0).map(Reverse).collect();
    let mut order = Vec::with_capacity(waits_for.len());
    while let Some(Reverse(at)) = ready.pop() {
        order.push(at);
        for next in &successors[at] {
            waits_for[*next] -= 1;
            if waits_for[*next] == 0 {
                ready.push(Reverse(*next));
            }
        }
    }
    order
}

fn pick(drafts: Vec<RouteDraft>, order: &[usize]) -> Vec<RouteDraft> {
    let mut drafts: Vec<Option<RouteDraft>> = drafts.into_iter().map(Some).collect();
    order.iter().filter_map(|at| drafts.get_mut(*at)?.take()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(paths: &[&str]) -> Vec<String> {
        let draft = |path: &&str| RouteDraft {
            path: (*path).to_owned(),
            methods: vec!["GET".to_owned()],
            ..RouteDraft::default()
        };
        sort(paths.iter().map(draft).collect()).into_iter().map(|draft| draft.path).collect()
    }

    #[test]
    fn concrete_paths_precede_templates_and_the_rest_keeps_its_order() {
        assert_eq!(
            sorted(&["/z", "/pets/{id}/", "/a", "/pets/mine", "/pets/{id}.json/"]),
            ["/z", "/a", "/pets/mine", "/pets/{id}.json/", "/pets/{id}/"]
        );
        assert_eq!(sorted(&["/{a}/y/", "/x/z", "/x/{b}/"]), ["/x/z", "/x/{b}/", "/{a}/y/"]);
        assert_eq!(sorted(&["/f/{path}", "/f/a/b"]), ["/f/a/b", "/f/{path}"]);
        assert_eq!(sorted(&["/", "/?a=b"]), ["/?a=b", "/"]);
    }
}
