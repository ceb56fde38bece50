//! Which failures of a repeated operation are worth a line in the log: a new reason, a known one at most once a minute, and
//! the recovery from failures that are in the log.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// A reason that is already in the log is repeated after this time.
const REPEAT_INTERVAL: Duration = Duration::from_secs(60);
/// Maximum number of reasons within one interval; further ones are not logged.
const MAX_REASONS: usize = 8;

/// The failures of one operation.
#[derive(Debug, Default)]
pub struct FailureLog(Mutex<FailureState>);

#[derive(Debug, Default)]
struct FailureState {
    outage: Option<Outage>,
    reasons: Vec<LoggedReason>,
}

/// The failures since the last success.
#[derive(Debug)]
struct Outage {
    began_at: Instant,
    failures: u64,
    is_logged: bool,
}

#[derive(Debug)]
struct LoggedReason {
    text: String,
    logged_at: Instant,
    /// Failures for this reason that are not in the log.
    unlogged: u64,
}

impl FailureLog {
    /// Records a failure; returns the text for the log, if it is to be logged.
    pub fn record_failure(&self, reason: &str, now: Instant) -> Option<String> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let text = state.text(reason, now);
        let outage = state.outage.get_or_insert(Outage { began_at: now, failures: 0, is_logged: false });
        outage.failures += 1;
        outage.is_logged |= text.is_some();
        text
    }

    /// Records a success; returns the text for the log, if it ends an outage that is in the log.
    pub fn record_success(&self, now: Instant) -> Option<String> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Outage { began_at, failures, .. } = state.outage.take().filter(|outage| outage.is_logged)?;
        let seconds = now.saturating_duration_since(began_at).as_secs();
        Some(format!("recovered after {failures} failures in {seconds} s"))
    }
}

impl FailureState {
    fn text(&mut self, reason: &str, now: Instant) -> Option<String> {
        let is_recent =
            |known: &LoggedReason| now.saturating_duration_since(known.logged_at) < REPEAT_INTERVAL;
        if let Some(known) = self.reasons.iter_mut().find(|known| known.text == reason) {
            known.unlogged += 1;
            if is_recent(known) {
                return None;
            }
            known.logged_at = now;
            let unlogged = std::mem::take(&mut known.unlogged);
            return Some(format!("{reason} ({unlogged} times since the last report)"));
        }
        self.reasons.retain(is_recent);
        if self.reasons.len() >= MAX_REASONS {
            return None;
        }
        self.reasons.push(LoggedReason { text: reason.to_owned(), logged_at: now, unlogged: 0 });
        Some(reason.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_logged_once_a_minute_and_the_recovery_once() {
        let (log, start) = (FailureLog::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(log.record_success(at(0)), None, "nothing had failed");
        let lines: Vec<_> =
            (0..=60).step_by(2).filter_map(|second| log.record_failure("refused", at(second))).collect();
        assert_eq!(lines, ["refused", "refused (30 times since the last report)"]);
        assert_eq!(log.record_failure("timeout", at(61)).as_deref(), Some("timeout"), "another reason");
        assert_eq!(log.record_failure("refused", at(62)), None);
        let recovered = log.record_success(at(64));
        assert_eq!(recovered.as_deref(), Some("recovered after 33 failures in 64 s"));
        assert_eq!(log.record_success(at(65)), None);
    }

    #[test]
    fn an_operation_that_fails_every_other_time_is_logged_once_a_minute() {
        let (log, start) = (FailureLog::default(), Instant::now());
        let lines = (0..120).filter(|second| {
            let now = start + Duration::from_secs(*second);
            match second % 2 {
                0 => log.record_failure("refused", now).is_some(),
                _ => log.record_success(now).is_some(),
            }
        });
        assert_eq!(lines.count(), 4, "two failures and two recoveries");
    }

    #[test]
    fn reasons_that_differ_each_time_do_not_fill_the_log() {
        let (log, start) = (FailureLog::default(), Instant::now());
        let lines = |second: u64| {
            let now = start + Duration::from_secs(second);
            (0..100).filter(|n| log.record_failure(&format!("{second} {n}"), now).is_some()).count()
        };
        assert_eq!((lines(0), lines(30), lines(60)), (8, 0, 8));
    }
}
