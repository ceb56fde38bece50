//! Bodies that are compressed while they are sent: no data is lost or delayed, and errors are reported.

use super::{super::MemoryLimit, *};
use crate::telemetry::Metrics;
use proptest::prelude::*;
use std::{
    collections::VecDeque,
    io::Read,
    task::{Wake, Waker},
};

/// The steps of a backend.
#[derive(Clone, Debug)]
pub enum Act {
    Send(Vec<u8>),
    Pause,
    Break,
}

struct Script(VecDeque<Act>);

impl BodyRead for Script {
    fn poll_fill(&mut self, _cx: &mut Context) -> Poll<Result<Chunk<'_>, GatewayError>> {
        while matches!(self.0.front(), Some(Act::Send(bytes)) if bytes.is_empty()) {
            self.0.pop_front();
        }
        if let Some(Act::Pause) = self.0.front() {
            self.0.pop_front();
            return Poll::Pending;
        }
        Poll::Ready(match self.0.front() {
            Some(Act::Send(bytes)) => Ok(Chunk::Data(bytes)),
            Some(_) => Err(GatewayError::new(ErrorCode::BackendTruncated, "cut off")),
            None => Ok(Chunk::End),
        })
    }

    fn consume(&mut self, n: usize) {
        if let Some(Act::Send(bytes)) = self.0.front_mut() {
            bytes.drain(..n);
        }
    }

    fn framing(&self) -> Framing {
        Framing::Chunked
    }
}

fn means(coding: ContentCoding, level: u8) -> EncodingPlan {
    EncodingPlan { coding, level, metrics: Metrics::new(1).compression().clone(), worker: 0 }
}

fn compressed(acts: impl IntoIterator<Item = Act>, coding: ContentCoding, level: u8) -> CompressedBody {
    let share = MemoryLimit::new(&Arc::default(), u64::MAX).try_reserve(coding, level).expect("memory");
    CompressedBody::new(Box::new(Script(acts.into_iter().collect())), means(coding, level), share)
}

/// The decoded bytes, and whether the stream is complete.
pub fn decoded(bytes: &[u8], coding: ContentCoding) -> (Vec<u8>, bool) {
    let mut text = Vec::new();
    let mut reader: Box<dyn Read + '_> = match coding {
        ContentCoding::Gzip => Box::new(flate2::read::GzDecoder::new(bytes)),
        ContentCoding::Brotli => Box::new(brotli::Decompressor::new(bytes, 4096)),
        ContentCoding::Zstd => match zstd::stream::read::Decoder::new(bytes) {
            Ok(decoder) => Box::new(decoder),
            Err(_) => return (text, false),
        },
    };
    let mut piece = [0; 256];
    loop {
        match reader.read(&mut piece) {
            Ok(0) => return (text, true),
            Ok(n) => text.extend_from_slice(&piece[..n]),
            Err(_) => return (text, false),
        }
    }
}

/// Counts how often the body was woken.
struct Woken(std::sync::atomic::AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }
}

/// Reads at most `max` bytes per call until the body is pending or ends.
fn take(body: &mut CompressedBody, max: usize, into: &mut Vec<u8>) -> Poll<Result<(), GatewayError>> {
    let mut cx = Context::from_waker(Waker::noop());
    loop {
        let n = match body.poll_fill(&mut cx) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Err(cause)) => return Poll::Ready(Err(cause)),
            Poll::Ready(Ok(Chunk::End)) => return Poll::Ready(Ok(())),
            Poll::Ready(Ok(Chunk::Data(data))) => {
                assert!(!data.is_empty() && data.len() <= OUTPUT_CHUNK_BYTES);
                let n = data.len().min(max);
                into.extend_from_slice(&data[..n]);
                n
            }
        };
        body.consume(n);
    }
}

fn to_the_end(body: &mut CompressedBody, max: usize) -> (Vec<u8>, Result<(), GatewayError>) {
    let mut all = Vec::new();
    loop {
        if let Poll::Ready(end) = take(body, max, &mut all) {
            return (all, end);
        }
    }
}

/// Incompressible bytes.
fn noise(n: usize) -> Vec<u8> {
    let mut x = 0x9e37_79b9_u32;
    let mut next = || {
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        x as u8
    };
    (0..n).map(|_| next()).collect()
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let piece = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..3000).prop_map(Act::Send),
        (any::<u8>(), 0..200_000usize).prop_map(|(b, n)| Act::Send(vec![b; n])),
        (0..70_000usize).prop_map(|n| Act::Send(noise(n))),
        Just(Act::Pause),
    ];
    proptest::collection::vec(piece, 0..8)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn the_client_reads_what_the_backend_sent_for_any_chunks_and_pauses(
        acts in acts(), max in 1..40_000usize, coding in 0..3usize, level in 1..7u8,
    ) {
        let coding = ContentCoding::ALL[coding];
        let sent: Vec<u8> = acts.iter().flat_map(|act| match act {
            Act::Send(bytes) => bytes.clone(),
            _ => Vec::new(),
        }).collect();
        let (bytes, end) = to_the_end(&mut compressed(acts, coding, level), max);
        prop_assert!(end.is_ok());
        prop_assert_eq!(decoded(&bytes, coding), (sent.clone(), true));
        let at_once = compress_buffered(&sent, &means(coding, level), true).expect("compressed");
        prop_assert_eq!(decoded(&at_once, coding), (sent, true));
    }
}

