//! The events of connections, sent to the handlers of their hubs.

use super::{
    cloud_event::{EventKind, EventStamp},
    connect,
    delivery::{Delivery, Event, outcome},
    http_call::CallError,
    queue::{EventQueues, HandlerKey},
    reply, signalr_request,
    sink::{
        ConnectError, ConnectReply, ConnectRequest, EventError, EventFuture, EventReply, EventSink,
        EventSource, InvocationCall, InvocationOutcome, Notification,
    },
};
use crate::{
    base::{backoff::full_jitter, clock::Clock},
    realtime::{
        config::{EventHandlerConfig, ServiceType},
        context::HubContext,
        message::Payload,
        protocols::Subprotocol,
    },
    telemetry::hubs::{HubEventOutcome, HubMetrics},
};
use bytes::Bytes;
use serde_json::json;
use std::{sync::Arc, time::Duration};
use tokio::runtime::Handle;

/// How often an event without a response is sent again.
const MAX_RETRIES: u32 = 3;
/// The delays between attempts double from the first to the second value.
const RETRY_DELAY: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(2));
/// Responses to events without a response have no meaning.
const MAX_IGNORED_BYTES: usize = 16 << 20;

/// The event handlers of all hubs.
#[derive(Clone, Debug)]
pub struct EventHandlers(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    delivery: Delivery,
    queues: EventQueues<QueuedNotification>,
}

/// A notification that waits.
#[derive(Debug)]
struct QueuedNotification {
    source: EventSource,
    handler: EventHandlerConfig,
    notification: Notification,
}

impl EventHandlers {
    /// Handlers that count in these metrics.
    pub fn new(metrics: Arc<HubMetrics>) -> Arc<EventHandlers> {
        EventHandlers::with_clock(metrics, Clock::default())
    }

    /// Handlers whose validations expire by this clock.
    pub fn with_clock(metrics: Arc<HubMetrics>, clock: Clock) -> Arc<EventHandlers> {
        let delivery = Delivery::new(metrics, clock);
        Arc::new(EventHandlers(Arc::new(Shared { delivery, queues: EventQueues::default() })))
    }
}

/// The first handler that receives the event.
fn handler_of<'h>(hub: &'h HubContext, kind: EventKind) -> Option<&'h EventHandlerConfig> {
    hub.config.event_handlers.iter().find(|handler| kind.is_handled_by(handler))
}

impl EventSink for EventHandlers {
    fn connect(
        &self,
        source: &EventSource,
        request: ConnectRequest,
    ) -> Option<EventFuture<Result<ConnectReply, ConnectError>>> {
        let handler = handler_of(&source.hub, EventKind::Connect)?.clone();
        let (shared, source) = (self.0.clone(), source.clone());
        Some(Box::pin(async move { shared.connect(&source, &handler, request).await }))
    }

    fn has_handler(&self, hub: &HubContext, event: &str) -> bool {
        handler_of(hub, EventKind::User(event)).is_some()
    }

    fn user_event(
        &self,
        source: &EventSource,
        event: &str,
        payload: Payload,
    ) -> EventFuture<Result<EventReply, EventError>> {
        let handler = handler_of(&source.hub, EventKind::User(event)).cloned();
        let (shared, source, event) = (self.0.clone(), source.clone(), event.to_owned());
        Box::pin(async move {
            let Some(handler) = handler else {
                return Err(EventError(format!("no event handler receives the event \"{event}\"")));
            };
            shared.user_event(&source, &handler, &event, payload).await
        })
    }

    fn invocation(
        &self,
        source: &EventSource,
        call: InvocationCall,
    ) -> Option<EventFuture<InvocationOutcome>> {
        let handler = handler_of(&source.hub, EventKind::User(&call.target))?.clone();
        let (shared, source) = (self.0.clone(), source.clone());
        Some(Box::pin(async move { shared.invocation(&source, &handler, call).await }))
    }

    fn notify(&self, source: &EventSource, notification: Notification) {
        let Some(handler) = handler_of(&source.hub, notification_kind(&notification)) else { return };
        let config = &source.hub.service.config;
        let key = HandlerKey {
            service: config.name.clone(),
            hub: config.hub_label(&source.hub.name).into(),
            url_template: handler.url_template.clone(),
        };
        // Without a runtime the process is ending.
        let Ok(runtime) = Handle::try_current() else { return };
        let queued = QueuedNotification { source: source.clone(), handler: handler.clone(), notification };
        let pushed = self.0.queues.push(&key, &source.connection_id, queued);
        if let Some(dropped) = pushed.dropped {
            let kind = notification_kind(&dropped.notification);
            self.0.delivery.metrics().count_event(kind.metric(), HubEventOutcome::Dropped);
        }
        if pushed.starts_task {
            runtime.spawn(self.0.clone().send_notifications(key));
        }
    }
}

