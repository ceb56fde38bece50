//! The table of paths, from the APIs.

use super::{
    blueprint::ApiBlueprint,
    sources::ApiSource,
    subscriptions::choice,
    table::{ApiTable, OperationEntry, PathEntry, VersionEntry, VersionPlace},
};
use crate::{
    config::{
        Diagnostics, Spanned, codes,
        ids::{Ids, report_unknown},
    },
    plan::{blueprint::RouteBlueprint, check::CheckContext},
};

/// Where versions are.
const SCHEMES: [&str; 3] = ["Segment", "Query", "Header"];

/// The table of paths.
pub(super) fn table(
    scope: &CheckContext,
    sources: &[ApiSource],
    apis: &[ApiBlueprint<RouteBlueprint>],
    diagnostics: &mut Diagnostics,
) -> ApiTable {
    check_version_sets(scope, diagnostics);
    let mut table = ApiTable::default();
    let mut groups: Vec<(String, PathEntry, String)> = Vec::new();
    for (source, (index, blueprint)) in sources.iter().zip(apis.iter().enumerate()) {
        let api = &blueprint.api;
        let version = version_place(scope, source, diagnostics);
        let host = blueprint.route.matcher.host.clone().unwrap_or_default();
        let listeners = blueprint.route.matcher.listeners.clone();
        let set = source.own.version_set.as_ref().map(|set| set.to_lowercase()).unwrap_or_default();
        let key =
            format!("{}\n{}\n{}\n{}", api.path.to_lowercase(), host.to_lowercase(), listeners.join(","), set);
        if !groups.iter().any(|(known, ..)| *known == key) {
            let entry = PathEntry { host, listeners, version, apis: Vec::new() };
            groups.push((key.clone(), entry, api.path.clone()));
        }
        let Some((_, entry, _)) = groups.iter_mut().find(|(known, ..)| *known == key) else { continue };
        add_version(entry, source, index, blueprint, diagnostics);
    }
    for (_, entry, path) in groups {
        table.add(&path, entry);
    }
    table
}

fn add_version(
    entry: &mut PathEntry,
    source: &ApiSource,
    index: usize,
    blueprint: &ApiBlueprint<RouteBlueprint>,
    diagnostics: &mut Diagnostics,
) {
    let version = blueprint.api.version.to_lowercase();
    let at = match entry.apis.iter().position(|known| known.version == version) {
        Some(at) => at,
        None => {
            entry.apis.push(VersionEntry { version, ..VersionEntry::default() });
            entry.apis.len() - 1
        }
    };
    let known = &mut entry.apis[at];
    let mut names = vec![source.revision.clone()];
    if source.is_current {
        names.push(String::new());
        if known.revisions.contains_key("") {
            let message = format!("two APIs have the path /{} and the same version", blueprint.api.path);
            diagnostics.error(codes::API_ENTITY, source.key_span, message);
        }
    }
    if source.own.is_online.as_ref().is_none_or(|online| online.value) {
        known.revisions.extend(names.into_iter().map(|name| (name, index)));
    } else {
        known.revisions.retain(|name, _| !names.contains(name));
    }
    let mut operations: Vec<OperationEntry> = blueprint
        .operations
        .iter()
        .enumerate()
        .map(|(index, one)| OperationEntry { operation: one.operation.clone(), index })
        .collect();
    operations.sort_by_key(|one| one.operation.template.rank());
    known.operations.insert(index, operations);
}

/// Every version set, also one without APIs.
fn check_version_sets(scope: &CheckContext, diagnostics: &mut Diagnostics) {
    for (id, set) in scope.document.version_sets.iter().flat_map(|map| map.iter()) {
        let needed = match choice(&set.scheme, &SCHEMES, diagnostics).as_str() {
            "Query" => ("QueryName", &set.query_name),
            "Header" => ("HeaderName", &set.header_name),
            _ => continue,
        };
        if needed.1.as_ref().is_none_or(|name| name.trim().is_empty()) {
            let message = format!("the version set \"{}\" needs {}", id.value, needed.0);
            diagnostics.error(codes::API_ENTITY, set.span, message);
        }
    }
}

fn version_place(scope: &CheckContext, source: &ApiSource, diagnostics: &mut Diagnostics) -> VersionPlace {
    let Some(name) = &source.own.version_set else { return VersionPlace::None };
    let sets = || scope.document.version_sets.iter().flat_map(|map| map.iter());
    let Some((_, set)) = sets().find(|(id, _)| id.eq_ignore_ascii_case(name)) else {
        let ids = Ids::new(sets().map(|(id, _)| id.as_str()));
        report_unknown("version set", name, name.span, &ids, diagnostics);
        return VersionPlace::None;
    };
    let text = |setting: &Option<Spanned<String>>| {
        setting.as_ref().map(|text| text.value.clone()).unwrap_or_default()
    };
    match choice(&set.scheme, &SCHEMES, &mut Diagnostics::default()).as_str() {
        "Query" => VersionPlace::Query(text(&set.query_name)),
        "Header" => VersionPlace::Header(text(&set.header_name)),
        _ => VersionPlace::Segment,
    }
}
