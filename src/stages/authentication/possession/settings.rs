//! Proof of possession of a token, resolved.

use crate::base::secret::Secret;
use std::time::Duration;

/// Whether tokens must be bound to a key or a certificate of the client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum PossessionMode {
    /// Bindings of tokens are ignored.
    #[default]
    Off,
    /// A bound token requires its proof; others are accepted.
    IfBound,
    /// Only bound tokens are accepted.
    Required,
}

/// Tokens that only their owner can use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct PossessionSettings {
    /// RFC 9449.
    pub dpop: PossessionMode,
    /// Largest age of a proof, and difference of clocks.
    pub proof_lifetime: Duration,
    /// Whether proofs must contain a nonce of the gateway.
    pub requires_nonce: bool,
    /// The key of nonces, the same on all gateways; `None`: a random one.
    pub nonce_secret: Option<Secret>,
    /// RFC 8705.
    pub certificate: PossessionMode,
}

impl PossessionSettings {
    /// Whether no binding is checked.
    pub fn is_off(&self) -> bool {
        self.dpop == PossessionMode::Off && self.certificate == PossessionMode::Off
    }
}
