//! The rules of a document that reach across its parts (Ocelot's validation, and ours).
//!
//! Nothing here stops at the first mistake and nothing here touches the world: every rule reads the document and
//! adds diagnostics. A value that Ocelot refuses is an error always; one that Ocelot starts with is an error for us
//! and, under Ocelot compatibility, a warning that says what Ocelot does with it.

pub mod aggregates;
mod context;
pub mod duplicates;
pub mod options;
pub mod unsupported;
pub mod template;
pub mod values;

pub use crate::config::values::{items, non_blank};
pub use crate::config::{OcelotBehavior, OcelotTolerated};

pub use context::CheckContext;

use crate::config::Diagnostics;

/// The rules that look at the document as a whole; those of single routes run while the routes are compiled.
pub fn check_document(scope: &CheckContext, diagnostics: &mut Diagnostics) {
    if scope.routes().is_empty()
        && scope.aggregates().is_empty()
        && scope.global.discovery.is_none()
        && non_blank(&scope.document.configuration_store).is_none()
    {
        let place = scope.document.routes.as_ref().map(|routes| routes.span);
        diagnostics.warning(
            crate::config::codes::NO_ROUTES,
            place,
            "there are no routes: every request is answered with 404",
        );
    }
    duplicates::check(scope, diagnostics);
    aggregates::check(scope, diagnostics);
    options::check_global(scope, diagnostics);
}
