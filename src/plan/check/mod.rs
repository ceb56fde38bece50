//! Rules that reach across the parts of a document (Ocelot's validation, and ours). Envoy calls this validation,
//! nginx `-t`.
//!
//! Rules do not stop at the first error and do no I/O: every rule reads the document and adds diagnostics. A value
//! that Ocelot rejects is always an error; one that Ocelot starts with is an error in our mode and, under Ocelot
//! compatibility, a warning that describes what Ocelot does with it. The entry point is [`check_document`];
//! `plan::compile` calls it, and checks single routes while it compiles them. Nothing outlives the check.

pub mod aggregates;
mod context;
pub mod duplicates;
pub mod options;
pub mod targets;
pub mod unsupported;
pub mod template;
pub mod values;

pub use crate::config::values::{items, non_blank};
pub use crate::config::{OcelotBehavior, OcelotTolerated};

pub use context::CheckContext;

use crate::config::Diagnostics;
use crate::plan::roles::RolesBlueprint;

/// Checks the document as a whole; the rules of single routes run while the routes are compiled.
pub fn check_document(scope: &CheckContext, diagnostics: &mut Diagnostics) {
    if scope.routes().is_empty()
        && scope.aggregates().is_empty()
        && scope.document.apis.is_none()
        && scope.global.discovery.is_none()
        && items(&scope.document.transport_routes).is_empty()
        && scope.roles.is_none_or(RolesBlueprint::is_empty)
        && non_blank(&scope.document.configuration_store).is_none()
    {
        let span = scope.document.routes.as_ref().map(|routes| routes.span);
        diagnostics.warning(
            crate::config::codes::NO_ROUTES,
            span,
            "there are no routes: every response is 404",
        );
    }
    duplicates::check(scope, diagnostics);
    aggregates::check(scope, diagnostics);
    options::check_global(scope, diagnostics);
}
