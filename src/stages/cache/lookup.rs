//! Requests: serves a stored response, waits for an identical request, or forwards with a `CacheContext`.

use super::{
    coalescing::{InFlightRequest, Role, State},
    conditions::Conditions,
    context::{CacheContext, Lead},
    core::Cache,
    disposition::{Disposition, disposition},
    entry::{Entry, EntryMetadata},
    key::{ComputedKey, url},
    request::{CacheDecision, CacheRequest},
    serve::{self, ServeRequest, Source},
    settings::Mode,
    shared_lookup::LeadRequest,
    status::{CacheStatus, Forward},
};
use crate::{
    pipeline::{
        body::Framing,
        error::{ErrorCode, GatewayError},
        exchange::Exchange,
        head::Head,
        response::Response,
        stage::Step,
    },
    telemetry::CacheOutcome,
};
use std::{sync::Arc, time::Instant};

/// Largest request body that can be part of a key.
const MAX_KEY_BODY_BYTES: usize = 32 << 20;

impl Cache {
    pub(super) fn lookup(self: &Arc<Self>, exchange: &mut Exchange) -> Step {
        let lookup = match self.settings.mode {
            Mode::Http => CacheDecision::http(&self.settings, exchange),
            Mode::Ocelot => CacheDecision::ocelot(&self.settings, exchange),
        };
        match lookup {
            CacheDecision::LookUp(request) => {
                let computed = self.compute_key(exchange);
                let deadline = exchange.now + self.settings.coalescing_timeout;
                self.serve_or_forward(exchange, request, computed, Some(deadline))
            }
            CacheDecision::Body if exchange.is_dry_run => Step::Next,
            CacheDecision::Body => Step::ReadBody(MAX_KEY_BODY_BYTES),
            CacheDecision::Bypass(forward) => self.bypass(exchange, forward),
        }
    }

    fn compute_key(&self, exchange: &Exchange) -> ComputedKey {
        let body = exchange
            .body
            .collected
            .as_deref()
            .filter(|_| self.settings.hash_body && exchange.body.framing != Framing::None);
        match self.settings.mode {
            // HEAD is served from the response to GET.
            Mode::Http => self.key_builder.compute(exchange, b"GET", None),
            Mode::Ocelot => self.key_builder.compute(exchange, exchange.request.method(), body),
        }
    }

    /// The valid stored response for the request; without one, the reason in terms of RFC 9211.
    fn find_stored(&self, exchange: &Exchange, computed: ComputedKey) -> (Option<Arc<Entry>>, Forward) {
        let Some(variants) = self.store.get(computed.key) else { return (None, Forward::UriMiss) };
        let entry = variants.find(&exchange.request);
        let entry = entry.filter(|entry| entry.metadata.is_valid(&self.shared.invalidation));
        (entry.cloned(), if variants.variants.is_empty() { Forward::UriMiss } else { Forward::VaryMiss })
    }

    fn serve_or_forward(
        self: &Arc<Self>,
        exchange: &mut Exchange,
        request: CacheRequest,
        computed: ComputedKey,
        coalesce_until: Option<Instant>,
    ) -> Step {
        let (entry, forward_reason) = self.find_stored(exchange, computed);
        let forward = if entry.is_some() { Forward::Stale } else { forward_reason };
        if let Some(entry) = &entry {
            match disposition(&entry.metadata.freshness, &request.directives, exchange.now) {
                Disposition::Fresh => {
                    return Step::Respond(self.serve_hit(exchange, entry, &request, CacheOutcome::Hit));
                }
                Disposition::Stale => {
                    return Step::Respond(self.serve_hit(exchange, entry, &request, CacheOutcome::Stale));
                }
                Disposition::StaleWhileRevalidate => {
                    self.refresh(exchange, &request, computed, entry);
                    return Step::Respond(self.serve_hit(exchange, entry, &request, CacheOutcome::Stale));
                }
                Disposition::Unusable => {}
            }
        }
        if request.directives.only_if_cached {
            return Step::Fail(GatewayError::new(
                ErrorCode::CacheOnlyIfCached,
                "the request has `only-if-cached`, and no fresh response is stored",
            ));
        }
        if exchange.is_dry_run {
            return Step::Next;
        }
        self.join_or_lead(exchange, request, computed, entry, forward, coalesce_until)
    }

    /// Waits for an identical request in flight (request coalescing), or forwards the request.
    fn join_or_lead(
        self: &Arc<Self>,
        exchange: &mut Exchange,
        request: CacheRequest,
        computed: ComputedKey,
        entry: Option<Arc<Entry>>,
        forward: Forward,
        coalesce_until: Option<Instant>,
    ) -> Step {
        // Followers do not wait for the upload of a leader.
        let is_upload = exchange.body.framing != Framing::None && exchange.body.collected.is_none();
        let deadline = coalesce_until.filter(|_| self.settings.coalesce && !is_upload);
        let may_not_coalesce =
            deadline.is_none() || request.head_only || !self.can_lead(&request, entry.as_ref());
        if may_not_coalesce || self.shared.uncacheable.should_bypass(computed.key, exchange.now) {
            self.forward(exchange, &request, Some(computed), entry, forward, Lead::default());
            return Step::Next;
        }
        match self.shared.coalescer.join(computed.key) {
            Role::Follower(in_flight) => {
                self.wait_for_leader(in_flight, request, computed, deadline.unwrap_or(exchange.now))
            }
            Role::Leader(leader) => {
                // Another request may have stored a response in the meantime.
                let (stored, _) = self.find_stored(exchange, computed);
                if let Some(stored) = stored
                    && disposition(&stored.metadata.freshness, &request.directives, exchange.now)
                        == Disposition::Fresh
                {
                    leader.end(Some(stored.clone()));
                    return Step::Respond(self.serve_hit(exchange, &stored, &request, CacheOutcome::Hit));
                }
                let deadline = deadline.unwrap_or(exchange.now);
                self.lead(exchange, leader, LeadRequest { request, computed, entry, forward }, deadline)
            }
        }
    }

