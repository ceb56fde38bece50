//! Encoders that no body uses, kept for the next one: making one costs more than compressing a small answer.

use super::encoder::{Done, Encoder, Op};
use crate::base::coding::Coding;
use std::{cell::RefCell, io, ops::Range};

/// Room for what comes out of an encoder; the client takes it before more goes in.
pub const OUT: usize = 16 * 1024;

/// Kits of one coding that a worker keeps.
const KEPT: usize = 4;

thread_local! {
    static SHELF: RefCell<Vec<Kept>> = const { RefCell::new(Vec::new()) };
}

struct Kept {
    coding: Coding,
    level: u8,
    encoder: Encoder,
    out: Vec<u8>,
}

/// An encoder and the room for its output; goes back to the shelf when it is dropped.
pub struct Kit {
    /// None only while it is dropped.
    kept: Option<Kept>,
    /// What of the output stands to be taken.
    stands: Range<usize>,
}

impl Kit {
    /// A kit from the shelf, or a new one.
    pub fn take(coding: Coding, level: u8) -> io::Result<Kit> {
        let found = SHELF.with_borrow_mut(|shelf| {
            let at = shelf.iter().position(|kept| (kept.coding, kept.level) == (coding, level))?;
            Some(shelf.swap_remove(at))
        });
        let kept = match found {
            Some(kept) => kept,
            None => Kept { coding, level, encoder: Encoder::new(coding, level)?, out: vec![0; OUT] },
        };
        Ok(Kit { kept: Some(kept), stands: 0..0 })
    }

    /// What came out and was not taken yet.
    pub fn standing(&self) -> &[u8] {
        self.kept.as_ref().and_then(|kept| kept.out.get(self.stands.clone())).unwrap_or_default()
    }

    /// So much of it was taken.
    pub fn consume(&mut self, n: usize) {
        self.stands.start = (self.stands.start + n).min(self.stands.end);
    }

    /// One step of the encoder, once all that stood was taken.
    pub fn step(&mut self, input: &[u8], op: Op) -> io::Result<Done> {
        let Some(kept) = &mut self.kept else { return Err(io::ErrorKind::NotConnected.into()) };
        let done = kept.encoder.step(input, op, &mut kept.out)?;
        self.stands = 0..done.written;
        Ok(done)
    }
}

impl Drop for Kit {
    fn drop(&mut self) {
        let Some(mut kept) = self.kept.take().filter(|kept| kept.coding != Coding::Brotli) else { return };
        // At the end of the thread there is no shelf any more.
        let _ = SHELF.try_with(|shelf| {
            let Ok(mut shelf) = shelf.try_borrow_mut() else { return };
            let same = shelf.iter().filter(|other| other.coding == kept.coding).count();
            if same < KEPT && kept.encoder.renew() {
                shelf.push(kept);
            }
        });
    }
}
