//! Claims transformation: what is known of the caller becomes claims, headers, query parameters and path values
//! (spec section 17). A claim that the caller does not have is a 403.

mod add_claims;
mod add_headers;
mod add_queries;
mod change_path;
mod source;

pub use add_claims::{AddClaims, NAME as ADD_CLAIMS};
pub use add_headers::{AddHeaders, NAME as ADD_HEADERS};
pub use add_queries::{AddQueries, NAME as ADD_QUERIES};
pub use change_path::{ChangePath, NAME as CHANGE_PATH};
pub use source::{ClaimPart, ClaimSource};

/// A name (of a claim, header, parameter or placeholder) and the claim that becomes its value.
pub type ClaimMapping = (Box<str>, ClaimSource);

/// The entries in the order of their names, as .NET reads them.
pub fn in_dotnet_order(mut entries: Vec<ClaimMapping>) -> Box<[ClaimMapping]> {
    entries.sort_by_cached_key(|(name, _)| name.to_uppercase());
    entries.into()
}

fn describe(entries: &[ClaimMapping]) -> String {
    let each: Vec<String> = entries.iter().map(|(name, source)| format!("{name} = {source}")).collect();
    each.join(", ")
}

#[cfg(test)]
mod tests;
