//! Responses: passes a response on and stores it, updates a stored one (304), or serves a stale one instead of an error.

use super::{
    coalescing::Leader,
    context::{CacheContext, Lead},
    core::Cache,
    entry::{Entry, EntryMetadata},
    key::ComputedKey,
    request::{self, is_safe},
    serve::{self, ServeRequest, Source},
    status::{CacheStatus, Forward},
    store_writer::StoreWriter,
    streaming_fill::{StreamingEntry, StreamingFill},
    tee_body::TeeBody,
};
use crate::{
    pipeline::{
        body::Body,
        error::{ErrorCode, Fault, GatewayError},
        exchange::Exchange,
        head::Head,
        response::{Response, RouteResult, append_header},
    },
    telemetry::CacheOutcome,
};
use std::{sync::Arc, time::Instant};

impl Cache {
    /// Handles the response to a client's request.
    pub(super) fn on_response(&self, exchange: &Exchange, context: CacheContext, outcome: &mut RouteResult) {
        if let Ok(response) = outcome
            && self.is_http()
            && !is_safe(exchange.request.method())
            && (200..400).contains(&response.status())
        {
            self.invalidate(exchange, &response.head);
        }
        let context = self.as_get_response(exchange, context, outcome);
        self.handle_response(exchange.worker, &exchange.request, context, outcome);
    }

    /// RFC 9111 4.4: invalidates the URL of an unsafe request, and those in `Location` and `Content-Location`.
    fn invalidate(&self, exchange: &Exchange, response: &Head) {
        self.shared.invalidation.invalidate(self.key_builder.compute(exchange, b"GET", None).resource);
        for name in [&b"location"[..], b"content-location"] {
            let resource =
                response.get(name).and_then(|location| self.key_builder.location_key(exchange, location));
            resource.into_iter().for_each(|hash| self.shared.invalidation.invalidate(hash));
        }
        if let Some(shared) = &self.shared_cache {
            for resource in self.key_builder.changed_resources(exchange, response) {
                shared.invalidate(resource);
            }
        }
    }

    /// RFC 9110 9.3.3: the response to a POST with explicit freshness and its own URL in `Content-Location` is stored for GET.
    fn as_get_response(
        &self,
        exchange: &Exchange,
        mut context: CacheContext,
        outcome: &RouteResult,
    ) -> CacheContext {
        let Ok(response) = outcome else { return context };
        let post = exchange.request.method() == b"POST"
            && self.is_http()
            && request::is_cacheable_method(&self.settings, b"POST");
        let is_representation = post
            && !self.settings.methods.is_empty()
            && response.status() == 200
            && response
                .head
                .get(b"content-location")
                .is_some_and(|text| self.key_builder.is_same_resource(exchange, text))
            && (response.head.get(b"cache-control").is_some() || response.head.get(b"expires").is_some());
        if is_representation {
            context.key = Some(self.key_builder.compute(exchange, b"GET", None));
            context.shared_key =
                context.shared_key.map(|_| self.key_builder.compute_shared(exchange, b"GET", None));
            context.authorized = exchange.request.get(b"authorization").is_some();
            // After the invalidation by this response.
            context.epoch = self.shared.invalidation.current();
        }
        context
    }

    /// Handles the response to a client's request or to a background revalidation.
    pub(super) fn handle_response(
        &self,
        worker: usize,
        request: &Head,
        mut context: CacheContext,
        outcome: &mut RouteResult,
    ) {
        let now = Instant::now();
        let Lead { leader, fetch } = std::mem::take(&mut context.lead);
        if let Some(entry) = self.stale_if_error_response(&context, outcome, now) {
            self.metrics.count(worker, CacheOutcome::Stale);
            return self.serve_stale(&context, entry, leader, outcome, now);
        }
        let Ok(response) = outcome else {
            // Followers go to the backend themselves; after the client of the leader disconnected, one of them leads.
            let client_gone = matches!(outcome, Err(cause) if cause.code == ErrorCode::ClientClosed);
            leader.filter(|_| !client_gone).into_iter().for_each(|leader| leader.end(None));
            return self.add_cache_status(
                outcome,
                CacheStatus { forward: Some(context.forward_reason), ..CacheStatus::default() },
            );
        };
        if context.validating && response.status() == 304 {
            self.metrics.count(worker, CacheOutcome::Validated);
            return self.update_stored(context, Lead { leader, fetch }, outcome, now);
        }
        let bypass = context.key.is_none();
        self.metrics.count(worker, if bypass { CacheOutcome::Bypass } else { CacheOutcome::Miss });
        let (stored, ttl_secs) = self.store_new(&context, request, response, Lead { leader, fetch }, now);
        let forward = Some(context.forward_reason);
        self.add_cache_status(outcome, CacheStatus { forward, stored, ttl_secs, ..CacheStatus::default() });
    }

