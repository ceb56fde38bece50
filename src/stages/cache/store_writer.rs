//! Where the body of an answer lands: in the store, and with those who wait for it.

use super::{
    Cache,
    coalescing::{Leader, StreamingEntry},
    entry::{Entry, EntryMetadata, MemoryGuard, Pieces, copy_counted},
    key::ComputedKey,
    registry::CacheShared,
    store::Store,
    store_response::body_len,
    streaming_fill::FillSink,
};
use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Instant,
};

/// An answer about to be stored.
pub struct StoreWriter {
    store: Arc<dyn Store>,
    common: Arc<CacheShared>,
    key: ComputedKey,
    metadata: Arc<EntryMetadata>,
    /// Taken by the end, which comes once.
    publish_stream: Mutex<Option<(MemoryGuard, Option<Leader>)>>,
    max_object_size: u64,
    reservations: AtomicU64,
}

impl StoreWriter {
    pub fn new(
        cache: &Cache,
        key: ComputedKey,
        metadata: Arc<EntryMetadata>,
        hold: MemoryGuard,
        lead: Option<Leader>,
    ) -> StoreWriter {
        StoreWriter {
            store: cache.store.clone(),
            common: cache.shared.clone(),
            key,
            metadata,
            publish_stream: Mutex::new(Some((hold, lead))),
            max_object_size: cache.max_object_size,
            reservations: AtomicU64::new(0),
        }
    }

    /// A body that is here already.
    pub fn store_full(&self, bytes: &[u8]) {
        let body = match self.try_reserve(bytes.len()) {
            Some(_) if bytes.is_empty() => Some(Pieces::new()),
            Some(hold) => Some(Pieces::from_iter([copy_counted(bytes.into(), hold)])),
            None => None,
        };
        self.commit(body);
    }
}

impl FillSink for StoreWriter {
    fn try_reserve(&self, bytes: usize) -> Option<MemoryGuard> {
        let taken = self.reservations.fetch_add(bytes as u64, Relaxed) + bytes as u64;
        // Putting a body together takes its bytes once more.
        if taken > self.max_object_size.saturating_mul(2) {
            return None;
        }
        self.store.try_reserve(bytes)
    }

    fn open(&self, incoming: Arc<StreamingEntry>) {
        let open = self.publish_stream.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, Some(lead))) = &*open {
            lead.publish_stream(incoming);
        }
    }

    fn commit(&self, body: Option<Pieces>) {
        let taken = self.publish_stream.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some((hold, lead)) = taken else { return };
        let admitted = self.common.invalidation.may_store(self.metadata.epoch);
        let body = body.filter(|pieces| admitted && body_len(pieces) <= self.max_object_size);
        let entry = body.map(|body| {
            let length = body_len(&body);
            Arc::new(Entry { metadata: self.metadata.clone(), body, length, _hold: hold })
        });
        if let Some(entry) = &entry {
            self.store.put(self.key.key, entry.clone(), Instant::now());
        }
        lead.into_iter().for_each(|lead| lead.end(entry.clone()));
    }
}
