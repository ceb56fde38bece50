//! Streams that a client sends to groups.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// Most open streams of one connection.
const MAX_STREAMS: usize = 16;
/// Longest id of a stream.
const MAX_STREAM_ID_BYTES: usize = 256;
/// Without `idleTimeoutMs`.
const DEFAULT_IDLE_TIMEOUT: Duration = Duration::from_secs(300);
/// Shortest and longest `idleTimeoutMs`.
const IDLE_TIMEOUT_RANGE: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(3600));

/// An open stream.
#[derive(Clone, Debug)]
pub struct Stream {
    pub id: Arc<str>,
    pub group: Arc<str>,
    pub no_echo: bool,
    /// The number of the next fragment.
    pub expected: u64,
    pub idle_timeout: Duration,
    pub expires_at: Instant,
}

/// The open streams of a session.
#[derive(Clone, Debug, Default)]
pub struct Streams(Vec<Stream>);

/// What a fragment is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fragment {
    /// The expected one: publish it with this number, then acknowledge the next one.
    Next { group: Arc<str>, stream_id: Arc<str>, sequence_id: u64, no_echo: bool },
    /// It was published before: acknowledge the expected one again.
    Repeated { expected: u64 },
    /// There is a gap.
    Gap { expected: u64 },
    /// A keep-alive.
    KeepAlive,
    /// No stream of this id is open.
    Unknown,
}

impl Streams {
    /// Opens a stream; the error is the text for the client.
    pub fn open(
        &mut self,
        id: &str,
        group: Arc<str>,
        no_echo: bool,
        idle_timeout_ms: Option<u32>,
        now: Instant,
    ) -> Result<Instant, &'static str> {
        if id.is_empty() || id.len() > MAX_STREAM_ID_BYTES {
            return Err("The stream id must have 1 to 256 bytes");
        }
        if self.0.iter().any(|stream| &*stream.id == id) {
            return Err("The stream is open already");
        }
        if self.0.len() >= MAX_STREAMS {
            return Err("Too many open streams");
        }
        let requested = idle_timeout_ms.map(|ms| Duration::from_millis(ms.into()));
        let (min, max) = IDLE_TIMEOUT_RANGE;
        let idle_timeout = requested.unwrap_or(DEFAULT_IDLE_TIMEOUT).clamp(min, max);
        let expires_at = now + idle_timeout;
        self.0.push(Stream { id: id.into(), group, no_echo, expected: 1, idle_timeout, expires_at });
        Ok(expires_at)
    }

    /// Receives a fragment; without a number it is a keep-alive.
    pub fn receive(&mut self, id: &str, sequence: Option<u64>, now: Instant) -> Fragment {
        let Some(stream) = self.0.iter_mut().find(|stream| &*stream.id == id) else {
            return Fragment::Unknown;
        };
        stream.expires_at = now + stream.idle_timeout;
        let Some(sequence) = sequence else { return Fragment::KeepAlive };
        match sequence.cmp(&stream.expected) {
            std::cmp::Ordering::Less => Fragment::Repeated { expected: stream.expected },
            std::cmp::Ordering::Greater => Fragment::Gap { expected: stream.expected },
            std::cmp::Ordering::Equal => {
                stream.expected += 1;
                Fragment::Next {
                    group: stream.group.clone(),
                    stream_id: stream.id.clone(),
                    sequence_id: sequence,
                    no_echo: stream.no_echo,
                }
            }
        }
    }

    /// Closes a stream.
    pub fn close(&mut self, id: &str) -> Option<Stream> {
        let at = self.0.iter().position(|stream| &*stream.id == id)?;
        Some(self.0.remove(at))
    }

    /// Removes the streams that were idle for too long.
    pub fn take_expired(&mut self, now: Instant) -> Vec<Stream> {
        let (expired, open) =
            std::mem::take(&mut self.0).into_iter().partition(|stream| stream.expires_at <= now);
        self.0 = open;
        expired
    }

    /// When the next stream expires.
    pub fn next_expiry(&self) -> Option<Instant> {
        self.0.iter().map(|stream| stream.expires_at).min()
    }

    /// All open streams.
    pub fn iter(&self) -> impl Iterator<Item = &Stream> {
        self.0.iter()
    }

    /// Restores a stream of another node.
    pub fn restore(&mut self, stream: Stream) {
        self.0.push(stream);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fragments_are_taken_in_order_and_once() {
        let (mut streams, now) = (Streams::default(), Instant::now());
        streams.open("s", "g".into(), true, Some(1000), now).unwrap();
        assert!(streams.open("s", "g".into(), false, None, now).is_err());
        let next = streams.receive("s", Some(1), now);
        assert!(matches!(next, Fragment::Next { sequence_id: 1, no_echo: true, .. }), "{next:?}");
        assert_eq!(streams.receive("s", Some(1), now), Fragment::Repeated { expected: 2 });
        assert_eq!(streams.receive("s", Some(3), now), Fragment::Gap { expected: 2 });
        assert_eq!(streams.receive("s", None, now), Fragment::KeepAlive);
        assert_eq!(streams.receive("x", Some(1), now), Fragment::Unknown);
        assert_eq!(streams.close("s").unwrap().expected, 2);
    }

    #[test]
    fn an_idle_stream_expires_and_a_keep_alive_prolongs_it() {
        let (mut streams, now) = (Streams::default(), Instant::now());
        let second = Duration::from_secs(1);
        streams.open("s", "g".into(), false, Some(1000), now).unwrap();
        streams.receive("s", None, now + second / 2);
        assert!(streams.take_expired(now + second).is_empty());
        assert_eq!(streams.next_expiry(), Some(now + second / 2 + second));
        assert_eq!(streams.take_expired(now + 2 * second).len(), 1);
    }

    #[test]
    fn the_number_of_streams_is_bounded() {
        let (mut streams, now) = (Streams::default(), Instant::now());
        for n in 0..MAX_STREAMS {
            streams.open(&n.to_string(), "g".into(), false, None, now).unwrap();
        }
        assert!(streams.open("more", "g".into(), false, None, now).is_err());
    }
}