#[test]
fn data_before_a_pause_can_be_decoded_during_it() {
    for coding in ContentCoding::ALL {
        let events = [&b"data: 1\n\n"[..], b"data: 2\n\n", &noise(40_000)];
        // One wake-up when the event is consumed, one when it is sent, one by the next poll.
        let acts =
            events.iter().flat_map(|event| [Act::Send(event.to_vec()), Act::Pause, Act::Pause, Act::Pause]);
        let (mut body, mut bytes, mut sent) = (compressed(acts, coding, 4), Vec::new(), Vec::new());
        for event in events {
            sent.extend_from_slice(event);
            assert!(take(&mut body, 1000, &mut bytes).is_pending());
            assert_eq!(decoded(&bytes, coding).0, sent, "{coding:?}");
            let before = bytes.len();
            assert!(take(&mut body, 1000, &mut bytes).is_pending());
            assert_eq!(bytes.len(), before, "a pause alone costs nothing");
        }
    }
}

#[test]
fn a_failed_body_delivers_the_received_data_and_stays_incomplete() {
    for coding in ContentCoding::ALL {
        let acts = [Act::Send(b"half of ".to_vec()), Act::Send(b"it".to_vec()), Act::Break];
        let mut body = compressed(acts, coding, 4);
        let (bytes, end) = to_the_end(&mut body, 7);
        assert_eq!(end.expect_err("broken").code, ErrorCode::BackendTruncated);
        let (text, _) = decoded(&bytes, coding);
        assert_eq!(text, b"half of it", "{coding:?}");
        assert!(whole_length(&bytes, coding).is_none(), "{coding:?} has an end");
        assert!(to_the_end(&mut body, 7).1.is_err(), "it stays failed");
    }
}

/// The decoded length, if the stream is complete.
fn whole_length(bytes: &[u8], coding: ContentCoding) -> Option<usize> {
    let mut text = Vec::new();
    let read = match coding {
        ContentCoding::Gzip => flate2::read::GzDecoder::new(bytes).read_to_end(&mut text),
        ContentCoding::Brotli => brotli::Decompressor::new(bytes, 4096).read_to_end(&mut text),
        ContentCoding::Zstd => {
            zstd::stream::read::Decoder::new(bytes).and_then(|mut d| d.read_to_end(&mut text))
        }
    };
    read.ok()
}

#[test]
fn no_input_is_consumed_while_output_is_pending() {
    let mut body = compressed([Act::Send(noise(1 << 20))], ContentCoding::Gzip, 1);
    let mut cx = Context::from_waker(Waker::noop());
    let Poll::Ready(Ok(Chunk::Data(first))) = body.poll_fill(&mut cx) else { panic!("some output") };
    let first = first.len();
    let taken = body.polled_bytes;
    for _ in 0..10 {
        let Poll::Ready(Ok(Chunk::Data(again))) = body.poll_fill(&mut cx) else { panic!("the same output") };
        assert_eq!(again.len(), first);
    }
    assert!(body.polled_bytes == taken && taken <= 4 * INPUT_CHUNK_BYTES, "{taken}");
}

#[test]
fn a_long_body_yields_periodically() {
    let woken = Arc::new(Woken(0.into()));
    let waker = Waker::from(woken.clone());
    let mut body = compressed([Act::Send(vec![7; 2 * YIELD_BUDGET_BYTES])], ContentCoding::Zstd, 1);
    let mut cx = Context::from_waker(&waker);
    let mut pauses = 0;
    loop {
        let n = match body.poll_fill(&mut cx) {
            Poll::Pending => {
                pauses += 1;
                0
            }
            Poll::Ready(Ok(Chunk::Data(data))) => data.len(),
            Poll::Ready(_) => break,
        };
        body.consume(n);
    }
    assert_eq!((pauses, woken.0.load(std::sync::atomic::Ordering::Relaxed)), (2, 2));
}

#[test]
fn a_silent_body_has_no_encoder_and_an_empty_one_is_complete() {
    for coding in ContentCoding::ALL {
        let mut body = compressed([Act::Pause], coding, 4);
        let mut cx = Context::from_waker(Waker::noop());
        assert!(body.poll_fill(&mut cx).is_pending() && body.encoder.is_none());
        let (bytes, end) = to_the_end(&mut body, 100);
        assert!(end.is_ok() && decoded(&bytes, coding) == (Vec::new(), true), "{coding:?}");
    }
}

#[test]
fn an_incompressible_body_is_unchanged() {
    for coding in ContentCoding::ALL {
        assert_eq!(compress_buffered(&noise(500), &means(coding, 4), false), None, "{coding:?}");
        assert!(
            compress_buffered(&[b'a'; 500], &means(coding, 4), false).is_some_and(|coded| coded.len() < 50)
        );
    }
}

#[test]
fn bytes_in_and_out_are_counted() {
    let means = means(ContentCoding::Gzip, 5);
    let mut body = compressed([Act::Send(vec![b'x'; 5000])], ContentCoding::Gzip, 5);
    body.plan = means.clone();
    let (bytes, _) = to_the_end(&mut body, 99);
    assert_eq!(means.metrics.totals(ContentCoding::Gzip), [0, 5000, bytes.len() as u64]);
}

#[test]
fn an_abandoned_encoder_is_reset_for_the_next_body() {
    for coding in ContentCoding::ALL {
        let mut left = compressed([Act::Send(noise(50_000)), Act::Pause, Act::Pause], coding, 3);
        assert!(take(&mut left, 10, &mut Vec::new()).is_pending());
        drop(left);
        let (bytes, _) = to_the_end(&mut compressed([Act::Send(b"next".to_vec())], coding, 3), 100);
        assert_eq!(decoded(&bytes, coding), (b"next".to_vec(), true));
    }
}
