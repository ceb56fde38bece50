//! Background revalidation (`stale-while-revalidate`, RFC 5861 3).

use super::{
    coalescing::Role, conditions::Conditions, context::CacheContext, core::Cache, entry::Entry,
    key::ComputedKey, request::CacheRequest, status::Forward,
};
use crate::pipeline::{body::Body, collect::drain_body, exchange::Exchange, response::RouteResult};
use std::{sync::Arc, time::Duration};

/// Longest pause between two chunks of a body that no client waits for.
const BODY_IDLE_TIMEOUT: Duration = Duration::from_secs(60);

impl Cache {
    /// Revalidates in the background, unless another request for the same is in flight.
    pub(super) fn refresh(
        self: &Arc<Self>,
        exchange: &Exchange,
        request: &CacheRequest,
        computed: ComputedKey,
        entry: &Arc<Entry>,
    ) {
        let Some(runtime) = exchange.runtime.clone().filter(|_| !exchange.is_dry_run) else { return };
        let Role::Leader(leader) = self.shared.coalescer.join(computed.key) else { return };
        let mut fork = exchange.fork(exchange.now);
        fork.request.set_method(b"GET");
        Conditions::take_from_request(&mut fork.request);
        fork.request.remove(b"cache-control");
        let request = CacheRequest { authorized: request.authorized, ..CacheRequest::default() };
        self.forward(&mut fork, &request, Some(computed), Some(entry.clone()), Forward::Stale, leader.into());
        let context =
            fork.response.cache_context.take().and_then(|context| context.downcast::<CacheContext>().ok());
        let Some(context) = context else { return };
        let (cache, head, worker) = (self.clone(), fork.request.clone(), exchange.worker);
        let response = runtime.clone().run_remaining(fork);
        runtime.spawn(Box::pin(async move {
            let mut context = context;
            if let (Some(shared), Some(key)) = (&cache.shared_cache, context.shared_key) {
                // Without the lock, another gateway revalidates it too, and this one only for itself.
                context.lead.fetch = shared.try_fetch(key).await;
            }
            let mut outcome: RouteResult = response.await;
            cache.handle_response(worker, &head, *context, &mut outcome);
            if let Ok(response) = outcome
                && let Body::Stream(body) = response.body
            {
                drain_body(body, BODY_IDLE_TIMEOUT).await;
            }
        }));
    }
}
