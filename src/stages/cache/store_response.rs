//! The way back: what came is given on, kept, or gives way to what is stored.

use super::{
    Cache,
    coalescing::{Leader, StreamingEntry},
    conditions::Conditions,
    entry::{Entry, EntryMetadata, Pieces},
    freshness::Freshness,
    invalidation_epochs::Epoch,
    key::ComputedKey,
    lookup::ttl,
    request::{self, is_safe},
    serve::{self, ServeRequest, Source},
    status::{CacheStatus, Forward},
    store_writer::StoreWriter,
    streaming_fill::{StreamingFill, TeeBody},
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

/// What a request that went on wants to find on its way back.
pub struct CacheContext {
    /// None: what comes is not kept.
    pub key: Option<ComputedKey>,
    pub url: Box<[u8]>,
    pub stamp: Epoch,
    pub request: Instant,
    pub forward_reason: Forward,
    /// What is stored and stale.
    pub entry: Option<Arc<Entry>>,
    /// The service is asked whether it still holds.
    pub validating: bool,
    /// What the client asked to be true, instead of which the gateway asks.
    pub conditions: Conditions,
    pub stale_if_error: Option<u32>,
    pub authorized: bool,
    pub leader: Option<Leader>,
}

impl Cache {
    /// The way back of a request that came with a client.
    pub(super) fn on_response(&self, exchange: &Exchange, ticket: CacheContext, outcome: &mut RouteResult) {
        if let Ok(answer) = outcome
            && self.is_http()
            && !is_safe(exchange.request.method())
            && (200..400).contains(&answer.status())
        {
            self.invalidate(exchange, &answer.head);
        }
        let ticket = self.as_get_response(exchange, ticket, outcome);
        self.handle_response(exchange.worker, &exchange.request, ticket, outcome);
    }

    /// RFC 9111 4.4: what was changed is asked for anew, under its own name and under those that the answer gives it.
    fn invalidate(&self, exchange: &Exchange, answer: &Head) {
        self.shared.invalidation.invalidate(self.keyer.compute(exchange, b"GET", None).resource);
        for name in [&b"location"[..], b"content-location"] {
            let elsewhere = answer.get(name).and_then(|location| self.keyer.location_key(exchange, location));
            elsewhere.into_iter().for_each(|hash| self.shared.invalidation.invalidate(hash));
        }
    }

    /// RFC 9110 9.3.3: the answer to a POST that says how long it is fresh, and that it is what a GET would bring.
    fn as_get_response(
        &self,
        exchange: &Exchange,
        mut ticket: CacheContext,
        outcome: &RouteResult,
    ) -> CacheContext {
        let Ok(answer) = outcome else { return ticket };
        let post = exchange.request.method() == b"POST"
            && self.is_http()
            && request::is_cacheable_method(&self.settings, b"POST");
        let itself = post
            && !self.settings.methods.is_empty()
            && answer.status() == 200
            && answer
                .head
                .get(b"content-location")
                .is_some_and(|text| self.keyer.is_same_resource(exchange, text))
            && (answer.head.get(b"cache-control").is_some() || answer.head.get(b"expires").is_some());
        if itself {
            ticket.key = Some(self.keyer.compute(exchange, b"GET", None));
            ticket.authorized = exchange.request.get(b"authorization").is_some();
            // After the mark that the same answer made.
            ticket.stamp = self.shared.invalidation.current();
        }
        ticket
    }

    /// What is done with an outcome, whoever asked.
    pub(super) fn handle_response(
        &self,
        worker: usize,
        request: &Head,
        mut ticket: CacheContext,
        outcome: &mut RouteResult,
    ) {
        let now = Instant::now();
        let lead = ticket.leader.take();
        if let Some(entry) = self.stale_if_error_response(&ticket, outcome, now) {
            self.metrics.count(worker, CacheOutcome::Stale);
            return self.serve_stale(&ticket, entry, lead, outcome, now);
        }
        let Ok(answer) = outcome else {
            // Whoever waits asks for itself, unless it was only the client that left.
            let gone = matches!(outcome, Err(cause) if cause.why == ErrorCode::ClientClosed);
            lead.filter(|_| !gone).into_iter().for_each(|lead| lead.end(None));
            return self.add_cache_status(
                outcome,
                CacheStatus { forward: Some(ticket.forward_reason), ..CacheStatus::default() },
            );
        };
        if ticket.validating && answer.status() == 304 {
            self.metrics.count(worker, CacheOutcome::Validated);
            return self.update_stored(ticket, lead, outcome, now);
        }
        let passed = ticket.key.is_none();
        self.metrics.count(worker, if passed { CacheOutcome::Bypass } else { CacheOutcome::Miss });
        let forward_status = None;
        let (stored, ttl) = match self.entry_metadata(&ticket, request, answer, now) {
            Some((found, about)) => {
                let left = ttl(&about.freshness, now);
                (self.begin_store(found, about, answer, lead, now), Some(left))
            }
            None => {
                self.mark_uncacheable(&ticket, lead, now);
                (false, None)
            }
        };
        let forward = Some(ticket.forward_reason);
        self.add_cache_status(
            outcome,
            CacheStatus { forward, forward_status, stored, ttl, ..CacheStatus::default() },
        );
    }

    /// Others need not wait for answers like this one for a while.
    fn mark_uncacheable(&self, ticket: &CacheContext, lead: Option<Leader>, now: Instant) {
        if let (Some(found), true) = (ticket.key, lead.is_some()) {
            self.shared.uncacheable.record(found.key, false, now);
        }
        lead.into_iter().for_each(|lead| lead.end(None));
    }

    /// The stored answer, where the service failed and it may stand in (RFC 5861 4, RFC 9111 4.2.4).
    fn stale_if_error_response(
        &self,
        ticket: &CacheContext,
        outcome: &RouteResult,
        now: Instant,
    ) -> Option<Arc<Entry>> {
        let entry = ticket.entry.as_ref()?;
        let life = &entry.metadata.freshness;
        let may = match outcome {
            Ok(answer) => {
                matches!(answer.status(), 500 | 502 | 503 | 504)
                    && life.may_serve_on_error(now, ticket.stale_if_error)
            }
            Err(GatewayError { why, .. }) => {
                why.fault() == Fault::Backend
                    && (life.may_serve_disconnected(now)
                        || life.may_serve_on_error(now, ticket.stale_if_error))
            }
        };
        (may && entry.metadata.is_valid(&self.shared.invalidation)).then(|| entry.clone())
    }

    fn serve_stale(
        &self,
        ticket: &CacheContext,
        entry: Arc<Entry>,
        lead: Option<Leader>,
        outcome: &mut RouteResult,
        now: Instant,
    ) {
        let forward_status = outcome.as_ref().ok().map(Response::status);
        let detail = if forward_status.is_none() { Some("unreachable") } else { None };
        let said = CacheStatus {
            hit: false,
            forward: Some(Forward::Stale),
            forward_status,
            ttl: Some(ttl(&entry.metadata.freshness, now)),
            detail,
            ..CacheStatus::default()
        };
        *outcome = Ok(self.stored_answer(ticket, &entry, said, now));
        lead.into_iter().for_each(|lead| lead.end(Some(entry.clone())));
    }

    fn stored_answer(
        &self,
        ticket: &CacheContext,
        entry: &Entry,
        said: CacheStatus,
        now: Instant,
    ) -> Response {
        let wanted = ServeRequest {
            head_only: false,
            conditions: Some(&ticket.conditions),
            now,
            cache_status: self.adds_age().then_some(said),
        };
        serve::response(&entry.metadata, Source::Stored(entry), &wanted)
    }

    /// RFC 9111 4.3.4: what is stored holds on, with what the service says anew.
    fn update_stored(
        &self,
        ticket: CacheContext,
        lead: Option<Leader>,
        outcome: &mut RouteResult,
        now: Instant,
    ) {
        let (Ok(answer), Some(old), Some(found)) = (&*outcome, ticket.entry.clone(), ticket.key) else {
            return;
        };
        let head = merged_head(&old.metadata.head, &answer.head);
        let admitted = self.shared.invalidation.may_store(ticket.stamp);
        let judged = self.is_storable(&ticket, &head, now).filter(|_| admitted);
        let keeps = judged.map(|judged| (judged, old.metadata.size()));
        let new = keeps.and_then(|(judged, size)| {
            let about = Arc::new(EntryMetadata {
                head: self.stored_head(&head, &judged.excluded_fields),
                vary_key: old.metadata.vary_key.clone(),
                freshness: judged.life,
                epoch: ticket.stamp,
                invalidation_marks: self.invalidation_marks(found, &head),
                url: old.metadata.url.clone(),
                region: self.region.clone(),
            });
            let hold = self.store.try_reserve(size)?;
            Some(Arc::new(Entry { metadata: about, body: old.body.clone(), length: old.length, _hold: hold }))
        });
        if let Some(entry) = &new {
            self.store.put(found.key, entry.clone(), now);
        }
        let stored = new.is_some();
        let entry = new.unwrap_or(old);
        let said = CacheStatus {
            forward: Some(Forward::Stale),
            forward_status: Some(304),
            ttl: Some(ttl(&entry.metadata.freshness, now)),
            stored,
            ..CacheStatus::default()
        };
        *outcome = Ok(self.stored_answer(&ticket, &entry, said, now));
        let shared = stored && entry.metadata.freshness.remaining(now).is_some();
        lead.into_iter().for_each(|lead| lead.end(shared.then(|| entry.clone())));
    }

    /// Begins to keep an answer; its body is read along from now on.
    fn begin_store(
        &self,
        found: ComputedKey,
        about: EntryMetadata,
        answer: &mut Response,
        lead: Option<Leader>,
        now: Instant,
    ) -> bool {
        let Some(hold) = self.store.try_reserve(about.size()) else {
            lead.into_iter().for_each(|lead| lead.end(None));
            return false;
        };
        let shared = about.freshness.remaining(now).is_some();
        self.shared.uncacheable.record(found.key, shared, now);
        let about = Arc::new(about);
        let sink = |lead| StoreWriter::new(self, found, about.clone(), hold, lead);
        match std::mem::take(&mut answer.body) {
            Body::Stream(inner) => {
                let expected = inner.framing().length();
                // Who waits for what cannot be shared asks for itself.
                let lead = self.or_release_followers(lead, shared);
                let filling = StreamingFill::new(Box::new(sink(lead)), expected);
                if expected.is_some() && shared {
                    let incoming = StreamingEntry { about: about.clone(), filling: filling.clone() };
                    filling.open(Arc::new(incoming));
                }
                answer.body = Body::Stream(Box::new(TeeBody::new(inner, filling)));
            }
            Body::Bytes(bytes) => {
                sink(self.or_release_followers(lead, shared)).store_full(&bytes);
                answer.body = Body::Bytes(bytes);
            }
            Body::Empty => sink(self.or_release_followers(lead, shared)).store_full(&[]),
        }
        true
    }

    fn or_release_followers(&self, lead: Option<Leader>, shared: bool) -> Option<Leader> {
        if shared {
            return lead;
        }
        lead.into_iter().for_each(|lead| lead.end(None));
        None
    }

    /// `Cache-Status`, on answers of all kinds.
    fn add_cache_status(&self, outcome: &mut RouteResult, said: CacheStatus) {
        if self.adds_age() {
            append_header(outcome, "Cache-Status", &said.text());
        }
    }
}

/// The stored head with the fields of a 304 in the place of its own (RFC 9111 3.2). What describes the stored bytes
/// themselves stays.
fn merged_head(stored: &Head, fresh: &Head) -> Head {
    const REPRESENTATION_FIELDS: [&[u8]; 4] =
        [b"content-length", b"content-encoding", b"content-range", b"cache-status"];
    let stays = |name: &[u8]| REPRESENTATION_FIELDS.iter().any(|known| name.eq_ignore_ascii_case(known));
    let mut head = stored.copy(fresh.bytes().len());
    for (_, name, _) in fresh.fields().filter(|(_, name, _)| !stays(name)) {
        head.remove(name);
    }
    for (_, name, value) in fresh.fields().filter(|(_, name, _)| !stays(name)) {
        head.append(name, value);
    }
    if fresh.get(b"age").is_none() {
        head.remove(b"age");
    }
    head
}

/// What was found out about an answer that may be kept.
pub struct Storability {
    pub life: Freshness,
    pub excluded_fields: smallvec::SmallVec<[Box<[u8]>; 1]>,
}

/// The body of a stored answer.
pub fn body_len(pieces: &Pieces) -> u64 {
    pieces.iter().map(|piece| piece.len() as u64).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_304_says_anew_what_it_says_and_leaves_the_rest() {
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
