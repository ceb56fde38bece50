//! Waiting on behalf of a client, and stopping when the client closes its connection.

use super::{body::ClientBody, error::GatewayError};
use std::{
    future::{Future, poll_fn},
    pin::pin,
    task::Poll,
    time::Instant,
};

/// Awaits `work` while the client is connected.
///
/// # Errors
///
/// `client.closed` if the client closes the connection first; `work` is dropped then.
pub async fn until_client_closes<T>(
    work: impl Future<Output = T>,
    client: &mut dyn ClientBody,
) -> Result<T, GatewayError> {
    let mut work = pin!(work);
    poll_fn(|cx| match work.as_mut().poll(cx) {
        Poll::Pending => client.poll_closed(cx).map(|()| Err(GatewayError::client_closed())),
        Poll::Ready(output) => Poll::Ready(Ok(output)),
    })
    .await
}

/// Awaits `work` while the client is connected, until `deadline`; returns `None` when that passes.
///
/// # Errors
///
/// `client.closed` if the client closes the connection first.
pub async fn until_deadline<T>(
    work: impl Future<Output = T>,
    client: &mut dyn ClientBody,
    deadline: Option<Instant>,
) -> Result<Option<T>, GatewayError> {
    let mut work = pin!(work);
    poll_fn(|cx| {
        if let Poll::Ready(output) = work.as_mut().poll(cx) {
            return Poll::Ready(Ok(Some(output)));
        }
        if client.poll_closed(cx).is_ready() {
            return Poll::Ready(Err(GatewayError::client_closed()));
        }
        match deadline {
            Some(deadline) => client.poll_deadline(cx, deadline).map(|()| Ok(None)),
            None => Poll::Pending,
        }
    })
    .await
}

/// Sleeps until `deadline`; returns false if the client closes the connection before.
pub async fn sleep_until(client: &mut dyn ClientBody, deadline: Instant) -> bool {
    poll_fn(|cx| match client.poll_closed(cx) {
        Poll::Ready(()) => Poll::Ready(false),
        Poll::Pending => client.poll_deadline(cx, deadline).map(|()| true),
    })
    .await
}
