//! A timer that costs nothing while deadlines keep moving away: it is set again only when it goes off too early.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Instant,
};
use tokio::time::{Sleep, sleep_until};

/// One timer for all the deadlines of a connection, one after the other.
#[derive(Debug, Default)]
pub struct DeadlineTimer {
    sleep: Option<Pin<Box<Sleep>>>,
}

impl DeadlineTimer {
    /// Ready once that time has come; else the task is woken then, or earlier.
    pub fn poll(&mut self, cx: &mut Context, at: Instant) -> Poll<()> {
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(at.into())));
        if sleep.deadline().into_std() > at {
            sleep.as_mut().reset(at.into());
        }
        while sleep.as_mut().poll(cx).is_ready() {
            if sleep.deadline().into_std() >= at {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(at.into());
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{future::poll_fn, time::Duration};

    #[tokio::test(start_paused = true)]
    async fn it_goes_off_at_the_latest_time_asked_for() {
        let start = tokio::time::Instant::now();
        let mut alarm = DeadlineTimer::default();
        let (early, late) =
            ((start + Duration::from_secs(1)).into_std(), (start + Duration::from_secs(5)).into_std());
        assert!(poll_fn(|cx| Poll::Ready(alarm.poll(cx, early))).await.is_pending());
        poll_fn(|cx| alarm.poll(cx, late)).await;
        assert_eq!(start.elapsed(), Duration::from_secs(5));
    }

    #[tokio::test(start_paused = true)]
    async fn it_can_be_set_to_an_earlier_time() {
        let start = tokio::time::Instant::now();
        let mut alarm = DeadlineTimer::default();
        let late = (start + Duration::from_secs(5)).into_std();
        assert!(poll_fn(|cx| Poll::Ready(alarm.poll(cx, late))).await.is_pending());
        poll_fn(|cx| alarm.poll(cx, (start + Duration::from_secs(2)).into_std())).await;
        assert_eq!(start.elapsed(), Duration::from_secs(2));
    }
}
