//! Where the body of an answer lands: in the store, and with those who wait for it.

use super::{
    Cache,
    entry::{About, Entry, Hold, Pieces, counted},
    fill::Sink,
    flights::{Incoming, Lead},
    kept::Common,
    key::Found,
    landing::pieces_length,
    store::Store,
};
use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Instant,
};

/// An answer about to be stored.
pub struct Landing {
    store: Arc<dyn Store>,
    common: Arc<Common>,
    found: Found,
    about: Arc<About>,
    /// Taken by the end, which comes once.
    open: Mutex<Option<(Hold, Option<Lead>)>>,
    largest: u64,
    taken: AtomicU64,
}

impl Landing {
    pub fn new(cache: &Cache, found: Found, about: Arc<About>, hold: Hold, lead: Option<Lead>) -> Landing {
        Landing {
            store: cache.store.clone(),
            common: cache.common.clone(),
            found,
            about,
            open: Mutex::new(Some((hold, lead))),
            largest: cache.largest,
            taken: AtomicU64::new(0),
        }
    }

    /// A body that is here already.
    pub fn whole(&self, bytes: &[u8]) {
        let body = match self.room(bytes.len()) {
            Some(_) if bytes.is_empty() => Some(Pieces::new()),
            Some(hold) => Some(Pieces::from_iter([counted(bytes.into(), hold)])),
            None => None,
        };
        self.end(body);
    }
}

impl Sink for Landing {
    fn room(&self, bytes: usize) -> Option<Hold> {
        let taken = self.taken.fetch_add(bytes as u64, Relaxed) + bytes as u64;
        // Putting a body together takes its bytes once more.
        if taken > self.largest.saturating_mul(2) {
            return None;
        }
        self.store.room(bytes)
    }

    fn open(&self, incoming: Arc<Incoming>) {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, Some(lead))) = &*open {
            lead.open(incoming);
        }
    }

    fn end(&self, body: Option<Pieces>) {
        let taken = self.open.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some((hold, lead)) = taken else { return };
        let admitted = self.common.marks.admits(self.about.stamp);
        let body = body.filter(|pieces| admitted && pieces_length(pieces) <= self.largest);
        let entry = body.map(|body| {
            let length = pieces_length(&body);
            Arc::new(Entry { about: self.about.clone(), body, length, _hold: hold })
        });
        if let Some(entry) = &entry {
            self.store.put(self.found.key, entry.clone(), Instant::now());
        }
        lead.into_iter().for_each(|lead| lead.end(entry.clone()));
    }
}
