//! The header fields of an event.

use super::sink::EventSource;
use crate::{
    base::{date::Timestamp, percent::put_percent, url::HttpUrl},
    pipeline::head::Head,
    realtime::config::{EventHandlerConfig, ServiceConfig},
    telemetry::hubs::HubEvent,
};
use ring::hmac;
use std::{fmt::Write, time::SystemTime};

/// What happened to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind<'e> {
    Connect,
    Connected,
    Disconnected,
    Joined,
    Left,
    /// A user event of that name.
    User(&'e str),
}

impl EventKind<'_> {
    /// The name, which is also the value of `{event}`.
    pub fn name(&self) -> &str {
        match self {
            EventKind::Connect => "connect",
            EventKind::Connected => "connected",
            EventKind::Disconnected => "disconnected",
            EventKind::Joined => "joined",
            EventKind::Left => "left",
            EventKind::User(name) => name,
        }
    }

    /// The label of metrics.
    pub fn metric(&self) -> HubEvent {
        match self {
            EventKind::Connect => HubEvent::Connect,
            EventKind::Connected => HubEvent::Connected,
            EventKind::Disconnected => HubEvent::Disconnected,
            EventKind::Joined => HubEvent::Joined,
            EventKind::Left => HubEvent::Left,
            EventKind::User(_) => HubEvent::User,
        }
    }

    /// Whether the handler receives this event.
    pub fn is_handled_by(&self, handler: &EventHandlerConfig) -> bool {
        match self {
            EventKind::Connect => handler.system_events.connect,
            EventKind::Connected => handler.system_events.connected,
            EventKind::Disconnected => handler.system_events.disconnected,
            EventKind::Joined => handler.system_events.joined,
            EventKind::Left => handler.system_events.left,
            EventKind::User(name) => handler.user_events.as_ref().is_some_and(|events| events.matches(name)),
        }
    }

    /// The category of SignalR, which is the value of `{category}`.
    pub fn signalr_category(&self) -> &'static str {
        match self {
            EventKind::User(_) => "messages",
            _ => "connections",
        }
    }

    fn category(&self) -> &'static str {
        match self {
            EventKind::Connect | EventKind::Connected | EventKind::Disconnected => "sys",
            EventKind::Joined | EventKind::Left => "gp",
            EventKind::User(_) => "user",
        }
    }
}

/// Identity and time of an event; both are the same in every attempt.
#[derive(Clone, Debug)]
pub struct EventStamp {
    id: String,
    time: SystemTime,
}

impl EventStamp {
    /// A new event.
    pub fn new() -> EventStamp {
        EventStamp { id: format!("{:032x}", fastrand::u128(..)), time: SystemTime::now() }
    }
}

/// The host that handlers permit: that of the first public URL.
pub fn origin(config: &ServiceConfig) -> String {
    config.public_urls.first().map_or_else(|| "localhost".to_owned(), HttpUrl::authority)
}

/// Appends the fields that every request to a handler has.
pub fn put_common_fields(head: &mut Head, config: &ServiceConfig, handler: &EventHandlerConfig) {
    head.append(b"WebHook-Request-Origin", origin(config).as_bytes());
    head.append(b"ce-awpsversion", b"1.0");
    for (name, value) in &handler.headers {
        head.append(name.as_bytes(), value.reveal().as_bytes());
    }
}

/// Appends the fields that describe the event.
pub fn put_event_fields(head: &mut Head, source: &EventSource, kind: EventKind, stamp: &EventStamp) {
    let (hub, connection_id) = (&*source.hub.name, &*source.connection_id);
    head.append(b"ce-specversion", b"1.0");
    let event_type = format!("azure.webpubsub.{}.{}", kind.category(), encoded(kind.name()));
    head.append(b"ce-type", event_type.as_bytes());
    head.append(b"ce-source", encoded(&format!("/hubs/{hub}/client/{connection_id}")).as_bytes());
    head.append(b"ce-id", stamp.id.as_bytes());
    head.append(b"ce-time", Timestamp(stamp.time).to_string().as_bytes());
    head.append(b"ce-signature", signatures(&source.hub.service.config, connection_id).as_bytes());
    head.append(b"ce-connectionId", encoded(connection_id).as_bytes());
    head.append(b"ce-hub", encoded(hub).as_bytes());
    head.append(b"ce-eventName", encoded(kind.name()).as_bytes());
    if let Some(user_id) = &source.user_id {
        head.append(b"ce-userId", encoded(user_id).as_bytes());
    }
    if let Some(subprotocol) = &source.subprotocol {
        head.append(b"ce-subprotocol", subprotocol.as_bytes());
    }
    if let Some(state) = &source.state {
        head.append(b"ce-connectionState", state.as_bytes());
    }
}

/// The HMACs of the connection id with each key.
pub fn signatures(config: &ServiceConfig, connection_id: &str) -> String {
    let mut text = String::new();
    for key in &config.keys {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key.reveal().as_bytes());
        let separator = if text.is_empty() { "" } else { "," };
        let _ = write!(text, "{separator}sha256=");
        for byte in hmac::sign(&key, connection_id.as_bytes()).as_ref() {
            let _ = write!(text, "{byte:02x}");
        }
    }
    text
}

/// Visible ASCII stays, except `%`: a value cannot end its field.
pub fn encoded(value: &str) -> String {
    let mut bytes = Vec::with_capacity(value.len());
    for byte in value.bytes() {
        match byte {
            b'!'..=b'~' if byte != b'%' => bytes.push(byte),
            _ => put_percent(byte, &mut bytes),
        }
    }
    String::from_utf8(bytes).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_only_visible_ascii() {
        assert_eq!(encoded("my event"), "my%20event");
        assert_eq!(encoded("a\r\nx: 1%ü"), "a%0D%0Ax:%201%25%C3%BC");
        assert_eq!(encoded("/hubs/a`,.[]"), "/hubs/a`,.[]");
    }

    #[test]
    fn every_event_has_its_own_id() {
        assert_ne!(EventStamp::new().id, EventStamp::new().id);
        assert_eq!(EventStamp::new().id.len(), 32);
    }
}
