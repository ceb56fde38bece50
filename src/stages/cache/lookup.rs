//! The way in: what is stored is given, or the request goes on with a ticket for the way back.

use super::{
    Cache,
    coalescing::{InFlightRequest, Leader, Role, State},
    conditions::Conditions,
    directives::Directives,
    entry::{Entry, EntryMetadata},
    freshness::Freshness,
    key::{ComputedKey, url},
    request::{CacheRequest, Lookup},
    serve::{self, ServeRequest, Source},
    settings::Mode,
    status::{CacheStatus, Forward},
    store_response::CacheContext,
};
use crate::{
    pipeline::{
        body::Framing,
        error::{ErrorCode, GatewayError},
        exchange::Exchange,
        response::Response,
        stage::Step,
    },
    telemetry::CacheOutcome,
};
use std::{sync::Arc, time::Instant};

/// Bodies of requests that are part of a key.
const MAX_KEY_BODY: usize = 32 << 20;

/// What may be done with a stored answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Disposition {
    Fresh,
    /// Stale, and the client does not mind.
    Stale,
    /// Stale, and good enough while another one is asked for.
    StaleWhileRevalidate,
    Unusable,
}

/// RFC 9111 4.2 and 5.2.1.
fn disposition(life: &Freshness, asked: &Directives, now: Instant) -> Disposition {
    let too_old = asked.max_age.is_some_and(|most| life.age(now).as_secs() > u64::from(most));
    if asked.no_cache || too_old {
        return Disposition::Unusable;
    }
    if let Some(left) = life.remaining(now) {
        let enough = asked.min_fresh.is_none_or(|least| left.as_secs() >= u64::from(least));
        return if enough { Disposition::Fresh } else { Disposition::Unusable };
    }
    let staleness = life.staleness(now).as_secs();
    if !life.must_revalidate && asked.max_stale.is_some_and(|most| staleness <= u64::from(most)) {
        return Disposition::Stale;
    }
    if life.may_serve_while_revalidating(now) {
        Disposition::StaleWhileRevalidate
    } else {
        Disposition::Unusable
    }
}

impl Cache {
    pub(super) fn lookup(self: &Arc<Self>, exchange: &mut Exchange) -> Step {
        let plan = match self.settings.mode {
            Mode::Http => Lookup::http(&self.settings, exchange),
            Mode::Ocelot => Lookup::ocelot(&self.settings, exchange),
        };
        match plan {
            Lookup::Lookup(asked) => {
                let found = self.find(exchange);
                self.answer(exchange, asked, found, true)
            }
            Lookup::Body if exchange.is_dry_run => Step::Next,
            Lookup::Body => Step::ReadBody(MAX_KEY_BODY),
            Lookup::Bypass(forward) => self.bypass(exchange, forward),
        }
    }

    fn find(&self, exchange: &Exchange) -> ComputedKey {
        let body = exchange
            .body
            .collected
            .as_deref()
            .filter(|_| self.settings.hash_body && exchange.body.framing != Framing::None);
        match self.settings.mode {
            // HEAD is answered out of what GET brought.
            Mode::Http => self.keyer.compute(exchange, b"GET", None),
            Mode::Ocelot => self.keyer.compute(exchange, exchange.request.method(), body),
        }
    }

    /// What is stored for the request, unless something was said against it.
    fn stored(&self, exchange: &Exchange, found: ComputedKey) -> (Option<Arc<Entry>>, Forward) {
        let Some(resource) = self.store.get(found.key) else { return (None, Forward::UriMiss) };
        let entry = resource.find(&exchange.request);
        let entry = entry.filter(|entry| entry.metadata.is_valid(&self.shared.invalidation));
        (entry.cloned(), if resource.variants.is_empty() { Forward::UriMiss } else { Forward::VaryMiss })
    }

    fn answer(
        self: &Arc<Self>,
        exchange: &mut Exchange,
        asked: CacheRequest,
        found: ComputedKey,
        wait: bool,
    ) -> Step {
        let (entry, missed) = self.stored(exchange, found);
        let forward = if entry.is_some() { Forward::Stale } else { missed };
        if let Some(entry) = &entry {
            match disposition(&entry.metadata.freshness, &asked.directives, exchange.now) {
                Disposition::Fresh => {
                    return Step::Respond(self.serve_hit(exchange, entry, &asked, CacheOutcome::Hit));
                }
                Disposition::Stale => {
                    return Step::Respond(self.serve_hit(exchange, entry, &asked, CacheOutcome::Stale));
                }
                Disposition::StaleWhileRevalidate => {
                    self.refresh(exchange, &asked, found, entry);
                    return Step::Respond(self.serve_hit(exchange, entry, &asked, CacheOutcome::Stale));
                }
                Disposition::Unusable => {}
            }
        }
        if asked.directives.only_if_cached {
            return Step::Fail(GatewayError::new(
                ErrorCode::CacheOnlyIfCached,
                "nothing fresh is stored, and nothing else was wanted",
            ));
        }
        if exchange.is_dry_run {
            return Step::Next;
        }
        self.join_or_lead(exchange, asked, found, entry, forward, wait)
    }

