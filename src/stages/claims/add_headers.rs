//! `AddHeadersToRequest`: headers out of claims.

use super::{Entry, describe, sorted};
use crate::{
    base::bytes::{is_field_value, trim_ows},
    pipeline::{
        cause::{Cause, Why},
        exchange::Exchange,
        stage::{Stage, Step},
    },
};

pub const NAME: &str = "claims-to-headers";

/// Sets headers; whatever the client said in their place is gone.
#[derive(Debug)]
pub struct AddHeaders(Box<[Entry]>);

impl AddHeaders {
    pub fn new(entries: Vec<Entry>) -> AddHeaders {
        AddHeaders(sorted(entries))
    }
}

impl Stage for AddHeaders {
    fn name(&self) -> &'static str {
        NAME
    }

    fn request(&self, x: &mut Exchange) -> Step {
        let Exchange { req, user, scratch, .. } = x;
        for (name, source) in &self.0 {
            scratch.clear();
            if let Err(cause) = source.write(user.as_deref(), scratch) {
                return Step::Fail(cause);
            }
            let value = trim_ows(scratch);
            if !is_field_value(value) {
                let detail = format!("the claim {} cannot stand in the header {name}", source.claim);
                return Step::Fail(Cause::new(Why::AccessClaim, detail));
            }
            req.set(name.as_bytes(), value);
        }
        Step::Next
    }

    fn describe(&self) -> String {
        describe(&self.0)
    }
}