impl Shared {
    async fn connect(
        &self,
        source: &EventSource,
        handler: &EventHandlerConfig,
        request: ConnectRequest,
    ) -> Result<ConnectReply, ConnectError> {
        let event = Event {
            kind: EventKind::Connect,
            stamp: EventStamp::new(),
            content_type: connect::CONTENT_TYPE,
            body: connect::body(request),
            max_response_bytes: connect::MAX_RESPONSE_BYTES,
        };
        let reply = match self.delivery.send(source, handler, &event).await {
            Ok(response) => connect::reply(&response),
            Err(error) => Err(ConnectError::Failed(error.detail())),
        };
        let counted = match &reply {
            Err(ConnectError::Relayed { .. }) => HubEventOutcome::Rejected,
            other => outcome(other.is_ok()),
        };
        self.delivery.metrics().count_event(event.kind.metric(), counted);
        reply
    }

    async fn user_event(
        &self,
        source: &EventSource,
        handler: &EventHandlerConfig,
        name: &str,
        payload: Payload,
    ) -> Result<EventReply, EventError> {
        let event = Event {
            kind: EventKind::User(name),
            stamp: EventStamp::new(),
            content_type: reply::content_type(&payload),
            body: payload.bytes().clone(),
            max_response_bytes: reply::MAX_RESPONSE_BYTES,
        };
        let reply = match self.delivery.send(source, handler, &event).await {
            Ok(response) => {
                let is_simple = source.subprotocol.as_deref().and_then(Subprotocol::from_name).is_none();
                let empty_message = (is_simple && payload.bytes().is_empty()).then_some(&payload);
                reply::reply(&response, empty_message)
            }
            Err(error) => Err(error.detail()),
        };
        self.delivery.metrics().count_event(event.kind.metric(), outcome(reply.is_ok()));
        reply.map_err(EventError)
    }

    async fn invocation(
        &self,
        source: &EventSource,
        handler: &EventHandlerConfig,
        call: InvocationCall,
    ) -> InvocationOutcome {
        let event = Event {
            kind: EventKind::User(&call.target),
            stamp: EventStamp::new(),
            content_type: if call.is_text { signalr_request::JSON } else { signalr_request::MESSAGE_PACK },
            body: call.body,
            max_response_bytes: reply::MAX_RESPONSE_BYTES,
        };
        let (kind, response) = (event.kind, self.delivery.send(source, handler, &event).await);
        let result = match response {
            Ok(response) => signalr_request::outcome(response),
            Err(error) => {
                log::debug!(
                    "the method {:?} of hub {} failed: {}",
                    call.target,
                    source.hub.name,
                    error.detail()
                );
                InvocationOutcome::Failed("Invocation failed, the event handler did not respond".to_owned())
            }
        };
        let is_success = !matches!(result, InvocationOutcome::Failed(_));
        self.delivery.metrics().count_event(kind.metric(), outcome(is_success));
        result
    }

    /// Sends events of a handler until none is ready.
    async fn send_notifications(self: Arc<Self>, key: HandlerKey) {
        while let Some((connection_id, queued)) = self.queues.next(&key) {
            self.send_notification(&queued).await;
            self.queues.finish(&key, &connection_id);
        }
    }

    async fn send_notification(&self, queued: &QueuedNotification) {
        let is_signalr = queued.source.hub.service.config.service_type == ServiceType::SignalR;
        let (content_type, body) = match is_signalr {
            true => (signalr_request::JSON, signalr_request::notification_body(&queued.notification)),
            false => (connect::CONTENT_TYPE, notification_body(&queued.notification)),
        };
        let event = Event {
            kind: notification_kind(&queued.notification),
            stamp: EventStamp::new(),
            content_type,
            body,
            max_response_bytes: MAX_IGNORED_BYTES,
        };
        let mut retries = 0;
        let is_success = loop {
            let is_retryable = match self.delivery.send(&queued.source, &queued.handler, &event).await {
                Ok(response) if response.status() < 300 => break true,
                Ok(response) => response.status() >= 500,
                Err(error) => matches!(error, CallError::Connection(_)),
            };
            if !is_retryable || retries == MAX_RETRIES {
                break false;
            }
            tokio::time::sleep(full_jitter(RETRY_DELAY.0, RETRY_DELAY.1, retries)).await;
            retries += 1;
        };
        self.delivery.metrics().count_event(event.kind.metric(), outcome(is_success));
    }
}

fn notification_kind(notification: &Notification) -> EventKind<'static> {
    match notification {
        Notification::Connected => EventKind::Connected,
        Notification::Disconnected { .. } => EventKind::Disconnected,
        Notification::Joined { .. } => EventKind::Joined,
        Notification::Left { .. } => EventKind::Left,
    }
}

fn notification_body(notification: &Notification) -> Bytes {
    let body = match notification {
        Notification::Connected => json!({}),
        Notification::Disconnected { reason } => json!({ "reason": reason }),
        Notification::Joined { group } | Notification::Left { group } => json!({ "group": &**group }),
    };
    body.to_string().into()
}
