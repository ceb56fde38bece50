//! Which routes aggregates call, and which placeholders they may use.

use crate::plan::check::{CheckContext, items, template};
use crate::plan::document::{AggregateDocument, RouteDocument};
use crate::plan::routing::RouteSpec;
use std::collections::HashMap;

/// The routes that aggregates call: they also have the values of the aggregate's placeholders.
#[derive(Default)]
pub struct AggregateMembers<'d>(HashMap<&'d str, Vec<&'d AggregateDocument>>);

impl<'d> AggregateMembers<'d> {
    /// Collects the aggregates of the document by the keys of the routes that they call.
    pub fn new(scope: &CheckContext<'d>) -> Self {
        let mut members: HashMap<&str, Vec<_>> = HashMap::new();
        for aggregate in scope.aggregates() {
            for key in items(&aggregate.route_keys) {
                members.entry(key.as_str()).or_default().push(&aggregate.value);
            }
        }
        AggregateMembers(members)
    }

    /// The names of the route's own values, in the order of [`crate::plan::routing::RouteTable::names`], followed by
    /// those that have a value only where an aggregate calls the route.
    pub fn names(&self, route: &RouteDocument, spec: &RouteSpec) -> Vec<Box<str>> {
        let mut names: Vec<Box<str>> =
            spec.template.names().iter().chain(spec.headers.names()).cloned().collect();
        let aggregates =
            route.key.as_ref().and_then(|key| self.0.get(key.as_str())).map_or(&[][..], |all| all);
        for aggregate in aggregates {
            let path = aggregate.client_path.iter().flat_map(|path| template::placeholders(path).0);
            names.extend(path.map(|placeholder| placeholder.name.into()));
            let headers = aggregate.header_templates.iter().flat_map(|map| map.iter());
            let inner = headers.filter_map(|(_, text)| text.as_ref()).flat_map(|text| header_names(text));
            names.extend(inner.map(Into::into));
            let calls = items(&aggregate.route_keys_config).iter();
            names.extend(calls.filter_map(|call| call.parameter.as_ref()).map(|name| name.as_str().into()));
        }
        names
    }
}

/// The names in `{header:name}`.
fn header_names(template: &str) -> impl Iterator<Item = &str> {
    template.split("{header:").skip(1).filter_map(|rest| Some(rest.split_once('}')?.0))
}
