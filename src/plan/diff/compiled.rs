//! What configurations compile to, compared without positions and names: the arbiter of whether a difference of
//! documents is one for traffic.

use crate::plan::blueprint::{ClusterBlueprint, RouteBlueprint};
use regex::Regex;
use std::borrow::Cow;
use std::fmt::Debug;
use std::sync::{Arc, OnceLock};

/// Whether two compiled values are the same, wherever they were written. Values whose output differs from one time to the
/// next, such as hash maps, count as different.
pub(super) fn is_same(old: &impl Debug, new: &impl Debug) -> bool {
    fingerprint(old) == fingerprint(new)
}

/// Whether two routes handle their requests in the same way.
pub(super) fn is_same_route(old: &RouteBlueprint, new: &RouteBlueprint) -> bool {
    is_same(&anonymous(old), &anonymous(new))
}

/// Whether two clusters are the same.
pub(super) fn is_same_cluster(old: &ClusterBlueprint, new: &ClusterBlueprint) -> bool {
    is_same(&anonymous_cluster(old), &anonymous_cluster(new))
}

/// The route without its position, its name and the keys of its state.
fn anonymous(route: &RouteBlueprint) -> RouteBlueprint {
    let mut route = route.clone();
    (route.index, route.span) = (0, Default::default());
    for text in [&mut route.name, &mut route.state_key] {
        text.clear();
    }
    route.policies.clear();
    route.matcher.methods.sort();
    route.cluster = Arc::new(anonymous_cluster(&route.cluster));
    route.fallback = route.fallback.map(|cluster| Arc::new(anonymous_cluster(&cluster)));
    for part in route.aggregate.iter_mut().flat_map(|aggregate| &mut aggregate.parts) {
        *part.route = anonymous(&part.route);
    }
    route
}

fn anonymous_cluster(cluster: &ClusterBlueprint) -> ClusterBlueprint {
    ClusterBlueprint { key: String::new(), name: None, ..cluster.clone() }
}

/// The debug output, in which a value has no position, and a default is what is written out.
fn fingerprint(value: &impl Debug) -> String {
    static SPAN: OnceLock<Option<Regex>> = OnceLock::new();
    let pattern = r"Some\(Span \{[^}]*\}\)|Span \{[^}]*\}";
    let text = format!("{value:?}");
    match SPAN.get_or_init(|| Regex::new(pattern).ok()) {
        Some(span) => match span.replace_all(&text, "None") {
            Cow::Borrowed(_) => text,
            Cow::Owned(stripped) => stripped,
        },
        None => text,
    }
}
