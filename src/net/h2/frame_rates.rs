//! The rates of frames that carry no request data, over a sliding second: a flood ends the connection within the limit,
//! whenever it begins.

use super::error_code::H2ErrorCode;
use std::time::{Duration, Instant};

/// Maximum frame rates of a client.
#[derive(Clone, Copy, Debug)]
pub struct FrameRateLimits {
    /// RST_STREAM of streams that were opened within the same second, and streams that the gateway refuses or resets because
    /// the client violates the protocol.
    pub resets_per_second: u32,
    /// RST_STREAM of older streams. Of these, at most as many are open as the client may have concurrently.
    pub older_resets_per_second: u32,
    /// Control frames: SETTINGS, PING, PRIORITY, unknown ones, DATA with less than five bytes, and WINDOW_UPDATE beyond
    /// those expected for the bytes sent.
    pub control_frames_per_second: u32,
}

const PERIOD: Duration = Duration::from_secs(1);

/// One WINDOW_UPDATE per this many bytes sent is not a flood.
const BYTES_PER_WINDOW_UPDATE: u64 = 1024;

/// The rates of one connection.
#[derive(Debug)]
pub(super) struct FrameRates {
    limits: FrameRateLimits,
    control: ControlRate,
    resets: ResetRate,
}

/// Control frames of the current period and of the one before, and the bytes sent before each.
#[derive(Debug, Default)]
struct ControlRate {
    periods: Periods,
    previous: u32,
    current: u32,
    sent_before_previous: u64,
    sent_before_current: u64,
}

/// Resets. A client that cancels all of its streams at once is not a flood, one that opens and resets streams is.
#[derive(Debug, Default)]
struct ResetRate {
    periods: Periods,
    /// The newest stream when the period began.
    newest_before: u32,
    previous_of_new: u32,
    of_new: u32,
    of_older: u32,
}

/// Consecutive periods; the first one begins with the first frame.
#[derive(Debug, Default)]
struct Periods(Option<Instant>);

/// The period of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Period {
    Same,
    Next,
    /// The one before had no frame.
    Later,
}

impl Periods {
    /// The period of a frame, and the part of the period before it that is less than a second ago.
    fn advance(&mut self, now: Instant) -> (Period, f64) {
        let elapsed = self.0.map(|start| now.saturating_duration_since(start));
        match (self.0, elapsed) {
            (Some(_), Some(elapsed)) if elapsed < PERIOD => (Period::Same, 1.0 - elapsed.as_secs_f64()),
            (Some(start), Some(elapsed)) if elapsed < 2 * PERIOD => {
                self.0 = Some(start + PERIOD);
                (Period::Next, 1.0 - (elapsed - PERIOD).as_secs_f64())
            }
            _ => {
                self.0 = Some(now);
                (Period::Later, 0.0)
            }
        }
    }
}

impl FrameRates {
    /// No frame received.
    pub(super) fn new(limits: FrameRateLimits) -> FrameRates {
        FrameRates { limits, control: ControlRate::default(), resets: ResetRate::default() }
    }

    /// Counts RST_STREAM for this stream; `newest` is the last stream that the client opened.
    pub(super) fn count_reset(&mut self, stream: u32, newest: u32, now: Instant) -> Result<(), H2ErrorCode> {
        // The newest stream is never an older one, also if its reset begins a period.
        let weight = self.resets.advance(newest - u32::from(stream == newest), now);
        if stream > self.resets.newest_before {
            return self.resets.count_new(weight, self.limits);
        }
        self.resets.of_older = self.resets.of_older.saturating_add(1);
        limited(self.resets.of_older, self.limits.older_resets_per_second)
    }

    /// Counts a stream that the gateway refused or reset because of the client.
    pub(super) fn count_invalid(&mut self, newest: u32, now: Instant) -> Result<(), H2ErrorCode> {
        let weight = self.resets.advance(newest, now);
        self.resets.count_new(weight, self.limits)
    }

