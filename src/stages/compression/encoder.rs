//! The three encoders behind one step: so much in, so much out, never more than there is room for.

use crate::base::content_coding::ContentCoding;
use brotli::enc::{
    StandardAlloc,
    encode::{
        BrotliEncoderCompressStream, BrotliEncoderCreateInstance, BrotliEncoderDestroyInstance,
        BrotliEncoderHasMoreOutput, BrotliEncoderIsFinished, BrotliEncoderOperation, BrotliEncoderParameter,
        BrotliEncoderSetParameter, BrotliEncoderStateStruct,
    },
};
use flate2::{Compress, Compression, FlushCompress, Status};
use std::io;
use zstd::stream::raw::{CParameter, Encoder as Zstd, InBuffer, Operation, OutBuffer};

/// How far back encoders look, as a power of two: what a stream costs in memory, here and at the client.
const GZIP_WINDOW_BITS: u8 = 15;
const BROTLI_WINDOW: u32 = 18;
const ZSTD_WINDOW: u32 = 18;

/// Up to this level zstd's own tables are small.
const ZSTD_SMALL: u8 = 4;

/// What a step is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// Take more in.
    Write,
    /// Give out everything that was taken in, so that it can be read.
    Flush,
    /// Give out everything, and the end.
    Finish,
}

/// What a step came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    pub consumed: usize,
    pub written: usize,
    /// Nothing stands any more of what was to be flushed or finished.
    pub complete: bool,
}

/// An encoder of one coding and level.
pub enum Encoder {
    Gzip(Compress),
    Brotli(Box<Brotli>),
    Zstd(Zstd<'static>),
}

impl Encoder {
    pub fn new(coding: ContentCoding, level: u8) -> io::Result<Encoder> {
        Ok(match coding {
            ContentCoding::Gzip => {
                Encoder::Gzip(Compress::new_gzip(Compression::new(level.into()), GZIP_WINDOW_BITS))
            }
            ContentCoding::Brotli => Encoder::Brotli(Box::new(Brotli::new(level))),
            ContentCoding::Zstd => {
                let mut encoder = Zstd::new(level.into())?;
                encoder.set_parameter(CParameter::WindowLog(ZSTD_WINDOW))?;
                if level > ZSTD_SMALL {
                    // The tables of hard levels are meant for windows of many MiB.
                    encoder.set_parameter(CParameter::HashLog(ZSTD_WINDOW))?;
                    encoder.set_parameter(CParameter::ChainLog(ZSTD_WINDOW))?;
                }
                Encoder::Zstd(encoder)
            }
        })
    }

    /// Takes of the input what there is room for in `out`.
    pub fn step(&mut self, input: &[u8], op: Op, buffer: &mut [u8]) -> io::Result<Progress> {
        match self {
            Encoder::Gzip(encoder) => gzip(encoder, input, op, buffer),
            Encoder::Brotli(encoder) => encoder.step(input, op, buffer),
            Encoder::Zstd(encoder) => zstd(encoder, input, op, buffer),
        }
    }

    /// Makes it ready for another body; false if it cannot be.
    pub fn reset(&mut self) -> bool {
        match self {
            Encoder::Gzip(encoder) => {
                encoder.reset();
                true
            }
            Encoder::Brotli(_) => false,
            Encoder::Zstd(encoder) => encoder.reinit().is_ok(),
        }
    }
}

fn gzip(encoder: &mut Compress, input: &[u8], op: Op, buffer: &mut [u8]) -> io::Result<Progress> {
    let flush = match op {
        Op::Write => FlushCompress::None,
        Op::Flush => FlushCompress::Sync,
        Op::Finish => FlushCompress::Finish,
    };
    let (taken, written) = (encoder.total_in(), encoder.total_out());
    let status = encoder.compress(input, buffer, flush).map_err(io::Error::other)?;
    let written = (encoder.total_out() - written) as usize;
    let complete = match op {
        Op::Finish => status == Status::StreamEnd,
        // What fills all the room may go on beyond it.
        _ => written < buffer.len(),
    };
    Ok(Progress { consumed: (encoder.total_in() - taken) as usize, written, complete })
}

fn zstd(encoder: &mut Zstd, input: &[u8], op: Op, buffer: &mut [u8]) -> io::Result<Progress> {
    let (mut input, mut buffer) = (InBuffer::around(input), OutBuffer::around(buffer));
    let left = match op {
        Op::Write => encoder.run(&mut input, &mut buffer).map(|_| 0)?,
        Op::Flush => encoder.flush(&mut buffer)?,
        Op::Finish => encoder.finish(&mut buffer, true)?,
    };
    Ok(Progress { consumed: input.pos(), written: buffer.pos(), complete: left == 0 })
}

/// Brotli; an encoder serves one body.
pub struct Brotli(BrotliEncoderStateStruct<StandardAlloc>);

impl Brotli {
    fn new(level: u8) -> Brotli {
        let mut state = BrotliEncoderCreateInstance(StandardAlloc::default());
        let mut set = |parameter, value| BrotliEncoderSetParameter(&mut state, parameter, value);
        set(BrotliEncoderParameter::BROTLI_PARAM_QUALITY, level.into());
        set(BrotliEncoderParameter::BROTLI_PARAM_LGWIN, BROTLI_WINDOW);
        Brotli(state)
    }

    fn step(&mut self, input: &[u8], op: Op, buffer: &mut [u8]) -> io::Result<Progress> {
        let operation = match op {
            Op::Write => BrotliEncoderOperation::BROTLI_OPERATION_PROCESS,
            Op::Flush => BrotliEncoderOperation::BROTLI_OPERATION_FLUSH,
            Op::Finish => BrotliEncoderOperation::BROTLI_OPERATION_FINISH,
        };
        let (mut left, mut taken, mut room, mut written) = (input.len(), 0, buffer.len(), 0);
        let good = BrotliEncoderCompressStream(
            &mut self.0,
            operation,
            &mut left,
            input,
            &mut taken,
            &mut room,
            buffer,
            &mut written,
            &mut None,
            &mut |_, _, _, _| (),
        );
        if good <= 0 {
            return Err(io::Error::other("brotli cannot go on"));
        }
        let more = BrotliEncoderHasMoreOutput(&self.0) != 0;
        let complete = match op {
            Op::Finish => BrotliEncoderIsFinished(&self.0) != 0,
            _ => !more,
        };
        Ok(Progress { consumed: taken, written, complete })
    }
}

impl Drop for Brotli {
    fn drop(&mut self) {
        BrotliEncoderDestroyInstance(&mut self.0);
    }
}
