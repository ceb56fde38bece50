//! Routes whose order changed, where it decides which of them handles a request.

use crate::plan::blueprint::RouteBlueprint;

/// Pairs of routes, by their indexes in `new`: the first is now matched before the second, was matched after it, and both
/// match some requests. `old[n]` and `new[n]` are the same route, in the order of the old configuration; `positions[n]`
/// is its position in the new one.
pub(super) fn inversions(
    old: &[&RouteBlueprint],
    new: &[&RouteBlueprint],
    positions: &[usize],
) -> Vec<(usize, usize)> {
    let moved = moved(positions);
    let mut pairs = Vec::new();
    for &one in &moved {
        for other in 0..positions.len() {
            let was_before = one < other;
            let is_before = positions[one] < positions[other];
            let is_counted = moved.binary_search(&other).is_ok() && other < one;
            if one == other || was_before == is_before || is_counted {
                continue;
            }
            let overlaps = may_overlap(old[one], old[other]) && may_overlap(new[one], new[other]);
            if overlaps {
                pairs.push(if is_before { (one, other) } else { (other, one) });
            }
        }
    }
    pairs
}

/// The smallest set of routes whose move explains the new order: all but a longest increasing subsequence.
fn moved(positions: &[usize]) -> Vec<usize> {
    let (mut tails, mut previous) = (Vec::<usize>::new(), vec![usize::MAX; positions.len()]);
    for (at, position) in positions.iter().enumerate() {
        let rank = tails.partition_point(|tail| positions[*tail] < *position);
        if let Some(before) = rank.checked_sub(1) {
            previous[at] = tails[before];
        }
        match tails.get_mut(rank) {
            Some(tail) => *tail = at,
            None => tails.push(at),
        }
    }
    let mut stays = vec![false; positions.len()];
    let mut next = tails.last().copied().unwrap_or(usize::MAX);
    while let Some(stay) = stays.get_mut(next) {
        *stay = true;
        next = previous[next];
    }
    (0..positions.len()).filter(|at| !stays[*at]).collect()
}

/// Whether some request may match both routes, and the order decides.
fn may_overlap(one: &RouteBlueprint, other: &RouteBlueprint) -> bool {
    let (a, b) = (&one.matcher, &other.matcher);
    let common =
        |a: &[String], b: &[String]| a.is_empty() || b.is_empty() || a.iter().any(|item| b.contains(item));
    let same_host = match (&a.host, &b.host) {
        (Some(a), Some(b)) => a.eq_ignore_ascii_case(b),
        _ => true,
    };
    a.priority == b.priority
        && same_host
        && common(&a.methods, &b.methods)
        && common(&a.listeners, &b.listeners)
        && paths_overlap(&a.client_path.value, &b.client_path.value)
}

/// Whether some path may match both templates.
fn paths_overlap(a: &str, b: &str) -> bool {
    let bare =
        |template: &str| template.split('?').next().unwrap_or_default().trim_matches('/').to_lowercase();
    let (a, b) = (bare(a), bare(b));
    let (a, b): (Vec<_>, Vec<_>) = (a.split('/').collect(), b.split('/').collect());
    let is_open = |segments: &[&str]| segments.last().is_some_and(|last| last.ends_with('}'));
    if (a.len() < b.len() && !is_open(&a)) || (b.len() < a.len() && !is_open(&b)) {
        return false;
    }
    a.iter().zip(&b).all(|(a, b)| segments_overlap(a, b))
}

fn segments_overlap(a: &str, b: &str) -> bool {
    let literal = |segment: &str| segment.split('{').next().unwrap_or_default().to_owned();
    match (a.contains('{'), b.contains('{')) {
        (false, false) => a == b,
        (true, false) => b.starts_with(&literal(a)),
        (false, true) => a.starts_with(&literal(b)),
        (true, true) => {
            let (a, b) = (literal(a), literal(b));
            a.starts_with(&b) || b.starts_with(&a)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_routes_that_moved_are_the_fewest_that_explain_the_order() {
        assert_eq!(moved(&[0, 1, 2, 3]), [0usize; 0]);
        assert_eq!(moved(&[3, 0, 1, 2]), [0]);
        assert_eq!(moved(&[1, 2, 3, 0]), [3]);
    }

    #[test]
    fn templates_overlap_if_a_path_matches_both() {
        for (a, b, overlap) in [
            ("/a", "/b", false),
            ("/a/{id}", "/a/new", true),
            ("/a/{id}", "/b/{id}", false),
            ("/{everything}", "/b/c/d", true),
            ("/a/{id}/x", "/a/7/y", false),
            ("/v{n}/a", "/v2/a", true),
            ("/v{n}/a", "/w2/a", false),
            ("/A", "/a", true),
        ] {
            assert_eq!(paths_overlap(a, b), overlap, "{a} {b}");
        }
    }
}
