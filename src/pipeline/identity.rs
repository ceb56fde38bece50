//! The authenticated user of a request.

use std::sync::Arc;

/// One claim; a name may occur several times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    pub name: Box<str>,
    pub value: Box<str>,
}

/// An authenticated user. Shared by all requests with the same credentials; changed only as a copy.
///
/// ```
/// use margay::pipeline::identity::Identity;
///
/// let mut user = Identity::new("jwt".into());
/// user.add("role", "editor");
/// user.add("role", "admin");
/// assert_eq!(user.claim_values("role").collect::<Vec<_>>(), ["editor", "admin"]);
/// assert_eq!(user.claim_value("Role"), None, "names are case-sensitive");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// The name of the scheme that authenticated the user.
    pub scheme: Arc<str>,
    claims: Vec<Claim>,
}

impl Identity {
    /// An identity without claims, authenticated by this scheme.
    pub fn new(scheme: Arc<str>) -> Identity {
        Identity { scheme, claims: Vec::new() }
    }

    /// Adds a claim.
    pub fn add(&mut self, name: &str, value: &str) {
        self.claims.push(Claim { name: name.into(), value: value.into() });
    }

    /// Replaces the first claim with this name (docs/ocelot-behavior.md, section 17).
    pub fn replace(&mut self, name: &str, value: &str) {
        if let Some(at) = self.claims.iter().position(|claim| &*claim.name == name) {
            self.claims.remove(at);
        }
        self.add(name, value);
    }

    /// All claims, in the order in which they were added.
    pub fn claims(&self) -> &[Claim] {
        &self.claims
    }

    /// The values of the claims with exactly this name.
    pub fn claim_values<'i>(&'i self, name: &'i str) -> impl Iterator<Item = &'i str> {
        self.claims.iter().filter(move |claim| &*claim.name == name).map(|claim| &*claim.value)
    }

    /// The value of the first claim with exactly this name.
    pub fn claim_value(&self, name: &str) -> Option<&str> {
        self.claims.iter().find(|claim| &*claim.name == name).map(|claim| &*claim.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replace_removes_the_first_claim_of_a_name() {
        let mut user = Identity::new("jwt".into());
        user.add("role", "a");
        user.add("role", "b");
        user.replace("role", "c");
        assert_eq!(user.claim_values("role").collect::<Vec<_>>(), ["b", "c"]);
        assert_eq!(user.claim_value("Role"), None);
    }
}
