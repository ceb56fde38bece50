//! The APIs and revisions of the document, with what they inherit.

use super::operations;
use crate::{
    config::{
        Diagnostics, Node, Span, codes, de,
        node::{Member, Value as NodeValue},
        policies::merge::merge_over,
        suggest,
    },
    plan::document::{RouteDocument, apis::ApiDocument},
    stages::program::entities::Operation,
};
use std::sync::Arc;

/// What a revision may not change.
const FIXED: [&str; 6] = ["Path", "DisplayName", "Type", "SubscriptionRequired", "VersionSet", "Version"];

/// One API of the document, with what it inherits.
pub(super) struct ApiSource {
    pub(super) id: String,
    pub(super) base_id: String,
    pub(super) revision: String,
    pub(super) key_span: Span,
    pub(super) node: Node,
    pub(super) own: ApiDocument,
    pub(super) is_current: bool,
}

/// The APIs, revisions behind the API that they inherit from.
pub(super) fn api_sources(root: Option<&Node>, diagnostics: &mut Diagnostics) -> Vec<ApiSource> {
    let Some(apis) = root.and_then(|root| root.get_ignore_case("Apis")) else { return Vec::new() };
    let mut all = Vec::new();
    for member in apis.members() {
        let id = member.key.value.to_string();
        let (base_id, revision) = match id.split_once(";rev=") {
            Some((base, revision)) => (base.to_owned(), revision.to_owned()),
            None => (id.clone(), "1".to_owned()),
        };
        let is_current = base_id == id;
        let mut node = member.value.clone();
        if !is_current {
            let Some(base) = apis.get_ignore_case(&base_id) else {
                diagnostics.error(
                    codes::UNKNOWN_ENTITY,
                    member.key.span,
                    format!("there is no API \"{base_id}\" of this revision"),
                );
                continue;
            };
            for fixed in FIXED.iter().filter_map(|name| node.member_ignore_case(name)) {
                let message = format!("a revision may not change {}", fixed.key.value);
                diagnostics.error(codes::API_ENTITY, fixed.key.span, message);
            }
            node = inherited(base, node);
        }
        let own = own_settings(&mut node, diagnostics);
        all.push(ApiSource { id, base_id, revision, key_span: member.key.span, node, own, is_current });
    }
    all
}

/// A revision with what it inherits of its API.
fn inherited(base: &Node, revision: Node) -> Node {
    let mut weak = base.clone();
    for name in ["IsOnline", "RevisionDescription", "Operations"] {
        if name != "Operations" || revision.get_ignore_case(name).is_some() {
            weak.remove_ignore_case(name);
        }
    }
    // The service is that of the revision, whichever setting names it.
    if revision.get_ignore_case("Backend").is_some() || revision.get_ignore_case("ServiceUrl").is_some() {
        weak.remove_ignore_case("Backend");
        weak.remove_ignore_case("ServiceUrl");
    }
    merge_over(&weak, revision)
}

/// Takes the settings of [`ApiDocument`] out of a node; what is left are options of routes.
fn own_settings(node: &mut Node, diagnostics: &mut Diagnostics) -> ApiDocument {
    let names = de::field_names::<ApiDocument>();
    let is_own = |member: &Member| names.iter().any(|name| name.eq_ignore_ascii_case(&member.key.value));
    let span = node.span;
    let Some(members) = node.members_mut() else { return ApiDocument::default() };
    let own: Vec<Member> = members.iter().filter(|member| is_own(member)).cloned().collect();
    members.retain(|member| !is_own(member));
    let route = de::field_names::<RouteDocument>();
    members.retain(|member| {
        let name = &*member.key.value;
        let is_option = name.to_ascii_lowercase().ends_with("options");
        let is_of_route = is_option || route.iter().any(|known| known.eq_ignore_ascii_case(name));
        let near = suggest::closest_match(name, names.iter().copied()).filter(|_| !is_of_route);
        if let Some(near) = near {
            diagnostics
                .error(codes::UNKNOWN_KEY, member.key.span, format!("unknown setting \"{name}\""))
                .help(format!("did you mean \"{near}\"?"));
        }
        near.is_none()
    });
    let own = Node::new(span, NodeValue::Object(own));
    de::read(&own, diagnostics, de::Options { ocelot: false })
}

/// The operations of an API.
pub(super) fn read_operations(api: &ApiSource, diagnostics: &mut Diagnostics) -> Vec<Arc<Operation>> {
    let entries = api.own.operations.iter().flat_map(|map| map.iter());
    entries.filter_map(|(id, operation)| operations::operation(id, operation, diagnostics)).collect()
}