    /// Another request for the same is joined, or this one goes on.
    fn join_or_lead(
        self: &Arc<Self>,
        exchange: &mut Exchange,
        asked: CacheRequest,
        found: ComputedKey,
        entry: Option<Arc<Entry>>,
        forward: Forward,
        wait: bool,
    ) -> Step {
        let alone =
            !wait || !self.settings.coalesce || asked.head_only || !self.can_lead(&asked, entry.as_ref());
        if alone || self.shared.uncacheable.should_bypass(found.key, exchange.now) {
            self.forward(exchange, &asked, Some(found), entry, forward, None);
            return Step::Next;
        }
        match self.shared.coalescer.join(found.key) {
            Role::Follower(flight) => self.wait_for_leader(flight, asked, found),
            Role::Leader(lead) => {
                // Somebody else may have stored an answer just now.
                let (now_stored, _) = self.stored(exchange, found);
                if let Some(stored) = now_stored
                    && disposition(&stored.metadata.freshness, &asked.directives, exchange.now)
                        == Disposition::Fresh
                {
                    lead.end(Some(stored.clone()));
                    return Step::Respond(self.serve_hit(exchange, &stored, &asked, CacheOutcome::Hit));
                }
                self.forward(exchange, &asked, Some(found), entry, forward, Some(lead));
                Step::Next
            }
        }
    }

    /// The answer to a request that others wait for must be a whole one: its conditions must be ours to decide.
    fn can_lead(&self, asked: &CacheRequest, entry: Option<&Arc<Entry>>) -> bool {
        !asked.conditional || entry.is_some_and(|entry| entry.metadata.validates())
    }

    fn wait_for_leader(
        self: &Arc<Self>,
        flight: Arc<InFlightRequest>,
        asked: CacheRequest,
        found: ComputedKey,
    ) -> Step {
        let cache = self.clone();
        Step::Suspend(Box::pin(async move {
            let state = flight.wait_finished().await;
            Step::ResumeAt(Box::new(move |x| cache.use_stored(x, state, asked, found)))
        }))
    }

    /// What another request brought, if it is for this one too.
    fn use_stored(
        self: &Arc<Self>,
        exchange: &mut Exchange,
        state: State,
        asked: CacheRequest,
        found: ComputedKey,
    ) -> Step {
        // The clock stood still for this exchange while it waited.
        let now = Instant::now();
        match state {
            State::Open(incoming)
                if incoming.about.vary_key.matches(&exchange.request) && incoming.filling.is_open() =>
            {
                let length = incoming.filling.length();
                let source = Source::Streaming(incoming.filling.follow(), length);
                Step::Respond(self.respond(
                    exchange,
                    &incoming.about,
                    source,
                    &asked,
                    now,
                    CacheOutcome::Coalesced,
                ))
            }
            State::Stored(entry) if entry.metadata.vary_key.matches(&exchange.request) => {
                let source = Source::Stored(&entry);
                Step::Respond(self.respond(
                    exchange,
                    &entry.metadata,
                    source,
                    &asked,
                    now,
                    CacheOutcome::Coalesced,
                ))
            }
            State::Abandoned => self.answer(exchange, asked, found, true),
            _ => self.answer(exchange, asked, found, false),
        }
    }

    fn serve_hit(
        &self,
        exchange: &Exchange,
        entry: &Entry,
        asked: &CacheRequest,
        outcome: CacheOutcome,
    ) -> Response {
        self.respond(exchange, &entry.metadata, Source::Stored(entry), asked, exchange.now, outcome)
    }

    fn respond(
        &self,
        exchange: &Exchange,
        about: &EntryMetadata,
        source: Source,
        asked: &CacheRequest,
        now: Instant,
        outcome: CacheOutcome,
    ) -> Response {
        if !exchange.is_dry_run {
            self.metrics.count(exchange.worker, outcome);
        }
        let conditions = asked.conditional.then(|| Conditions::from_request(&exchange.request));
        let collapsed = outcome == CacheOutcome::Coalesced;
        let said = CacheStatus {
            hit: true,
            ttl: Some(ttl(&about.freshness, now)),
            collapsed,
            ..CacheStatus::default()
        };
        let wanted = ServeRequest {
            head_only: asked.head_only,
            conditions: conditions.as_ref(),
            now,
            cache_status: self.adds_age().then_some(said),
        };
        serve::response(about, source, &wanted)
    }

    /// The request goes on, with all that is needed when it comes back.
    pub(super) fn forward(
        &self,
        exchange: &mut Exchange,
        asked: &CacheRequest,
        found: Option<ComputedKey>,
        entry: Option<Arc<Entry>>,
        forward: Forward,
        lead: Option<Leader>,
    ) {
        let validating = !asked.head_only && entry.as_ref().is_some_and(|entry| entry.metadata.validates());
        let conditions = if validating {
            Conditions::take_from_request(&mut exchange.request)
        } else {
            Conditions::default()
        };
        if let Some(entry) = entry.as_ref().filter(|_| validating) {
            let stored = &entry.metadata.head;
            for (name, field) in
                [(&b"If-None-Match"[..], &b"etag"[..]), (b"If-Modified-Since", b"last-modified")]
            {
                if let Some(value) = stored.get(field) {
                    exchange.request.append(name, value);
                }
            }
        }
        let ticket = CacheContext {
            // What comes back to a HEAD is no answer to anything else.
            key: found.filter(|_| !asked.head_only || self.settings.mode == Mode::Ocelot),
            url: url(exchange),
            stamp: self.shared.invalidation.current(),
            request: exchange.now,
            forward_reason: forward,
            entry,
            validating,
            conditions,
            stale_if_error: asked.directives.stale_if_error,
            authorized: asked.authorized,
            leader: lead,
        };
        exchange.response.cache_context = Some(Box::new(ticket));
    }

    fn bypass(&self, exchange: &mut Exchange, forward: Forward) -> Step {
        if !exchange.is_dry_run {
            self.forward(exchange, &CacheRequest::default(), None, None, forward, None);
        }
        Step::Next
    }
}

/// Seconds of freshness left; fewer than none for what is stale.
pub fn ttl(life: &Freshness, now: Instant) -> i64 {
    let secs = |time: std::time::Duration| i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    secs(life.lifetime).saturating_sub(secs(life.age(now)))
}
