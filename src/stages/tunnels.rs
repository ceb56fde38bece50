//! `Limits.MaxTunnelsPerClient`: how many WebSocket connections one client address has open at one time.

use crate::{
    base::keyed::Keyed,
    pipeline::{
        cause::{Cause, Why},
        exchange::Exchange,
        lease::Lease,
        stage::{Stage, Step},
    },
};
use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

pub const NAME: &str = "tunnels";

/// The open tunnels of each client that has one.
#[derive(Debug, Default)]
pub struct Open(Keyed<IpAddr, AtomicU64>);

/// The compiled limit.
#[derive(Debug)]
pub struct Tunnels {
    most: u64,
    open: Arc<Open>,
}

/// One tunnel, counted until it is dropped.
struct One(Arc<AtomicU64>);

impl Drop for One {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl Tunnels {
    pub fn new(most: u64, open: &Arc<Open>) -> Tunnels {
        Tunnels { most, open: open.clone() }
    }

    fn judge(&self, x: &mut Exchange) -> Step {
        let count = self.open.0.get(x.client, AtomicU64::default);
        let grown = |n: u64| (n < self.most).then_some(n + 1);
        if x.dry {
            return Step::Next;
        }
        if count.fetch_update(Relaxed, Relaxed, grown).is_err() {
            let detail =
                format!("this client has {} WebSocket connections open, which is the limit", self.most);
            return Step::Fail(Cause::new(Why::LimitTunnels, detail));
        }
        x.leases.push(Lease::new(One(count)));
        Step::Next
    }
}

impl Stage for Tunnels {
    fn name(&self) -> &'static str {
        NAME
    }

    fn request(&self, x: &mut Exchange) -> Step {
        if x.websocket { self.judge(x) } else { Step::Next }
    }

    fn describe(&self) -> String {
        format!("at most {} WebSocket connections of one client", self.most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::exchange::Peer;
    use std::time::Instant;

    fn opening(address: &str) -> Exchange {
        let address = address.parse().unwrap();
        let mut x = Exchange::new(Peer::new(address, address, false), 0, Instant::now());
        x.websocket = true;
        x
    }

    #[test]
    fn one_client_has_so_many_open_at_one_time_and_others_do_not_count() {
        let stage = Tunnels::new(1, &Arc::default());
        let mut first = opening("10.0.0.1:1");
        assert!(matches!(stage.request(&mut first), Step::Next));
        let refused = |step| matches!(step, Step::Fail(cause) if cause.why == Why::LimitTunnels);
        assert!(refused(stage.request(&mut opening("10.0.0.1:2"))));
        assert!(matches!(stage.request(&mut opening("10.0.0.2:1")), Step::Next));
        let mut plain = opening("10.0.0.1:3");
        plain.websocket = false;
        assert!(matches!(stage.request(&mut plain), Step::Next));
        first.leases.clear();
        assert!(matches!(stage.request(&mut opening("10.0.0.1:4")), Step::Next));
    }
}
