//! `RequestIdKey`: every request has an ID, from the client or generated (docs/ocelot-behavior.md, section 24).

use super::feature::{BuildContext, StageConfig};
use crate::{
    base::bytes::put_hex,
    config::{Spanned, options::shared_settings},
    pipeline::{
        exchange::Exchange,
        stage::{BoxStage, Stage, Step},
    },
};
use std::{
    hash::{BuildHasher, RandomState},
    sync::atomic::{AtomicU64, Ordering},
};

/// Name of the stage in the metric label `stage`, in `margay explain` and in the reference.
pub const NAME: &str = "request-id";

/// Longest ID in the access log.
const MAX_ID_BYTES: usize = 128;

shared_settings! { $ request_id_settings {
    /// The header that carries the request id. Routes inherit the global value. Default: none. Source: Ocelot, Logging.
    pub request_id_key: Setting<String>,
} }

/// The header that carries the ID, and where the document sets it.
pub type RequestIdHeader = Spanned<String>;

impl StageConfig for RequestIdHeader {
    type State = ();

    fn build(&self, (): &(), _: &BuildContext) -> Vec<BoxStage> {
        vec![Box::new(RequestId::new(self))]
    }
}

/// Reads the ID of a request from a header, or generates one and sets the header.
#[derive(Debug)]
pub struct RequestId {
    header: Box<[u8]>,
    /// Random for each plan.
    prefix: u64,
    count: AtomicU64,
}

impl RequestId {
    /// `header` carries the ID in both directions.
    pub fn new(header: &str) -> RequestId {
        let prefix = RandomState::new().hash_one(header);
        RequestId { header: header.as_bytes().into(), prefix, count: AtomicU64::new(0) }
    }

    /// `16 hex digits : 8 hex digits`, unique.
    fn generate(&self, id: &mut Vec<u8>) {
        let n = self.count.fetch_add(1, Ordering::Relaxed);
        put_hex(id, self.prefix, 16);
        id.push(b':');
        put_hex(id, n, 8);
    }
}

impl Stage for RequestId {
    fn name(&self) -> &'static str {
        NAME
    }

    fn on_request(&self, exchange: &mut Exchange) -> Step {
        match exchange.request.get(&self.header) {
            Some(id) if !id.is_empty() => {
                exchange.record.id.extend_from_slice(&id[..id.len().min(MAX_ID_BYTES)]);
            }
            _ => {
                match exchange.is_dry_run {
                    true => exchange.record.id.extend_from_slice(b"<a new id>"),
                    false => self.generate(&mut exchange.record.id),
                }
                exchange.request.set(&self.header, &exchange.record.id);
            }
        }
        Step::Next
    }

    fn describe(&self) -> String {
        format!("passes on or generates {}", String::from_utf8_lossy(&self.header))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_ids_are_unique_and_grow_beyond_eight_digits() {
        let stage = RequestId::new("X-Id");
        let (mut a, mut b) = (Vec::new(), Vec::new());
        stage.generate(&mut a);
        stage.generate(&mut b);
        assert_eq!(a.len(), 25);
        assert_ne!(a, b);
        let mut long = Vec::new();
        put_hex(&mut long, 1 << 36, 8);
        assert_eq!(long, b"1000000000");
    }
}
