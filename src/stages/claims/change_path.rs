//! `ChangeDownstreamPathTemplate`: placeholders of the service's path out of claims.

use super::{ClaimSource, Entry, describe};
use crate::pipeline::{
    cause::{Cause, Why},
    exchange::Exchange,
    stage::{Stage, Step},
};
use std::sync::Arc;

pub const NAME: &str = "claims-to-path";

/// Gives placeholders the value of a claim, whatever the path says.
#[derive(Debug)]
pub struct ChangePath(Box<[(Arc<str>, ClaimSource, bool)]>);

impl ChangePath {
    /// `template` is `DownstreamPathTemplate`: a placeholder that it does not have is a 404 under Ocelot.
    pub fn new(entries: Vec<Entry>, template: &str) -> ChangePath {
        let entries = super::sorted(entries).into_iter().map(|(name, source)| {
            let there = template.contains(&format!("{{{name}}}"));
            (Arc::from(name), source, there)
        });
        ChangePath(entries.collect())
    }
}

impl Stage for ChangePath {
    fn name(&self) -> &'static str {
        NAME
    }

    fn request(&self, x: &mut Exchange) -> Step {
        for (name, source, there) in &self.0 {
            x.scratch.clear();
            if let Err(cause) = source.write(x.user.as_deref(), &mut x.scratch) {
                return Step::Fail(cause);
            }
            if !there {
                let detail = format!("DownstreamPathTemplate has no placeholder {{{name}}}");
                return Step::Fail(Cause::new(Why::RouteUnserved, detail));
            }
            x.values.set(name.clone(), &x.scratch);
        }
        Step::Next
    }

    fn describe(&self) -> String {
        let entries: Vec<Entry> =
            self.0.iter().map(|(name, source, _)| ((&**name).into(), source.clone())).collect();
        describe(&entries)
    }
}
