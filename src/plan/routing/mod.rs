//! Routing: finds the route of a request and builds the URL of the request to the backend. Envoy calls this route
//! matching and path rewriting, nginx `location` and `proxy_pass`, YARP routes and transforms.
//!
//! Pure functions over bytes: no sockets, no serde. `path` normalizes the target, `template` and `program` match it,
//! `extract` captures the values, `headers` matches header templates, `table` and `index` find the route, `trace`
//! explains the result, `unreachable` detects routes that can never match, `url` and `query` build the outgoing
//! target. Entry points: [`RouteTable`] and [`UrlTemplate`], owned by the plan and used by `Plan::find` for every
//! request; nothing outlives a reload.

mod escape;
mod extract;
pub mod headers;
mod index;
pub mod path;
mod program;
mod passthrough;
mod query;
mod rules;
mod separators;
mod spelled;
mod unreachable;
pub mod table;
pub mod template;
pub mod trace;
pub mod url;

pub use crate::base::escaped_separators::EscapedSeparators;
pub use crate::base::path_params::{Param, PathParams};
pub use headers::{HeaderLookup, HeaderTemplateError, HeaderTemplates};
pub use passthrough::without_query_rest;
pub use path::{Target, TargetError};
pub use rules::RoutingRules;
pub use table::{Query, RouteSpec, RouteTable};
pub use template::{Template, TemplateError};
pub use trace::{MatchOutcome, RouteTrace};
pub use url::{EmptyPath, UrlTemplate};

#[cfg(test)]
mod tests;
