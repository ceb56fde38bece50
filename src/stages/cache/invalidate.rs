//! Routes without a cache of their own change what others keep (RFC 9111 4.4).

use super::{
    asked::is_safe,
    kept::Common,
    kept::Kept,
    key::{CacheKeyer, KeyRules},
};
use crate::pipeline::{
    answer::Outcome,
    exchange::Exchange,
    stage::{Stage, Step},
};
use std::sync::Arc;

pub const NAME_INVALIDATE: &str = "cache-invalidate";

/// Says that what an address names has changed, when a request changed it.
#[derive(Debug)]
pub struct Invalidator {
    keyer: CacheKeyer,
    common: Arc<Common>,
}

impl Invalidator {
    pub fn new(kept: &Kept) -> Invalidator {
        let common = kept.common();
        Invalidator { keyer: CacheKeyer::new(&common.keys, "", KeyRules::default()), common }
    }
}

impl Stage for Invalidator {
    fn name(&self) -> &'static str {
        NAME_INVALIDATE
    }

    fn request(&self, _x: &mut Exchange) -> Step {
        Step::Next
    }

    fn outcome(&self, x: &mut Exchange, outcome: &mut Outcome) {
        let Ok(answer) = outcome else { return };
        if is_safe(x.req.method()) || !(200..400).contains(&answer.status()) || x.dry {
            return;
        }
        self.common.marks.set(self.keyer.find(x, b"GET", None).address);
        for name in [&b"location"[..], b"content-location"] {
            let elsewhere = answer.head.get(name).and_then(|location| self.keyer.elsewhere(x, location));
            elsewhere.into_iter().for_each(|hash| self.common.marks.set(hash));
        }
    }

    fn describe(&self) -> String {
        "forgets what is kept of what is changed".to_owned()
    }
}
