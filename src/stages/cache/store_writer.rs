//! Writes one response: to the store when its body is complete, and to the requests that wait for it.

use super::{
    context::Lead,
    core::Cache,
    entry::{Entry, EntryMetadata, MemoryGuard, Pieces, body_len, copy_counted},
    key::ComputedKey,
    registry::CacheShared,
    store::Store,
    streaming_fill::{FillSink, StreamingEntry},
};
use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Instant,
};

/// A response that is being stored.
pub struct StoreWriter {
    store: Arc<dyn Store>,
    shared: Arc<CacheShared>,
    key: ComputedKey,
    metadata: Arc<EntryMetadata>,
    /// The memory of the metadata, and who waits for the response; `commit` takes them.
    uncommitted: Mutex<Option<(MemoryGuard, Lead)>>,
    max_object_size: u64,
    reserved_bytes: AtomicU64,
}

impl StoreWriter {
    /// Stores nothing if it is dropped without `commit`.
    pub fn new(
        cache: &Cache,
        key: ComputedKey,
        metadata: Arc<EntryMetadata>,
        reservation: MemoryGuard,
        lead: Lead,
    ) -> StoreWriter {
        StoreWriter {
            store: cache.store.clone(),
            shared: cache.shared.clone(),
            key,
            metadata,
            uncommitted: Mutex::new(Some((reservation, lead))),
            max_object_size: cache.max_object_size,
            reserved_bytes: AtomicU64::new(0),
        }
    }

    /// Stores a body that is complete already.
    pub fn store_full(&self, bytes: &[u8]) {
        let body = match self.try_reserve(bytes.len()) {
            Some(_) if bytes.is_empty() => Some(Pieces::new()),
            Some(reservation) => Some(Pieces::from_iter([copy_counted(bytes.into(), reservation)])),
            None => None,
        };
        self.commit(body);
    }
}

impl FillSink for StoreWriter {
    fn try_reserve(&self, bytes: usize) -> Option<MemoryGuard> {
        let reserved_bytes = self.reserved_bytes.fetch_add(bytes as u64, Relaxed) + bytes as u64;
        // Joining the chunks of a body reserves its bytes a second time.
        if reserved_bytes > self.max_object_size.saturating_mul(2) {
            return None;
        }
        self.store.try_reserve(bytes)
    }

    fn open(&self, streaming: Arc<StreamingEntry>) {
        let uncommitted = self.uncommitted.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, Lead { leader: Some(leader), .. })) = &*uncommitted {
            leader.publish_stream(streaming);
        }
    }

    fn commit(&self, body: Option<Pieces>) {
        let uncommitted = self.uncommitted.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some((reservation, Lead { leader, fetch })) = uncommitted else { return };
        let admitted = self.shared.invalidation.may_store(self.metadata.epoch);
        let body = body.filter(|pieces| admitted && body_len(pieces) <= self.max_object_size);
        let entry = body.map(|body| {
            let length = body_len(&body);
            Arc::new(Entry { metadata: self.metadata.clone(), body, length, _reservation: reservation })
        });
        if let Some(entry) = &entry {
            self.store.put(self.key.key, entry.clone(), Instant::now());
            fetch.into_iter().for_each(|fetch| fetch.store(entry.clone()));
        }
        leader.into_iter().for_each(|leader| leader.end(entry.clone()));
    }
}
