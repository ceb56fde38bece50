//! What the tests of the schemes share.

use super::AuthOutcome;
use crate::pipeline::{
    exchange::{Exchange, Peer},
    head::Head,
};
use std::time::Instant;

/// A request for that target, with these fields.
pub fn exchange(target: &str, fields: &[(&str, &str)]) -> Exchange {
    let address = ([127, 0, 0, 1], 1).into();
    let mut x = Exchange::new(Peer::new(address, address, false), 0, Instant::now());
    x.request = Head::request(b"GET", target.as_bytes());
    x.routing.path_len = target.find('?').unwrap_or(target.len());
    fields.iter().for_each(|(name, value)| x.request.append(name.as_bytes(), value.as_bytes()));
    x
}

/// The name of the reason why, or what it is instead.
pub fn why(judged: AuthOutcome) -> &'static str {
    match judged {
        AuthOutcome::Rejected(cause) => cause.why.name(),
        AuthOutcome::NoCredentials => "absent",
        AuthOutcome::Authenticated(_) => "good",
        AuthOutcome::Pending(_) => "later",
    }
}
