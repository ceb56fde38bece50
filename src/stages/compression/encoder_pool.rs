//! Encoders that no body uses, kept for the next one: making one costs more than compressing a small answer.

use super::encoder::{Encoder, Op, Progress};
use crate::base::content_coding::ContentCoding;
use std::{cell::RefCell, io, ops::Range};

/// Room for what comes out of an encoder; the client takes it before more goes in.
pub const OUTPUT_CHUNK: usize = 16 * 1024;

/// Kits of one coding that a worker keeps.
const MAX_POOLED: usize = 4;

thread_local! {
    static SHELF: RefCell<Vec<EncoderState>> = const { RefCell::new(Vec::new()) };
}

struct EncoderState {
    coding: ContentCoding,
    level: u8,
    encoder: Encoder,
    out: Vec<u8>,
}

/// An encoder and the room for its output; goes back to the shelf when it is dropped.
pub struct PooledEncoder {
    /// None only while it is dropped.
    kept: Option<EncoderState>,
    /// What of the output stands to be taken.
    pending: Range<usize>,
}

impl PooledEncoder {
    /// A kit from the shelf, or a new one.
    pub fn take(coding: ContentCoding, level: u8) -> io::Result<PooledEncoder> {
        let found = SHELF.with_borrow_mut(|shelf| {
            let at = shelf.iter().position(|kept| (kept.coding, kept.level) == (coding, level))?;
            Some(shelf.swap_remove(at))
        });
        let kept = match found {
            Some(kept) => kept,
            None => EncoderState {
                coding,
                level,
                encoder: Encoder::new(coding, level)?,
                out: vec![0; OUTPUT_CHUNK],
            },
        };
        Ok(PooledEncoder { kept: Some(kept), pending: 0..0 })
    }

    /// What came out and was not taken yet.
    pub fn pending_output(&self) -> &[u8] {
        self.kept.as_ref().and_then(|kept| kept.out.get(self.pending.clone())).unwrap_or_default()
    }

    /// So much of it was taken.
    pub fn consume(&mut self, n: usize) {
        self.pending.start = (self.pending.start + n).min(self.pending.end);
    }

    /// One step of the encoder, once all that stood was taken.
    pub fn step(&mut self, input: &[u8], op: Op) -> io::Result<Progress> {
        let Some(kept) = &mut self.kept else { return Err(io::ErrorKind::NotConnected.into()) };
        let done = kept.encoder.step(input, op, &mut kept.out)?;
        self.pending = 0..done.written;
        Ok(done)
    }
}

impl Drop for PooledEncoder {
    fn drop(&mut self) {
        let Some(mut kept) = self.kept.take().filter(|kept| kept.coding != ContentCoding::Brotli) else {
            return;
        };
        // At the end of the thread there is no shelf any more.
        let _ = SHELF.try_with(|shelf| {
            let Ok(mut shelf) = shelf.try_borrow_mut() else { return };
            let same = shelf.iter().filter(|other| other.coding == kept.coding).count();
            if same < MAX_POOLED && kept.encoder.reset() {
                shelf.push(kept);
            }
        });
    }
}
