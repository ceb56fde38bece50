//! One interface to the three encoders: a step consumes input and writes output, bounded by the output buffer.

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

/// Window sizes as powers of two: they bound the memory of a stream in the gateway and the client.
const GZIP_WINDOW_BITS: u8 = 15;
const BROTLI_WINDOW_BITS: u32 = 18;
const ZSTD_WINDOW_BITS: u32 = 18;

/// Up to this level zstd's default tables are small.
const MAX_SMALL_ZSTD_LEVEL: u8 = 4;

/// The operation of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// Consume input.
    Write,
    /// Write all consumed input, so that it can be decoded.
    Flush,
    /// Write everything and the end of the stream.
    Finish,
}

/// The result of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    pub consumed: usize,
    pub written: usize,
    /// The flush or finish is complete.
    pub complete: bool,
}

/// An encoder of one coding and level.
pub enum Encoder {
    Gzip(Compress),
    Brotli(Box<Brotli>),
    Zstd(Zstd<'static>),
}

impl Encoder {
    /// `level` is a level of the coding: gzip and zstd 1 to 9, Brotli 1 to 6.
    pub fn new(coding: ContentCoding, level: u8) -> io::Result<Encoder> {
        Ok(match coding {
            ContentCoding::Gzip => {
                Encoder::Gzip(Compress::new_gzip(Compression::new(level.into()), GZIP_WINDOW_BITS))
            }
            ContentCoding::Brotli => Encoder::Brotli(Box::new(Brotli::new(level))),
            ContentCoding::Zstd => {
                let mut encoder = Zstd::new(level.into())?;
                encoder.set_parameter(CParameter::WindowLog(ZSTD_WINDOW_BITS))?;
                if level > MAX_SMALL_ZSTD_LEVEL {
                    // The tables of high levels are sized for windows of many MiB.
                    encoder.set_parameter(CParameter::HashLog(ZSTD_WINDOW_BITS))?;
                    encoder.set_parameter(CParameter::ChainLog(ZSTD_WINDOW_BITS))?;
                }
                Encoder::Zstd(encoder)
            }
        })
    }

    /// Consumes input as long as the output buffer has room.
    pub fn step(&mut self, input: &[u8], op: Op, buffer: &mut [u8]) -> io::Result<Progress> {
        match self {
            Encoder::Gzip(encoder) => gzip(encoder, input, op, buffer),
            Encoder::Brotli(encoder) => encoder.step(input, op, buffer),
            Encoder::Zstd(encoder) => zstd(encoder, input, op, buffer),
        }
    }

    /// Resets the encoder for another body; false if it cannot be reused.
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
    let (consumed, written) = (encoder.total_in(), encoder.total_out());
    let status = encoder.compress(input, buffer, flush).map_err(io::Error::other)?;
    let written = (encoder.total_out() - written) as usize;
    let complete = match op {
        Op::Finish => status == Status::StreamEnd,
        // A full output buffer means that there may be more output.
        _ => written < buffer.len(),
    };
    Ok(Progress { consumed: (encoder.total_in() - consumed) as usize, written, complete })
}

fn zstd(encoder: &mut Zstd, input: &[u8], op: Op, buffer: &mut [u8]) -> io::Result<Progress> {
    let (mut input, mut buffer) = (InBuffer::around(input), OutBuffer::around(buffer));
    let remaining = match op {
        Op::Write => encoder.run(&mut input, &mut buffer).map(|_| 0)?,
        Op::Flush => encoder.flush(&mut buffer)?,
        Op::Finish => encoder.finish(&mut buffer, true)?,
    };
    Ok(Progress { consumed: input.pos(), written: buffer.pos(), complete: remaining == 0 })
}

/// Brotli; an encoder serves one body.
pub struct Brotli(BrotliEncoderStateStruct<StandardAlloc>);

impl Brotli {
    fn new(level: u8) -> Brotli {
        let mut state = BrotliEncoderCreateInstance(StandardAlloc::default());
        let mut set = |parameter, value| BrotliEncoderSetParameter(&mut state, parameter, value);
        set(BrotliEncoderParameter::BROTLI_PARAM_QUALITY, level.into());
        set(BrotliEncoderParameter::BROTLI_PARAM_LGWIN, BROTLI_WINDOW_BITS);
        Brotli(state)
    }

    fn step(&mut self, input: &[u8], op: Op, buffer: &mut [u8]) -> io::Result<Progress> {
        let operation = match op {
            Op::Write => BrotliEncoderOperation::BROTLI_OPERATION_PROCESS,
            Op::Flush => BrotliEncoderOperation::BROTLI_OPERATION_FLUSH,
            Op::Finish => BrotliEncoderOperation::BROTLI_OPERATION_FINISH,
        };
        let (mut remaining, mut consumed, mut available, mut written) = (input.len(), 0, buffer.len(), 0);
        let result = BrotliEncoderCompressStream(
            &mut self.0,
            operation,
            &mut remaining,
            input,
            &mut consumed,
            &mut available,
            buffer,
            &mut written,
            &mut None,
            &mut |_, _, _, _| (),
        );
        if result <= 0 {
            return Err(io::Error::other("the brotli encoder failed"));
        }
        let has_more_output = BrotliEncoderHasMoreOutput(&self.0) != 0;
        let complete = match op {
            Op::Finish => BrotliEncoderIsFinished(&self.0) != 0,
            _ => !has_more_output,
        };
        Ok(Progress { consumed, written, complete })
    }
}

impl Drop for Brotli {
    fn drop(&mut self) {
        BrotliEncoderDestroyInstance(&mut self.0);
    }
}
