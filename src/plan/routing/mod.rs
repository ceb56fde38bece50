//! Routing: the request target, path templates, the route table, and the URL that is sent on.
//!
//! Pure functions over bytes: no sockets, no serde. `path` normalises, `template` and `program` match, `extract` takes
//! the values, `headers` matches header templates, `table` finds the route,
//! `trace` says why, `shadow` which can never be found, `url` and `query` write what is sent on.

mod escape;
mod extract;
pub mod headers;
mod index;
pub mod path;
mod program;
mod query;
mod rules;
mod unreachable;
pub mod table;
pub mod template;
pub mod trace;
pub mod url;

pub use crate::base::path_params::{Param, PathParams};
pub use headers::{HeaderLookup, HeaderTemplateError, HeaderTemplates};
pub use path::{Target, TargetError};
pub use rules::RoutingRules;
pub use table::{Query, RouteSpec, RouteTable};
pub use template::{Template, TemplateError};
pub use trace::{MatchOutcome, RouteTrace};
pub use url::{EmptyPath, UrlTemplate};

#[cfg(test)]
mod tests;
