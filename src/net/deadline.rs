//! A timer for deadlines that keep moving into the future: it is reset only when it fires too early.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Instant,
};
use tokio::time::{Sleep, sleep_until};

/// One timer for all the deadlines of a connection.
#[derive(Debug, Default)]
pub struct DeadlineTimer {
    sleep: Option<Pin<Box<Sleep>>>,
}

impl DeadlineTimer {
    /// Ready once `deadline` has passed; otherwise the task is woken at the deadline or earlier.
    pub fn poll(&mut self, cx: &mut Context, deadline: Instant) -> Poll<()> {
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(deadline.into())));
        if sleep.deadline().into_std() > deadline {
            sleep.as_mut().reset(deadline.into());
        }
        while sleep.as_mut().poll(cx).is_ready() {
            if sleep.deadline().into_std() >= deadline {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(deadline.into());
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{future::poll_fn, time::Duration};

    #[tokio::test(start_paused = true)]
    async fn it_fires_at_the_latest_deadline() {
        let start = tokio::time::Instant::now();
        let mut timer = DeadlineTimer::default();
        let (early, late) =
            ((start + Duration::from_secs(1)).into_std(), (start + Duration::from_secs(5)).into_std());
        assert!(poll_fn(|cx| Poll::Ready(timer.poll(cx, early))).await.is_pending());
        poll_fn(|cx| timer.poll(cx, late)).await;
        assert_eq!(start.elapsed(), Duration::from_secs(5));
    }

    #[tokio::test(start_paused = true)]
    async fn it_can_be_set_to_an_earlier_deadline() {
        let start = tokio::time::Instant::now();
        let mut timer = DeadlineTimer::default();
        let late = (start + Duration::from_secs(5)).into_std();
        assert!(poll_fn(|cx| Poll::Ready(timer.poll(cx, late))).await.is_pending());
        poll_fn(|cx| timer.poll(cx, (start + Duration::from_secs(2)).into_std())).await;
        assert_eq!(start.elapsed(), Duration::from_secs(2));
    }
}
