//! What load balancing knows of a request, or of a connection that is forwarded as it is.

use crate::pipeline::exchange::Exchange;
use std::{net::IpAddr, time::Instant};

/// The client for which an endpoint is selected.
#[derive(Clone, Copy, Debug)]
pub struct Caller<'c> {
    pub client: IpAddr,
    pub now: Instant,
    /// The request; absent for a connection or a UDP session.
    pub exchange: Option<&'c Exchange>,
}

impl<'c> From<&'c Exchange> for Caller<'c> {
    fn from(exchange: &'c Exchange) -> Caller<'c> {
        Caller { client: exchange.client.ip, now: exchange.now, exchange: Some(exchange) }
    }
}

impl Caller<'_> {
    /// The client of a connection.
    pub fn of_connection(client: IpAddr, now: Instant) -> Caller<'static> {
        Caller { client, now, exchange: None }
    }
}
