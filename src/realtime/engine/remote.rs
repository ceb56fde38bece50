//! This node for the other nodes: their operations and their requests for sessions.

use super::{Engine, hub::SessionEnd, inbox::lock};
use crate::net::websocket::close_code;
use crate::realtime::{
    backplane::{
        contract::{LocalNode, NodeFuture},
        wire::{Take, WireSession},
    },
    operation::{Operation, OperationFuture},
};
use crate::telemetry::hubs::{HubClose, HubDirection};
use std::{sync::Arc, time::Duration};

impl LocalNode for Engine {
    fn apply(&self, service: &str, hub: &str, operation: &Arc<Operation>) {
        if let Some(hub) = self.find(service, hub) {
            hub.run(operation);
        }
    }

    fn execute_here(&self, service: &str, hub: &str, operation: &Arc<Operation>) -> OperationFuture {
        let running = self.find(service, hub).map(|hub| hub.start(operation));
        Box::pin(async move {
            match running {
                Some(running) => Ok(running.finish().await),
                None => Ok(Default::default()),
            }
        })
    }

    fn give(&self, service: &str, hub: &str, take: Take) -> NodeFuture<Option<WireSession>> {
        match self.find(service, hub) {
            Some(hub) => hub.give(take),
            None => Box::pin(async { None }),
        }
    }

    fn handle_gap(&self) {
        let end = SessionEnd::new(HubClose::Drain, "Messages of other nodes were lost")
            .with_code(close_code::SERVICE_RESTART);
        for hub in lock(&self.hubs).by_key.values().cloned().collect::<Vec<_>>() {
            let mut reliable = super::all_connections(&hub);
            reliable.retain(|connection| connection.subprotocol.is_reliable());
            reliable.iter().for_each(|connection| hub.end(connection, end.clone()));
        }
    }

    fn count_received(&self, delay_us: u64) {
        self.shared.metrics.count_backplane_message(HubDirection::In);
        self.shared.metrics.record_backplane_delay(Duration::from_micros(delay_us));
    }

    fn set_up(&self, is_up: bool) {
        self.shared.metrics.set_backplane_up(is_up);
    }
}