    /// Counts a control frame; `sent` is the number of bytes sent on the connection.
    pub(super) fn count_control_frame(&mut self, now: Instant, sent: u64) -> Result<(), H2ErrorCode> {
        let rate = self.control.count(now, sent);
        let expected = sent.saturating_sub(self.control.sent_before_previous) / BYTES_PER_WINDOW_UPDATE;
        let expected = u32::try_from(expected).unwrap_or(u32::MAX);
        limited(rate, self.limits.control_frames_per_second.saturating_add(expected))
    }
}

impl ControlRate {
    fn count(&mut self, now: Instant, sent: u64) -> u32 {
        let (period, weight) = self.periods.advance(now);
        if period != Period::Same {
            let is_next = period == Period::Next;
            self.previous = if is_next { self.current } else { 0 };
            self.sent_before_previous = if is_next { self.sent_before_current } else { sent };
            (self.current, self.sent_before_current) = (0, sent);
        }
        self.current = self.current.saturating_add(1);
        weighted(self.previous, weight).saturating_add(self.current)
    }
}

impl ResetRate {
    fn advance(&mut self, newest: u32, now: Instant) -> f64 {
        let (period, weight) = self.periods.advance(now);
        if period != Period::Same {
            self.previous_of_new = if period == Period::Next { self.of_new } else { 0 };
            (self.newest_before, self.of_new, self.of_older) = (newest, 0, 0);
        }
        weight
    }

    fn count_new(&mut self, weight: f64, limits: FrameRateLimits) -> Result<(), H2ErrorCode> {
        self.of_new = self.of_new.saturating_add(1);
        // Streams that are opened and reset a few at a time count from the first one.
        let earlier = self.of_older.min(limits.resets_per_second / 3 * 2);
        let rate = weighted(self.previous_of_new, weight).saturating_add(self.of_new);
        limited(rate, limits.resets_per_second - earlier)
    }
}

fn weighted(count: u32, weight: f64) -> u32 {
    (f64::from(count) * weight).ceil() as u32
}

fn limited(rate: u32, limit: u32) -> Result<(), H2ErrorCode> {
    if rate > limit { Err(H2ErrorCode::ENHANCE_YOUR_CALM) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: FrameRateLimits = FrameRateLimits {
        resets_per_second: 95,
        older_resets_per_second: 100,
        control_frames_per_second: 190,
    };

    /// The number of frames until the flood is detected that begins `after` the first frame, one frame per `gap`.
    fn flood(after: Duration, gap: Duration) -> usize {
        let (mut rates, mut now) = (FrameRates::new(LIMITS), Instant::now());
        assert_eq!(rates.count_control_frame(now, 0), Ok(()));
        now += after;
        for n in 1..1000 {
            if rates.count_control_frame(now, 0).is_err() {
                return n;
            }
            now += gap;
        }
        panic!("not detected");
    }

    /// The same for streams that are opened and reset, in frames.
    fn reset_flood(after: Duration, gap: Duration) -> usize {
        let (mut rates, mut now) = (FrameRates::new(LIMITS), Instant::now());
        assert_eq!(rates.count_reset(1, 1, now), Ok(()));
        now += after;
        for n in 1..1000 {
            let stream = 2 * n + 1;
            if rates.count_reset(stream, stream, now).is_err() {
                return 2 * n as usize;
            }
            now += gap;
        }
        panic!("not detected");
    }

    #[test]
    fn a_flood_is_detected_within_200_frames_whenever_it_begins() {
        for after in (0..2500).step_by(50).map(Duration::from_millis) {
            for gap in [0, 100, 500, 1000].map(Duration::from_micros) {
                assert!(flood(after, gap) <= 200, "{after:?} {gap:?}: {}", flood(after, gap));
                let resets = reset_flood(after, 2 * gap);
                assert!(resets <= 200, "{after:?} {gap:?}: {resets}");
            }
        }
    }

    #[test]
    fn a_steady_rate_below_the_limit_is_no_flood() {
        let (mut rates, mut now) = (FrameRates::new(LIMITS), Instant::now());
        for n in 0..2000 {
            assert_eq!(rates.count_control_frame(now, 0), Ok(()));
            assert_eq!(rates.count_reset(2 * n + 1, 2 * n + 1, now), Ok(()));
            now += Duration::from_millis(11);
        }
    }
}
