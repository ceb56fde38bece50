//! Errors of handshakes, and recoveries that fail: an upgraded connection that is closed at once, so that the client opens a
//! new one.

use crate::net::websocket::{close_code, close_frame};
use crate::pipeline::{
    error::{ErrorCode, GatewayError},
    upgrade::{ConnectionService, Duplex},
};
use crate::realtime::{engine::hub::RegistrationError, names::is_hub_name, tokens::TokenError};
use std::task::{Context, Poll, ready};

/// A connection that only receives a close frame.
#[derive(Debug)]
pub struct RejectedConnection {
    frame: Vec<u8>,
    written: usize,
}

impl RejectedConnection {
    /// Closes with 1008 and this reason.
    pub fn new(reason: &str) -> RejectedConnection {
        RejectedConnection { frame: close_frame(close_code::POLICY_VIOLATION, reason), written: 0 }
    }
}

impl ConnectionService for RejectedConnection {
    fn poll(&mut self, cx: &mut Context, client: &mut dyn Duplex) -> Poll<()> {
        while self.written < self.frame.len() {
            match ready!(client.poll_write(cx, &self.frame[self.written..])) {
                Ok(n) => self.written += n,
                Err(_) => return Poll::Ready(()),
            }
        }
        client.poll_flush(cx).map(|_| ())
    }
}

/// The response to a missing or an invalid token.
pub fn token_error(error: TokenError) -> GatewayError {
    let error = match error {
        TokenError::Missing => {
            GatewayError::new(ErrorCode::HubTokenMissing, "the request has no access token")
        }
        TokenError::Invalid(rule) => GatewayError::new(ErrorCode::HubTokenInvalid, rule),
    };
    error.with_details(|details| {
        details.headers.push(("WWW-Authenticate".into(), "Bearer error=\"invalid_token\"".into()));
    })
}

/// The response to a request that needs another node.
pub fn backplane_error() -> GatewayError {
    let detail = "the node of the connection cannot be reached";
    GatewayError::new(ErrorCode::HubBackplaneUnavailable, detail)
}

/// The response to a name that no hub may have.
pub fn check_hub_name(hub: &str) -> Result<(), GatewayError> {
    match is_hub_name(hub) {
        true => Ok(()),
        false => {
            let detail = "a hub name is a letter, then up to 127 letters, digits and _`,.[]";
            Err(GatewayError::new(ErrorCode::HubInvalidName, detail))
        }
    }
}

/// The response to a connection over a limit.
pub fn registration_error(error: RegistrationError) -> GatewayError {
    let retry = |error: GatewayError, status| {
        error.with_details(|details| {
            details.status = Some(status);
            details.headers.push(("Retry-After".into(), "1".into()));
        })
    };
    match error {
        RegistrationError::HubLimit => {
            let detail = "the hub has as many connections as Limits.MaxConnections permits";
            retry(GatewayError::new(ErrorCode::HubConnectionLimit, detail), 429)
        }
        RegistrationError::ProcessLimit => {
            let detail = "the process has as many hub connections as Realtime.Limits.MaxConnections permits";
            retry(GatewayError::new(ErrorCode::HubConnectionLimit, detail), 503)
        }
        RegistrationError::TooManyGroups => GatewayError::new(
            ErrorCode::HubTooManyGroups,
            "the client is in more groups than Limits.MaxGroupsPerConnection of the hub permits",
        ),
    }
}
