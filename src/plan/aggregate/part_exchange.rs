//! The exchange of a part: the request as received by the aggregate, with the aggregate's values.

use crate::{
    pipeline::{
        exchange::Exchange,
        head::{Head, KnownHeader},
    },
    plan::compiled::AggregatePart,
};
use std::time::Instant;

/// Request fields that would make a response partial or conditional.
const RANGE_AND_ENCODING_FIELDS: [&[u8]; 6] =
    [b"Range", b"If-Range", b"If-Match", b"If-None-Match", b"If-Modified-Since", b"If-Unmodified-Since"];

impl AggregatePart {
    /// A separate exchange at the beginning of the part's route, with a value for the parameter if there is one.
    pub fn fork_for_part(&self, exchange: &Exchange, value: Option<&[u8]>, ocelot: bool) -> Box<Exchange> {
        let mut inner = exchange.fork(Instant::now());
        (inner.routing.route, inner.routing.stage_index) = (self.index, 0);
        // Its stages read it again from the request.
        inner.record.id.clear();
        inner.request.remove_known(KnownHeader::Expect);
        if !ocelot {
            strip_partial_headers(&mut inner.request);
        }
        if let Some(value) = value {
            while inner.routing.path_params.len() + 1 < self.names.len() {
                inner.routing.path_params.push_bytes(b"");
            }
            inner.routing.path_params.push_bytes(value);
        }
        inner
    }
}

/// Requests a whole JSON document that can be embedded in another one.
fn strip_partial_headers(req: &mut Head) {
    req.remove_if(|_, name| RANGE_AND_ENCODING_FIELDS.iter().any(|one| one.eq_ignore_ascii_case(name)));
    req.set(b"Accept", b"application/json");
    req.set(b"Accept-Encoding", b"identity");
    if req.method() == b"HEAD" {
        req.set_method(b"GET");
    }
}
