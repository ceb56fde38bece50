//! Claims transformation: claims of the caller become claims, headers, query parameters and path values
//! (docs/ocelot-behavior.md, section 17). A missing claim is a 403.
//!
//! - Elsewhere: Envoy `jwt_authn` `claim_to_headers`, YARP request transforms, ASP.NET claims transformation.
//! - Entry points: the stages `AddClaims`, `AddHeaders`, `AddQueries` and `ChangePath`; `ClaimSource::parse` for expressions.
//! - Callers: `plan::compile` parses the expressions and sets the stages of the route.
//! - Owns: the compiled mappings. Nothing outlives a reload.

mod add_claims;
mod add_headers;
mod add_queries;
mod change_path;
mod mapping;
pub mod compile;
pub mod options;
mod source;

pub use add_claims::{AddClaims, NAME as ADD_CLAIMS};
pub use add_headers::{AddHeaders, NAME as ADD_HEADERS};
pub use add_queries::{AddQueries, NAME as ADD_QUERIES};
pub use change_path::{ChangePath, NAME as CHANGE_PATH};
pub use mapping::{ClaimMapping, in_dotnet_order};
pub use source::{ClaimPart, ClaimSource};

#[cfg(test)]
mod tests;
