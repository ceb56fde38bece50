//! Services for unit tests.

use super::{
    config::{
        EventHandlerConfig, HubConfig, HubLimits, ServiceConfig, ServiceType, SignalRHubConfig, SystemEvents,
        UserEventPattern,
    },
    context::HubService,
};
use crate::base::{secret::Secret, url::HttpUrl};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// The first key of [`service_config`].
pub const KEY: &str = "primary-primary-primary-primary-1";
/// The second key.
pub const OTHER_KEY: &str = "secondary-secondary-secondary-22";

/// A service with two keys and no hubs.
pub fn service_config(public_urls: &[&str]) -> ServiceConfig {
    ServiceConfig {
        name: "rt".into(),
        service_type: ServiceType::WebPubSub,
        keys: vec![Secret::new(KEY), Secret::new(OTHER_KEY)],
        public_urls: public_urls.iter().map(|url| HttpUrl::parse(url).unwrap()).collect(),
        clock_skew: Duration::from_secs(60),
        server_schemes: Vec::new(),
        hubs: BTreeMap::new(),
        other_hubs: None,
    }
}

/// A hub with the default limits.
pub fn hub_config(event_handlers: Vec<EventHandlerConfig>) -> HubConfig {
    HubConfig {
        anonymous_connect: false,
        event_handlers,
        keep_alive_interval: Duration::from_secs(20),
        recovery_time: Duration::from_secs(60),
        limits: HubLimits::default(),
        signalr: SignalRHubConfig::default(),
    }
}

/// A handler of all events.
pub fn event_handler(url_template: &str) -> EventHandlerConfig {
    EventHandlerConfig {
        url_template: url_template.into(),
        backend: 0,
        user_events: Some(UserEventPattern::All),
        system_events: SystemEvents {
            connect: true,
            connected: true,
            disconnected: true,
            joined: true,
            left: true,
        },
        timeout: None,
        validate: true,
        headers: Vec::new(),
    }
}

/// A service without backends.
pub fn hub_service(config: ServiceConfig) -> Arc<HubService> {
    Arc::new(HubService { config: Arc::new(config), backends: Box::new([]), server_schemes: None })
}