    /// Stores a response if the rules allow it; returns whether it is stored, and the TTL of a storable one.
    fn store_new(
        &self,
        context: &CacheContext,
        request: &Head,
        response: &mut Response,
        lead: Lead,
        now: Instant,
    ) -> (bool, Option<i64>) {
        match self.entry_metadata(context, request, response, now) {
            Some((computed, metadata)) => {
                let ttl_secs = metadata.freshness.ttl(now);
                (self.begin_store(computed, metadata, response, lead, now), Some(ttl_secs))
            }
            None => {
                self.mark_uncacheable(context, lead.leader, now);
                (false, None)
            }
        }
    }

    /// Disables request coalescing for the key for a while.
    fn mark_uncacheable(&self, context: &CacheContext, leader: Option<Leader>, now: Instant) {
        if let (Some(computed), true) = (context.key, leader.is_some()) {
            self.shared.uncacheable.record(computed.key, false, now);
        }
        leader.into_iter().for_each(|leader| leader.end(None));
    }

    /// The stored response, if the backend failed and it may be served stale (RFC 5861 4, RFC 9111 4.2.4).
    fn stale_if_error_response(
        &self,
        context: &CacheContext,
        outcome: &RouteResult,
        now: Instant,
    ) -> Option<Arc<Entry>> {
        let entry = context.entry.as_ref()?;
        let freshness = &entry.metadata.freshness;
        let may_serve = match outcome {
            Ok(response) => {
                matches!(response.status(), 500 | 502 | 503 | 504)
                    && freshness.may_serve_on_error(now, context.stale_if_error)
            }
            Err(GatewayError { code, .. }) => {
                code.fault() == Fault::Backend
                    && (freshness.may_serve_disconnected(now)
                        || freshness.may_serve_on_error(now, context.stale_if_error))
            }
        };
        (may_serve && entry.metadata.is_valid(&self.shared.invalidation)).then(|| entry.clone())
    }

    fn serve_stale(
        &self,
        context: &CacheContext,
        entry: Arc<Entry>,
        leader: Option<Leader>,
        outcome: &mut RouteResult,
        now: Instant,
    ) {
        let forward_status = outcome.as_ref().ok().map(Response::status);
        let detail = if forward_status.is_none() { Some("unreachable") } else { None };
        let cache_status = CacheStatus {
            hit: false,
            forward: Some(Forward::Stale),
            forward_status,
            ttl_secs: Some(entry.metadata.freshness.ttl(now)),
            detail,
            ..CacheStatus::default()
        };
        *outcome = Ok(self.stored_response(context, &entry, cache_status, now));
        leader.into_iter().for_each(|leader| leader.end(Some(entry.clone())));
    }

    fn stored_response(
        &self,
        context: &CacheContext,
        entry: &Entry,
        cache_status: CacheStatus,
        now: Instant,
    ) -> Response {
        let request = ServeRequest {
            head_only: false,
            conditions: Some(&context.conditions),
            now,
            cache_status: self.is_http().then_some(cache_status),
        };
        serve::response(&entry.metadata, Source::Stored(entry), &request)
    }

    /// RFC 9111 4.3.4: updates the stored response with the fields of a 304, and serves it.
    fn update_stored(&self, context: CacheContext, lead: Lead, outcome: &mut RouteResult, now: Instant) {
        let (Ok(response), Some(old), Some(computed)) = (&*outcome, context.entry.clone(), context.key)
        else {
            return;
        };
        let new = self.updated_entry(&context, &old, computed, &response.head, now);
        if let Some(entry) = &new {
            self.store.put(computed.key, entry.clone(), now);
            lead.fetch.into_iter().for_each(|fetch| fetch.store(entry.clone()));
        }
        let stored = new.is_some();
        let entry = new.unwrap_or(old);
        let cache_status = CacheStatus {
            forward: Some(Forward::Stale),
            forward_status: Some(304),
            ttl_secs: Some(entry.metadata.freshness.ttl(now)),
            stored,
            ..CacheStatus::default()
        };
        *outcome = Ok(self.stored_response(&context, &entry, cache_status, now));
        let shared = stored && entry.metadata.freshness.remaining(now).is_some();
        lead.leader.into_iter().for_each(|leader| leader.end(shared.then(|| entry.clone())));
    }

