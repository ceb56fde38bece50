//! The changes of the directory as server-sent events.

use super::{caller::DirectoryCaller, view, visibility::RoleVisibility};
use crate::{
    pipeline::internal::Response,
    plan::roles::{RoleEvent, RoleState},
    server::Gateway,
};
use axum::{body::Body, http::header, response::IntoResponse};
use bytes::Bytes;
use futures_util::stream;
use serde::Deserialize;
use std::{
    convert::Infallible,
    fmt::Write,
    sync::{Arc, Weak},
    time::Duration,
};
use tokio::sync::watch;

/// A comment is sent after this time without an event, so that proxies keep the connection.
const COMMENT_INTERVAL: Duration = Duration::from_secs(15);

/// There are no parameters.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EventsQuery {}

/// A subscriber.
struct Subscriber {
    gateway: Weak<Gateway>,
    state: Arc<RoleState>,
    versions: watch::Receiver<u64>,
    caller: DirectoryCaller,
    /// The last version that was sent.
    last: u64,
    is_first: bool,
}

/// The events after `last`, and those to come.
pub fn stream(gateway: Arc<Gateway>, caller: DirectoryCaller, last: Option<u64>) -> Response {
    let state = gateway.shared_state.roles.clone();
    let subscriber = Subscriber {
        gateway: Arc::downgrade(&gateway),
        versions: state.subscribe(),
        last: last.unwrap_or_else(|| state.version()),
        state,
        caller,
        is_first: true,
    };
    let headers = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-store")];
    let events = stream::unfold(subscriber, Subscriber::next);
    (headers, Body::from_stream(events)).into_response()
}

impl Subscriber {
    /// The next events as one piece of text; `None`: the gateway stopped.
    async fn next(mut self) -> Option<(Result<Bytes, Infallible>, Subscriber)> {
        loop {
            let text = self.pending()?;
            let is_first = std::mem::take(&mut self.is_first);
            if !text.is_empty() || is_first {
                // The first comment shows that the subscription is active.
                let text = if text.is_empty() { ":\n\n".to_owned() } else { text };
                return Some((Ok(Bytes::from(text)), self));
            }
            match tokio::time::timeout(COMMENT_INTERVAL, self.versions.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return None,
                Err(_) => return Some((Ok(Bytes::from_static(b":\n\n")), self)),
            }
        }
    }

    fn pending(&mut self) -> Option<String> {
        let gateway = self.gateway.upgrade()?;
        let mut text = String::new();
        self.versions.borrow_and_update();
        let Some(events) = self.state.events_since(self.last) else {
            self.last = self.state.version();
            let _ = write!(text, "event: reset\nid: {}\ndata: {{}}\n\n", self.last);
            return Some(text);
        };
        for event in events {
            self.last = event.version;
            text.push_str(&self.text(&gateway, &event).unwrap_or_default());
        }
        Some(text)
    }

    /// The text of an event; `None`: the caller does not see its role.
    fn text(&self, gateway: &Gateway, event: &RoleEvent) -> Option<String> {
        let roles = gateway.plan.load().roles.clone();
        let viewer = self.caller.viewer(&roles);
        let at = view::index(&roles, &event.role)?;
        let (kind, data) = match &event.instance {
            None => {
                (viewer.sees(&roles, at) != RoleVisibility::Hidden).then_some(())?;
                ("topology", serde_json::json!({ "role": event.role, "version": event.version }))
            }
            Some(id) => {
                viewer.sees_instance(&roles, at, id).then_some(())?;
                let snapshot = roles.snapshot();
                let instance = snapshot.instance(at, id)?;
                let (status, health) = (view::status_name(instance), view::health(&roles, at, instance));
                (
                    "status",
                    serde_json::json!({ "role": event.role, "id": id, "status": status, "health": health }),
                )
            }
        };
        Some(format!("event: {kind}\nid: {}\ndata: {data}\n\n", event.version))
    }
}
