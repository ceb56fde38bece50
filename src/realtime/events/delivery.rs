//! Sending one event: validation, request, response, metrics.

use super::{
    cloud_event::{EventKind, EventStamp, put_common_fields, put_event_fields},
    http_call::{CallError, HandlerResponse, call},
    signalr_request,
    sink::EventSource,
    url,
    validation::Validations,
};
use crate::{
    base::clock::Clock,
    pipeline::head::Head,
    realtime::config::{EventHandlerConfig, ServiceType},
    telemetry::hubs::{HubEvent, HubEventOutcome, HubMetrics},
};
use bytes::Bytes;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// Maximum time of `connect`, unless the handler has its own.
const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Maximum time of the other events.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// An event that is ready to be sent.
#[derive(Clone, Debug)]
pub struct Event<'e> {
    pub kind: EventKind<'e>,
    pub stamp: EventStamp,
    pub content_type: &'static str,
    pub body: Bytes,
    /// Maximum size of the response body.
    pub max_response_bytes: usize,
}

/// What all deliveries share.
#[derive(Debug)]
pub struct Delivery {
    metrics: Arc<HubMetrics>,
    validations: Validations,
}

impl Delivery {
    /// Without validations so far.
    pub fn new(metrics: Arc<HubMetrics>, clock: Clock) -> Delivery {
        Delivery { metrics, validations: Validations::new(clock) }
    }

    /// The metrics.
    pub fn metrics(&self) -> &HubMetrics {
        &self.metrics
    }

    /// Sends the event to the handler and returns its response of any status.
    pub async fn send(
        &self,
        source: &EventSource,
        handler: &EventHandlerConfig,
        event: &Event<'_>,
    ) -> Result<HandlerResponse, CallError> {
        if handler.validate {
            let (result, is_new) = self.validations.check(source, handler).await;
            if is_new {
                self.metrics.count_event(HubEvent::Validate, outcome(result.is_ok()));
            }
            result.map_err(|detail| CallError::Response(detail.to_string()))?;
        }
        let service = &source.hub.service;
        let Some(backend) = service.backends.get(handler.backend) else {
            return Err(CallError::Response("the event handler has no backend".to_owned()));
        };
        let (hub, category) = (&source.hub.name, event.kind.signalr_category());
        let target = url::target(&handler.url_template, hub, category, event.kind.name());
        let mut head = Head::request(b"POST", target.as_bytes());
        head.append(b"Content-Type", event.content_type.as_bytes());
        match service.config.service_type {
            ServiceType::WebPubSub => {
                put_common_fields(&mut head, &service.config, handler);
                put_event_fields(&mut head, source, event.kind, &event.stamp);
            }
            ServiceType::SignalR => signalr_request::put_fields(&mut head, source, handler, event.kind),
        }
        let timeout = handler.timeout.unwrap_or(match event.kind {
            EventKind::Connect => DEFAULT_CONNECT_TIMEOUT,
            _ => DEFAULT_TIMEOUT,
        });
        let started_at = Instant::now();
        let response = call(backend, head, event.body.clone(), timeout, event.max_response_bytes).await;
        self.metrics.record_event_duration(started_at.elapsed());
        response
    }
}

/// The label of a result.
pub fn outcome(is_success: bool) -> HubEventOutcome {
    if is_success { HubEventOutcome::Success } else { HubEventOutcome::Failed }
}
