//! The leader of the requests for a key: takes a response from the state that several gateways share, or fetches one.

use super::{
    coalescing::Leader,
    context::Lead,
    core::Cache,
    disposition::{Disposition, disposition},
    entry::{Entry, EntryMetadata, Pieces, copy_counted},
    freshness::Freshness,
    invalidation_epochs::Epoch,
    key::ComputedKey,
    request::CacheRequest,
    settings::Mode,
    shared::{LoadedResponse, Obtained, SharedQuery},
    shared_key::SharedKey,
    status::Forward,
};
use crate::{
    pipeline::{body::Framing, exchange::Exchange, stage::Step},
    telemetry::CacheOutcome,
};
use std::{sync::Arc, time::Instant};

/// The request of a leader.
pub(super) struct LeadRequest {
    pub request: CacheRequest,
    pub computed: ComputedKey,
    /// The stored response, which is stale.
    pub entry: Option<Arc<Entry>>,
    pub forward: Forward,
}

impl Cache {
    /// Fetches a response, unless another gateway has stored one.
    pub(super) fn lead(
        self: &Arc<Self>,
        exchange: &mut Exchange,
        leader: Leader,
        lead: LeadRequest,
        deadline: Instant,
    ) -> Step {
        let Some(shared) = &self.shared_cache else {
            let LeadRequest { request, computed, entry, forward } = lead;
            self.forward(exchange, &request, Some(computed), entry, forward, leader.into());
            return Step::Next;
        };
        let (cache, shared, head) = (self.clone(), shared.clone(), exchange.request.clone());
        let (key, epoch) = (self.shared_key(exchange), self.shared.invalidation.current());
        let directives = lead.request.directives.clone();
        Step::Suspend(Box::pin(async move {
            let is_fresh = |freshness: &Freshness| {
                disposition(freshness, &directives, Instant::now()) == Disposition::Fresh
            };
            let (request, region, max_bytes) = (&head, &*cache.region, cache.max_object_size);
            let query = SharedQuery { key, request, region, max_bytes, deadline };
            let obtained = shared.obtain(&query, is_fresh).await;
            Step::ResumeAt(Box::new(move |exchange| {
                cache.use_obtained(exchange, obtained, leader, lead, (key, epoch))
            }))
        }))
    }

    fn use_obtained(
        self: &Arc<Self>,
        exchange: &mut Exchange,
        obtained: Obtained,
        leader: Leader,
        lead: LeadRequest,
        (key, epoch): (SharedKey, Epoch),
    ) -> Step {
        let LeadRequest { request, computed, entry, forward } = lead;
        let (found, fetch, is_fresh) = match obtained {
            Obtained::Fresh(found) => (Some(found), None, true),
            Obtained::Fetch(fetch, stale) => (stale, Some(fetch), false),
            Obtained::Alone(stale) => (stale, None, false),
        };
        let found = found.and_then(|found| self.promote(found, key, computed, epoch));
        if let Some(entry) = found.as_ref().filter(|_| is_fresh) {
            leader.end(Some(entry.clone()));
            return Step::Respond(self.serve_hit(exchange, entry, &request, CacheOutcome::Hit));
        }
        let forward = if found.is_some() { Forward::Stale } else { forward };
        let lead = Lead { leader: Some(leader), fetch };
        self.forward(exchange, &request, Some(computed), found.or(entry), forward, lead);
        Step::Next
    }

    /// Stores a response of another gateway in memory if it is worth it; `None` without memory to send it.
    fn promote(
        &self,
        LoadedResponse { value, body }: LoadedResponse,
        key: SharedKey,
        computed: ComputedKey,
        epoch: Epoch,
    ) -> Option<Arc<Entry>> {
        let metadata = EntryMetadata {
            invalidation_marks: self.invalidation_marks(computed, Some(key), &value.head),
            head: value.head,
            vary_key: value.vary_key,
            freshness: value.freshness,
            epoch,
            url: value.url,
            region: self.region.clone(),
        };
        let is_stored = self.store.is_worth_storing(computed.key, metadata.size() + body.len());
        let reservation = self.store.try_reserve(metadata.size())?;
        let length = body.len() as u64;
        let body = match body.is_empty() {
            true => Pieces::new(),
            false => {
                let reservation = self.store.try_reserve(body.len())?;
                Pieces::from_iter([copy_counted(body.into(), reservation)])
            }
        };
        let entry = Arc::new(Entry { metadata: Arc::new(metadata), body, length, _reservation: reservation });
        if is_stored && self.shared.invalidation.may_store(epoch) {
            self.store.put(computed.key, entry.clone(), Instant::now());
        }
        Some(entry)
    }

    fn shared_key(&self, exchange: &Exchange) -> SharedKey {
        let body = exchange.body.collected.as_deref();
        let body = body.filter(|_| self.settings.hash_body && exchange.body.framing != Framing::None);
        match self.settings.mode {
            Mode::Http => self.key_builder.compute_shared(exchange, b"GET", None),
            Mode::Ocelot => self.key_builder.compute_shared(exchange, exchange.request.method(), body),
        }
    }

    /// The key under which a response to the request is invalidated by other gateways.
    pub(super) fn shared_key_to_store(&self, exchange: &Exchange, is_stored: bool) -> Option<SharedKey> {
        (is_stored && self.shared_cache.is_some()).then(|| self.shared_key(exchange))
    }
}
