//! Pool of idle encoders per worker: creating one costs more than compressing a small response.

use super::encoder::{Encoder, Op, Progress};
use crate::base::content_coding::ContentCoding;
use std::{cell::RefCell, io, ops::Range};

/// Size of the output buffer; its content is sent before the encoder consumes more input.
pub const OUTPUT_CHUNK_BYTES: usize = 16 * 1024;

/// Idle encoders of one coding per worker.
const MAX_POOLED: usize = 4;

thread_local! {
    static POOL: RefCell<Vec<EncoderState>> = const { RefCell::new(Vec::new()) };
}

struct EncoderState {
    coding: ContentCoding,
    level: u8,
    encoder: Encoder,
    out: Vec<u8>,
}

/// An encoder with its output buffer; returns to the pool on drop.
pub struct PooledEncoder {
    /// `None` only during drop.
    state: Option<EncoderState>,
    /// The range of the output that is not consumed.
    pending: Range<usize>,
}

impl PooledEncoder {
    /// An encoder from the pool, or a new one.
    pub fn take(coding: ContentCoding, level: u8) -> io::Result<PooledEncoder> {
        let pooled = POOL.with_borrow_mut(|pool| {
            let at = pool.iter().position(|state| (state.coding, state.level) == (coding, level))?;
            Some(pool.swap_remove(at))
        });
        let state = match pooled {
            Some(state) => state,
            None => EncoderState {
                coding,
                level,
                encoder: Encoder::new(coding, level)?,
                out: vec![0; OUTPUT_CHUNK_BYTES],
            },
        };
        Ok(PooledEncoder { state: Some(state), pending: 0..0 })
    }

    /// The output that is not consumed.
    pub fn pending_output(&self) -> &[u8] {
        self.state.as_ref().and_then(|state| state.out.get(self.pending.clone())).unwrap_or_default()
    }

    /// Consumes `n` bytes of the output.
    pub fn consume(&mut self, n: usize) {
        self.pending.start = (self.pending.start + n).min(self.pending.end);
    }

    /// One step of the encoder, after its output was consumed.
    pub fn step(&mut self, input: &[u8], op: Op) -> io::Result<Progress> {
        let Some(state) = &mut self.state else { return Err(io::ErrorKind::NotConnected.into()) };
        let progress = state.encoder.step(input, op, &mut state.out)?;
        self.pending = 0..progress.written;
        Ok(progress)
    }
}

impl Drop for PooledEncoder {
    fn drop(&mut self) {
        let Some(mut state) = self.state.take().filter(|state| state.coding != ContentCoding::Brotli) else {
            return;
        };
        // During the shutdown of the thread the pool is gone.
        let _ = POOL.try_with(|pool| {
            let Ok(mut pool) = pool.try_borrow_mut() else { return };
            let count = pool.iter().filter(|other| other.coding == state.coding).count();
            if count < MAX_POOLED && state.encoder.reset() {
                pool.push(state);
            }
        });
    }
}
