//! `Limits.MaxWebSocketsPerClient`: the largest number of open WebSocket connections per client address.

use super::feature::{BuildContext, StageConfig};
use crate::{
    base::client_counts::ClientCounts,
    pipeline::{
        error::{ErrorCode, GatewayError},
        exchange::Exchange,
        guard::ResponseGuard,
        stage::{BoxStage, Stage, Step},
    },
};
use std::sync::Arc;

/// Name of the stage in the metric label `stage`, in `margay explain` and in the reference.
pub const NAME: &str = "websocket-limit";

/// The number of open WebSocket connections by client address, of IPv6 by /64.
#[derive(Debug, Default)]
pub struct OpenWebSockets(ClientCounts);

/// The largest number of open WebSocket connections per client address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WebSocketsPerClient(pub u64);

impl StageConfig for WebSocketsPerClient {
    type State = Arc<OpenWebSockets>;

    fn build(&self, open: &Self::State, _: &BuildContext) -> Vec<BoxStage> {
        vec![Box::new(WebSocketLimit::new(self.0, open))]
    }
}

/// The compiled limit.
#[derive(Debug)]
pub struct WebSocketLimit {
    max_per_client: u64,
    open: Arc<OpenWebSockets>,
}

impl WebSocketLimit {
    /// `open` is shared by all routes with a limit and survives a reload.
    pub fn new(max_per_client: u64, open: &Arc<OpenWebSockets>) -> WebSocketLimit {
        WebSocketLimit { max_per_client, open: open.clone() }
    }

    fn try_acquire(&self, exchange: &mut Exchange) -> Step {
        if exchange.is_dry_run {
            return Step::Next;
        }
        let max_per_client = usize::try_from(self.max_per_client).unwrap_or(usize::MAX);
        let Some(guard) = self.open.0.of(exchange.client.ip).try_acquire(max_per_client) else {
            let detail = format!(
                "this client has {} WebSocket connections open, which is the limit",
                self.max_per_client
            );
            return Step::Fail(GatewayError::new(ErrorCode::LimitWebsockets, detail));
        };
        exchange.response.guards.push(ResponseGuard::new(guard));
        Step::Next
    }
}

impl Stage for WebSocketLimit {
    fn name(&self) -> &'static str {
        NAME
    }

    fn on_request(&self, exchange: &mut Exchange) -> Step {
        if exchange.is_websocket { self.try_acquire(exchange) } else { Step::Next }
    }

    fn describe(&self) -> String {
        format!("at most {} WebSocket connections per client", self.max_per_client)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::exchange::Peer;
    use std::time::Instant;

    fn opening(address: &str) -> Exchange {
        let address = address.parse().unwrap();
        let mut exchange = Exchange::new(Peer::new(address, address, false), 0, Instant::now());
        exchange.is_websocket = true;
        exchange
    }

    #[test]
    fn the_limit_applies_to_each_client_separately() {
        let stage = WebSocketLimit::new(1, &Arc::default());
        let mut first = opening("10.0.0.1:1");
        assert!(matches!(stage.on_request(&mut first), Step::Next));
        let is_rejected =
            |step| matches!(step, Step::Fail(cause) if cause.code == ErrorCode::LimitWebsockets);
        assert!(is_rejected(stage.on_request(&mut opening("10.0.0.1:2"))));
        assert!(matches!(stage.on_request(&mut opening("10.0.0.2:1")), Step::Next));
        let mut plain = opening("10.0.0.1:3");
        plain.is_websocket = false;
        assert!(matches!(stage.on_request(&mut plain), Step::Next));
        first.response.guards.clear();
        assert!(matches!(stage.on_request(&mut opening("10.0.0.1:4")), Step::Next));
    }

    #[test]
    fn the_addresses_of_one_ipv6_subscriber_share_a_limit() {
        let stage = WebSocketLimit::new(1, &Arc::default());
        let mut first = opening("[2001:db8::1]:1");
        assert!(matches!(stage.on_request(&mut first), Step::Next));
        assert!(matches!(stage.on_request(&mut opening("[2001:db8::2]:1")), Step::Fail(_)));
        assert!(matches!(stage.on_request(&mut opening("[2001:db8:0:1::1]:1")), Step::Next));
    }
}