    /// Followers need a complete response: the request must be unconditional, or the cache must evaluate its conditions.
    fn can_lead(&self, request: &CacheRequest, entry: Option<&Arc<Entry>>) -> bool {
        !request.conditional || entry.is_some_and(|entry| entry.metadata.validates())
    }

    fn wait_for_leader(
        self: &Arc<Self>,
        in_flight: Arc<InFlightRequest>,
        request: CacheRequest,
        computed: ComputedKey,
        deadline: Instant,
    ) -> Step {
        let cache = self.clone();
        Step::Suspend(Box::pin(async move {
            let state = in_flight.wait_usable(deadline).await;
            Step::ResumeAt(Box::new(move |exchange| {
                cache.use_stored(exchange, state, request, computed, deadline)
            }))
        }))
    }

    /// Serves the response of the leader if it matches this request too.
    fn use_stored(
        self: &Arc<Self>,
        exchange: &mut Exchange,
        state: State,
        request: CacheRequest,
        computed: ComputedKey,
        deadline: Instant,
    ) -> Step {
        // `exchange.now` is from before the wait.
        let (now, outcome) = (Instant::now(), CacheOutcome::Coalesced);
        match state {
            State::Open(streaming)
                if streaming.metadata.vary_key.matches(&exchange.request) && streaming.fill.is_open() =>
            {
                let length = streaming.fill.length().unwrap_or_default();
                let (metadata, source) =
                    (&streaming.metadata, Source::Streaming(streaming.fill.follow(), length));
                Step::Respond(self.respond(exchange, metadata, source, &request, now, outcome))
            }
            State::Stored(entry) if entry.metadata.vary_key.matches(&exchange.request) => {
                let (metadata, source) = (&entry.metadata, Source::Stored(&entry));
                Step::Respond(self.respond(exchange, metadata, source, &request, now, outcome))
            }
            State::Abandoned if now < deadline => {
                self.serve_or_forward(exchange, request, computed, Some(deadline))
            }
            _ => self.serve_or_forward(exchange, request, computed, None),
        }
    }

    pub(super) fn serve_hit(
        &self,
        exchange: &Exchange,
        entry: &Entry,
        request: &CacheRequest,
        outcome: CacheOutcome,
    ) -> Response {
        self.respond(exchange, &entry.metadata, Source::Stored(entry), request, exchange.now, outcome)
    }

    fn respond(
        &self,
        exchange: &Exchange,
        metadata: &EntryMetadata,
        source: Source,
        request: &CacheRequest,
        now: Instant,
        outcome: CacheOutcome,
    ) -> Response {
        if !exchange.is_dry_run {
            self.metrics.count(exchange.worker, outcome);
        }
        let conditions = request.conditional.then(|| Conditions::from_request(&exchange.request));
        let collapsed = outcome == CacheOutcome::Coalesced;
        let cache_status = CacheStatus {
            hit: true,
            ttl_secs: Some(metadata.freshness.ttl(now)),
            collapsed,
            ..CacheStatus::default()
        };
        let serve_request = ServeRequest {
            head_only: request.head_only,
            conditions: conditions.as_ref(),
            now,
            cache_status: self.is_http().then_some(cache_status),
        };
        serve::response(metadata, source, &serve_request)
    }

    /// Prepares the exchange for the backend and stores the `CacheContext` for `store_response`.
    pub(super) fn forward(
        &self,
        exchange: &mut Exchange,
        request: &CacheRequest,
        computed: Option<ComputedKey>,
        entry: Option<Arc<Entry>>,
        forward: Forward,
        lead: Lead,
    ) {
        let validating = !request.head_only && entry.as_ref().is_some_and(|entry| entry.metadata.validates());
        let conditions = if validating {
            Conditions::take_from_request(&mut exchange.request)
        } else {
            Conditions::default()
        };
        if let Some(entry) = entry.as_ref().filter(|_| validating) {
            add_validators(&mut exchange.request, &entry.metadata.head);
        }
        let context = CacheContext {
            // The response to HEAD is not stored in mode `Http`.
            key: computed.filter(|_| !request.head_only || self.settings.mode == Mode::Ocelot),
            url: url(exchange),
            epoch: self.shared.invalidation.current(),
            requested_at: exchange.now,
            forward_reason: forward,
            entry,
            validating,
            conditions,
            stale_if_error: request.directives.stale_if_error,
            authorized: request.authorized,
            lead,
            shared_key: self.shared_key_to_store(exchange, computed.is_some()),
        };
        exchange.response.cache_context = Some(Box::new(context));
    }

    fn bypass(&self, exchange: &mut Exchange, forward: Forward) -> Step {
        if !exchange.is_dry_run {
            self.forward(exchange, &CacheRequest::default(), None, None, forward, Lead::default());
        }
        Step::Next
    }
}

/// Adds the conditions of a revalidation, from the validators of the stored response.
fn add_validators(request: &mut Head, stored: &Head) {
    for (name, field) in [(&b"If-None-Match"[..], &b"etag"[..]), (b"If-Modified-Since", b"last-modified")] {
        if let Some(value) = stored.get(field) {
            request.append(name, value);
        }
    }
}