    /// The stored response with the fields of a 304; `None` if it may no longer be stored.
    fn updated_entry(
        &self,
        context: &CacheContext,
        old: &Entry,
        computed: ComputedKey,
        not_modified: &Head,
        now: Instant,
    ) -> Option<Arc<Entry>> {
        let head = merged_head(&old.metadata.head, not_modified);
        let may_store = self.shared.invalidation.may_store(context.epoch);
        let storability = self.is_storable(context, &head, now).filter(|_| may_store)?;
        let metadata = Arc::new(EntryMetadata {
            head: self.stored_head(&head, &storability.excluded_fields),
            vary_key: old.metadata.vary_key.clone(),
            freshness: storability.freshness,
            epoch: context.epoch,
            invalidation_marks: self.invalidation_marks(computed, context.shared_key, &head),
            url: old.metadata.url.clone(),
            region: self.region.clone(),
        });
        let reservation = self.store.try_reserve(old.metadata.size())?;
        let (body, length) = (old.body.clone(), old.length);
        Some(Arc::new(Entry { metadata, body, length, _reservation: reservation }))
    }

    /// Begins to store a response. A streamed body is stored while it is sent.
    fn begin_store(
        &self,
        computed: ComputedKey,
        metadata: EntryMetadata,
        response: &mut Response,
        lead: Lead,
        now: Instant,
    ) -> bool {
        let Lead { leader, fetch } = lead;
        let Some(reservation) = self.store.try_reserve(metadata.size()) else {
            leader.into_iter().for_each(|leader| leader.end(None));
            return false;
        };
        let shared = metadata.freshness.remaining(now).is_some();
        self.shared.uncacheable.record(computed.key, shared, now);
        let metadata = Arc::new(metadata);
        let writer = |leader| {
            let lead = Lead { leader, fetch };
            StoreWriter::new(self, computed, metadata.clone(), reservation, lead)
        };
        match std::mem::take(&mut response.body) {
            Body::Stream(inner) => {
                let expected = inner.framing().length();
                // Followers of a response that cannot be shared go to the backend themselves.
                let leader = self.or_release_followers(leader, shared);
                let fill = StreamingFill::new(Box::new(writer(leader)), expected);
                if shared {
                    let streaming = StreamingEntry { metadata: metadata.clone(), fill: fill.clone() };
                    fill.open(Arc::new(streaming));
                }
                response.body = Body::Stream(Box::new(TeeBody::new(inner, fill)));
            }
            Body::Bytes(bytes) => {
                writer(self.or_release_followers(leader, shared)).store_full(&bytes);
                response.body = Body::Bytes(bytes);
            }
            Body::Empty => writer(self.or_release_followers(leader, shared)).store_full(&[]),
        }
        true
    }

    /// The leader if the response can be shared; otherwise its followers go to the backend themselves.
    fn or_release_followers(&self, leader: Option<Leader>, shared: bool) -> Option<Leader> {
        if shared {
            return leader;
        }
        leader.into_iter().for_each(|leader| leader.end(None));
        None
    }

    /// Adds `Cache-Status` to responses and errors.
    fn add_cache_status(&self, outcome: &mut RouteResult, cache_status: CacheStatus) {
        if self.is_http() {
            append_header(outcome, "Cache-Status", &cache_status.text());
        }
    }
}

/// The stored head with its fields replaced by those of a 304 (RFC 9111 3.2), except those that describe the stored
/// bytes.
fn merged_head(stored: &Head, fresh: &Head) -> Head {
    const REPRESENTATION_FIELDS: [&[u8]; 4] =
        [b"content-length", b"content-encoding", b"content-range", b"cache-status"];
    let is_excluded =
        |name: &[u8]| REPRESENTATION_FIELDS.iter().any(|known| name.eq_ignore_ascii_case(known));
    let mut head = stored.copy(fresh.bytes().len());
    for (_, name, _) in fresh.fields().filter(|(_, name, _)| !is_excluded(name)) {
        head.remove(name);
    }
    for (_, name, value) in fresh.fields().filter(|(_, name, _)| !is_excluded(name)) {
        head.append(name, value);
    }
    if fresh.get(b"age").is_none() {
        head.remove(b"age");
    }
    head
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_a_304_replace_stored_fields() {
        let (mut stored, mut fresh) = (Head::response(200, b"OK"), Head::response(304, b"Not Modified"));
        for (name, value) in [("A", "1"), ("B", "1"), ("B", "2"), ("Content-Length", "36"), ("Age", "7")] {
            stored.append(name.as_bytes(), value.as_bytes());
        }
        for (name, value) in [("b", "3"), ("C", "4"), ("Content-Length", "10")] {
            fresh.append(name.as_bytes(), value.as_bytes());
        }
        let head = merged_head(&stored, &fresh);
        let fields: Vec<_> = head.fields().map(|(_, name, value)| (name, value)).collect();
        assert_eq!(head.status, 200);
        assert_eq!(fields, [(&b"A"[..], &b"1"[..]), (b"Content-Length", b"36"), (b"b", b"3"), (b"C", b"4")]);
    }
}
