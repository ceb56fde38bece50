//! `AddClaimsToRequest`: claims out of claims, before anybody is judged by them.

use super::{Entry, describe, sorted};
use crate::pipeline::{
    exchange::Exchange,
    stage::{Stage, Step},
};
use std::sync::Arc;

pub const NAME: &str = "claims-to-claims";

/// Gives the caller claims; the first claim of the same type goes.
#[derive(Debug)]
pub struct AddClaims(Box<[Entry]>);

impl AddClaims {
    pub fn new(entries: Vec<Entry>) -> AddClaims {
        AddClaims(sorted(entries))
    }
}

impl Stage for AddClaims {
    fn name(&self) -> &'static str {
        NAME
    }

    /// The identity is shared with other requests of the same token: this one gets a copy.
    fn request(&self, x: &mut Exchange) -> Step {
        for (name, source) in &self.0 {
            x.scratch.clear();
            if let Err(cause) = source.write(x.user.as_deref(), &mut x.scratch) {
                return Step::Fail(cause);
            }
            if let Some(user) = &mut x.user {
                Arc::make_mut(user).replace(name, &String::from_utf8_lossy(&x.scratch));
            }
        }
        Step::Next
    }

    fn describe(&self) -> String {
        describe(&self.0)
    }
}
