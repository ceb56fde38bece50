//! What keeps a gateway current: purges, invalidations, and the ends of fetches.

use super::{
    super::{
        purge::Purge,
        shared_key::{SharedKey, resource_mark},
    },
    purges,
    store::SharedCache,
};
use crate::{
    state::{Cmd, Notice, Value},
    telemetry::SharedCacheEvent,
};
use std::{
    sync::{Arc, PoisonError, Weak},
    time::Duration,
};

/// Messages that a subscription holds.
const QUEUE_CAPACITY: usize = 4096;
const READ_TIMEOUT: Duration = Duration::from_secs(1);

/// Applies a message of another gateway.
type OnMessage = fn(&SharedCache, &[u8]);

/// Subscribes to all channels.
pub(super) fn start(cache: &Arc<SharedCache>) {
    let follow: [(&str, OnMessage); 2] = [("done", on_done), ("invalidate", on_invalidate)];
    for (name, on_message) in follow {
        let (weak, mut subscription) =
            (Arc::downgrade(cache), cache.state.subscribe(&cache.channel(name), QUEUE_CAPACITY));
        cache.state.spawn(async move {
            let mut was_subscribed = false;
            while let Some(notice) = subscription.recv().await {
                let Some(cache) = weak.upgrade() else { return };
                match notice {
                    Notice::Message { payload, .. } => on_message(&cache, &payload),
                    // What was invalidated meanwhile is not known.
                    Notice::Subscribed if was_subscribed => cache.forget_memory(),
                    Notice::Subscribed => was_subscribed = true,
                }
            }
        });
    }
    cache.state.spawn(follow_purges(Arc::downgrade(cache)));
}

/// Wakes the requests that wait for a fetch.
fn on_done(cache: &SharedCache, payload: &[u8]) {
    let Some((resource, key)) = payload.split_first_chunk::<16>() else { return };
    let Ok(key) = key.try_into() else { return };
    let waiting = cache.waiting.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(notify) = waiting.get(&SharedKey { resource: *resource, key }) {
        notify.notify_waiters();
    }
}

fn on_invalidate(cache: &SharedCache, payload: &[u8]) {
    if let (Ok(resource), Some(memory)) = (<[u8; 16]>::try_from(payload), cache.memory.upgrade()) {
        memory.invalidate(resource_mark(&resource));
    }
}

async fn follow_purges(cache: Weak<SharedCache>) {
    let Some(mut subscription) =
        cache.upgrade().map(|cache| cache.state.subscribe(&cache.channel("purge"), QUEUE_CAPACITY))
    else {
        return;
    };
    while let Some(notice) = subscription.recv().await {
        let Some(cache) = cache.upgrade() else { return };
        let is_complete = match notice {
            Notice::Subscribed => false,
            Notice::Message { payload, .. } => match purges::decode(&payload) {
                Some((number, purge)) => {
                    cache.count(SharedCacheEvent::Purge);
                    cache.purge_memory(&purge);
                    cache.lock_purges().add(number, purge)
                }
                None => false,
            },
        };
        if !is_complete {
            cache.read_purges().await;
        }
    }
}

impl SharedCache {
    /// Reads the purges on Redis, and forgets what they may concern.
    async fn read_purges(&self) {
        let mut command = Cmd::new();
        command.arg("ZRANGE").arg(self.purges_key()).arg(0).arg(-1);
        let Ok(Value::Array(items)) = self.state.command(&command, READ_TIMEOUT).await else { return };
        let purges = items.iter().filter_map(|item| match item {
            Value::BulkString(text) => purges::decode(text),
            _ => None,
        });
        let purges: Vec<_> = purges.collect();
        let latest = purges.last().map_or(0, |(number, _)| *number);
        let known = {
            let mut log = self.lock_purges();
            let known = log.latest();
            log.reset(latest, purges.into_iter());
            known
        };
        if latest != known {
            self.forget_memory();
        }
    }

    fn purge_memory(&self, purge: &Purge) {
        if let Some(memory) = self.memory.upgrade() {
            memory.forget(purge);
        }
    }

    /// Forgets the responses in memory: a message may have been lost.
    fn forget_memory(&self) {
        self.purge_memory(&Purge::All);
    }
}
