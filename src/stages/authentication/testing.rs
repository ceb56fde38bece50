//! Helpers for the tests of the schemes.

use super::outcome::AuthOutcome;
use crate::pipeline::exchange::{Exchange, Peer};
use std::time::Instant;

/// A GET request with these fields.
pub fn exchange(target: &str, fields: &[(&str, &str)]) -> Exchange {
    let address = ([127, 0, 0, 1], 1).into();
    let mut exchange = Exchange::new(Peer::new(address, address, false), 0, Instant::now());
    exchange.request.begin(b"GET", target.as_bytes());
    exchange.routing.path_len = target.find('?').unwrap_or(target.len());
    fields.iter().for_each(|(name, value)| exchange.request.append(name.as_bytes(), value.as_bytes()));
    exchange
}

/// The error code of a rejection, or the name of another outcome.
pub fn why(outcome: AuthOutcome) -> &'static str {
    match outcome {
        AuthOutcome::Rejected(cause) => cause.code.name(),
        AuthOutcome::NoCredentials => "no_credentials",
        AuthOutcome::Authenticated(_) => "authenticated",
        AuthOutcome::Pending(_) => "pending",
    }
}
