//! Requests to the handlers of serverless SignalR hubs: their header fields, bodies and responses.

use super::{
    cloud_event::{EventKind, encoded, signatures},
    http_call::HandlerResponse,
    sink::{EventSource, InvocationOutcome, Notification},
};
use crate::{pipeline::head::Head, realtime::config::EventHandlerConfig};
use bytes::Bytes;
use serde_json::json;

/// The content type of JSON.
pub const JSON: &str = "application/json";
/// The content type of MessagePack.
pub const MESSAGE_PACK: &str = "application/x-msgpack";

/// Appends the fields of a request.
pub fn put_fields(head: &mut Head, source: &EventSource, handler: &EventHandlerConfig, kind: EventKind) {
    let service = &source.hub.service.config;
    head.append(b"X-ASRS-Connection-Id", encoded(&source.connection_id).as_bytes());
    head.append(b"X-ASRS-Hub", encoded(&source.hub.name).as_bytes());
    head.append(b"X-ASRS-Category", kind.signalr_category().as_bytes());
    head.append(b"X-ASRS-Event", encoded(kind.name()).as_bytes());
    if let Some(user_id) = &source.user_id {
        head.append(b"X-ASRS-User-Id", encoded(user_id).as_bytes());
    }
    if let Some(client) = &source.client {
        for (name, value) in &client.claims {
            let claim = format!("{}: {}", encoded(name), encoded(value));
            head.append(b"X-ASRS-User-Claims", claim.as_bytes());
        }
        head.append(b"X-ASRS-Client-Query", client.query.as_bytes());
    }
    head.append(b"X-ASRS-Signature", signatures(service, &source.connection_id).as_bytes());
    for (name, value) in &handler.headers {
        head.append(name.as_bytes(), value.reveal().as_bytes());
    }
}

/// The body of an event without a response.
pub fn notification_body(notification: &Notification) -> Bytes {
    let body = match notification {
        Notification::Disconnected { reason } if !reason.is_empty() => json!({ "type": 11, "error": reason }),
        Notification::Disconnected { .. } => json!({ "type": 11 }),
        Notification::Connected | Notification::Joined { .. } | Notification::Left { .. } => {
            json!({ "type": 10 })
        }
    };
    body.to_string().into()
}

/// The meaning of a response to an invocation.
pub fn outcome(response: HandlerResponse) -> InvocationOutcome {
    match response.status() {
        204 => InvocationOutcome::Empty,
        200 if response.body.is_empty() => InvocationOutcome::Empty,
        200 => InvocationOutcome::Body(response.body),
        status => InvocationOutcome::Failed(format!("Invocation failed, status code {status}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_and_the_body_of_a_response_are_the_result() {
        let response = |status, body: &'static str| HandlerResponse {
            head: Head::response(status, b""),
            body: Bytes::from_static(body.as_bytes()),
        };
        assert_eq!(outcome(response(204, "x")), InvocationOutcome::Empty);
        assert_eq!(outcome(response(200, "")), InvocationOutcome::Empty);
        assert_eq!(outcome(response(200, "x")), InvocationOutcome::Body("x".into()));
        for status in [201, 302, 404, 503] {
            let error = format!("Invocation failed, status code {status}");
            assert_eq!(outcome(response(status, "secret")), InvocationOutcome::Failed(error));
        }
    }

    #[test]
    fn the_body_of_a_notification_is_its_type() {
        let body = |reason: &str| notification_body(&Notification::Disconnected { reason: reason.into() });
        assert_eq!(notification_body(&Notification::Connected), r#"{"type":10}"#);
        assert_eq!((body(""), body("x")), (r#"{"type":11}"#.into(), r#"{"type":11,"error":"x"}"#.into()));
    }
}
