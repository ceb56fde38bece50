//! Connection tokens. A negotiation holds no memory: its token contains what the first request of the transport needs, signed
//! with the key of the service, so that every node of the service accepts it.

use crate::realtime::config::ServiceConfig;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::hmac;
use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use subtle::ConstantTimeEq;

const RANDOM_BYTES: usize = 15;
const TIME_BYTES: usize = 6;
const MAC_BYTES: usize = 16;
const BODY_BYTES: usize = RANDOM_BYTES + TIME_BYTES + 1;
/// Bits of the flags.
const STATEFUL: u8 = 1;
const VERSION_0: u8 = 2;

/// What a negotiation grants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Negotiated {
    /// Known to the client and to servers.
    pub connection_id: Arc<str>,
    /// Known to the client only; in version 0 the connection id.
    pub token: Arc<str>,
    pub is_stateful: bool,
    pub negotiated_at: SystemTime,
}

/// What a token is bound to.
#[derive(Clone, Copy, Debug)]
pub struct TokenScope<'s> {
    pub service: &'s ServiceConfig,
    /// In lower case.
    pub hub: &'s str,
    pub user: Option<&'s str>,
}

impl TokenScope<'_> {
    /// A new connection; `random` is unpredictable, `node` the name of this node.
    pub fn negotiate(
        &self,
        random: [u8; RANDOM_BYTES],
        node: &str,
        (is_stateful, is_version_0): (bool, bool),
        now: SystemTime,
    ) -> Option<Negotiated> {
        let mut body = [0; BODY_BYTES];
        body[..RANDOM_BYTES].copy_from_slice(&random);
        let time_ms = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
        body[RANDOM_BYTES..BODY_BYTES - 1].copy_from_slice(&time_ms.to_be_bytes()[2..]);
        body[BODY_BYTES - 1] =
            if is_stateful { STATEFUL } else { 0 } | if is_version_0 { VERSION_0 } else { 0 };
        let mac = self.macs(&body, node).next()?;
        let token = format!("{}.{node}", URL_SAFE_NO_PAD.encode([&body[..], &mac].concat()));
        self.read(&token)
    }

    /// The connection of a token; `None`: it was not issued for this service, hub and user.
    pub fn read(&self, token: &str) -> Option<Negotiated> {
        let (text, node) = token.split_once('.')?;
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (body, mac) = bytes.split_first_chunk::<BODY_BYTES>()?;
        let is_valid =
            self.macs(body, node).fold(false, |is_valid, known| is_valid | bool::from(known.ct_eq(mac)));
        if !is_valid {
            return None;
        }
        let flags = body[BODY_BYTES - 1];
        let mut time_ms = [0; 8];
        time_ms[2..].copy_from_slice(&body[RANDOM_BYTES..BODY_BYTES - 1]);
        let connection_id = match flags & VERSION_0 {
            0 => format!("{}.{node}", public_id(body)).into(),
            _ => token.into(),
        };
        Some(Negotiated {
            connection_id,
            token: token.into(),
            is_stateful: flags & STATEFUL != 0,
            negotiated_at: UNIX_EPOCH + Duration::from_millis(u64::from_be_bytes(time_ms)),
        })
    }

    /// The authentication codes with each key of the service.
    fn macs(&self, body: &[u8], node: &str) -> impl Iterator<Item = [u8; MAC_BYTES]> {
        self.service.keys.iter().map(move |key| {
            let key = hmac::Key::new(hmac::HMAC_SHA256, key.reveal().as_bytes());
            let mut context = hmac::Context::with_key(&key);
            context.update(b"SignalR connection token");
            let user = self.user.map(|user| format!("u{user}")).unwrap_or_default();
            for part in
                [self.service.name.as_bytes(), self.hub.as_bytes(), node.as_bytes(), user.as_bytes(), body]
            {
                context.update(&(part.len() as u64).to_be_bytes());
                context.update(part);
            }
            let mut mac = [0; MAC_BYTES];
            mac.copy_from_slice(&context.sign().as_ref()[..MAC_BYTES]);
            mac
        })
    }
}

/// A hash of the secret part: the public id does not reveal it.
fn public_id(body: &[u8]) -> String {
    let hash = ring::digest::digest(&ring::digest::SHA256, body);
    URL_SAFE_NO_PAD.encode(&hash.as_ref()[..RANDOM_BYTES])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::realtime::testing::service_config;

    #[test]
    fn a_token_is_valid_for_its_service_hub_and_user() {
        let service = service_config(&[]);
        let scope = TokenScope { service: &service, hub: "chat", user: Some("ann") };
        let now = UNIX_EPOCH + Duration::from_millis(1_700_000_000_123);
        let issued = scope.negotiate([7; RANDOM_BYTES], "node_1", (true, false), now).unwrap();
        assert_eq!((issued.is_stateful, issued.negotiated_at), (true, now));
        assert!(issued.connection_id.ends_with(".node_1") && !issued.token.contains(&*issued.connection_id));
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._~-".contains(&byte);
        assert!(issued.token.bytes().chain(issued.connection_id.bytes()).all(is_plain));
        assert_eq!(scope.read(&issued.token), Some(issued.clone()));
        let mut other_service = service.clone();
        other_service.name = "other".into();
        for other in [
            TokenScope { hub: "other", ..scope },
            TokenScope { user: None, ..scope },
            TokenScope { user: Some("bob"), ..scope },
            TokenScope { service: &other_service, ..scope },
        ] {
            assert_eq!(other.read(&issued.token), None);
        }
        let longer = format!("{}x", issued.token);
        for invalid in ["", "x", &*issued.connection_id, &issued.token[1..], &*longer] {
            assert_eq!(scope.read(invalid), None, "{invalid}");
        }
    }

    #[test]
    fn the_token_of_version_0_is_the_connection_id() {
        let service = service_config(&[]);
        let scope = TokenScope { service: &service, hub: "chat", user: None };
        let issued = scope.negotiate([7; RANDOM_BYTES], "n", (false, true), UNIX_EPOCH).unwrap();
        assert_eq!(issued.connection_id, issued.token);
        assert_eq!(scope.read(&issued.token), Some(issued));
    }
}
