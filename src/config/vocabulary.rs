//! The setting names of the configuration documents, passed in by `plan`, which owns the documents: merge and policies
//! compare names and need nothing else of a document.

use super::de::{Options, field_names, read};
use super::diagnostics::Diagnostics;
use super::node::Node;
use serde::de::DeserializeOwned;

/// The setting names of each document.
#[derive(Clone, Copy, Debug)]
pub struct Vocabulary {
    pub document: &'static [&'static str],
    pub global: &'static [&'static str],
    pub route: &'static [&'static str],
    pub dynamic_route: &'static [&'static str],
    /// The settings of routes of connections and datagrams; empty if the document has none.
    pub transport_route: &'static [&'static str],
    pub policy: &'static [&'static str],
    /// Deserializes a policy file for its diagnostics.
    pub check_policy: fn(&Node, &mut Diagnostics, Options),
}

impl Vocabulary {
    /// The names of these document types.
    pub fn of<Document, Global, Route, DynamicRoute, Policy>() -> Vocabulary
    where
        Document: DeserializeOwned,
        Global: DeserializeOwned,
        Route: DeserializeOwned,
        DynamicRoute: DeserializeOwned,
        Policy: DeserializeOwned + Default,
    {
        Vocabulary {
            document: field_names::<Document>(),
            global: field_names::<Global>(),
            route: field_names::<Route>(),
            dynamic_route: field_names::<DynamicRoute>(),
            transport_route: &[],
            policy: field_names::<Policy>(),
            check_policy: |tree, diagnostics, options| drop(read::<Policy>(tree, diagnostics, options)),
        }
    }
}

/// Whether the list contains a name, case-insensitive.
pub(super) fn has_name(names: &[&str], name: &str) -> bool {
    names.iter().any(|known| known.eq_ignore_ascii_case(name))
}
