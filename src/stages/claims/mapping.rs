//! Entries of claims transformation: a name and the claim that becomes its value.

use super::source::ClaimSource;

/// A name (of a claim, header, parameter or placeholder) and the claim that becomes its value.
pub type ClaimMapping = (Box<str>, ClaimSource);

/// The entries in the order of their names, as .NET reads them.
pub fn in_dotnet_order(mut entries: Vec<ClaimMapping>) -> Box<[ClaimMapping]> {
    entries.sort_by_cached_key(|(name, _)| name.to_uppercase());
    entries.into()
}

pub(super) fn describe(entries: &[ClaimMapping]) -> String {
    let texts: Vec<String> = entries.iter().map(|(name, source)| format!("{name} = {source}")).collect();
    texts.join(", ")
}
