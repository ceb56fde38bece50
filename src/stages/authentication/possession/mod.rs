//! Tokens that only their owner can use: bound to a key (DPoP, RFC 9449) or to a client certificate (RFC 8705).
//!
//! - Entry point: [`Possession::check`], after a scheme has verified a token.
//! - Owns: the proofs that were used, the key of nonces.

mod nonce;
mod proof;
pub mod settings;
#[cfg(test)]
mod tests;

pub use proof::thumbprint;

use super::{
    outcome::AuthOutcome,
    replay::{ReplayStore, first_use},
    verification_pool::{JobSource, Priority, VerificationPool},
};
use crate::{
    base::clock::Clock,
    pipeline::{
        client_certificate::ClientCertificate,
        error::{ErrorCode, GatewayError},
        exchange::Exchange,
        head::KnownHeader,
        identity::Identity,
    },
    state::SharedState,
};
use nonce::NonceSource;
use proof::{DpopProof, ProvenRequest};
use settings::{PossessionMode, PossessionSettings};
use std::{
    net::IpAddr,
    sync::Arc,
    time::{Instant, UNIX_EPOCH},
};

/// The signature algorithms of proofs, for challenges.
pub const PROOF_ALGORITHMS: &str = "ES256 ES384 EdDSA PS256 PS384 PS512 RS256 RS384 RS512";

/// How a token was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presentation {
    /// `Authorization: Bearer`.
    Bearer,
    /// `Authorization: DPoP`.
    Dpop,
    /// In another field, the query or a cookie.
    Elsewhere,
}

/// Checks the bindings of the tokens of one scheme.
#[derive(Debug)]
pub struct Possession {
    settings: PossessionSettings,
    nonces: NonceSource,
    used: ReplayStore,
    clock: Clock,
    pool: Arc<VerificationPool>,
}

/// What a request has to prove possession: a copy, for checks that wait.
#[derive(Debug)]
pub struct Evidence {
    token: Box<[u8]>,
    presentation: Presentation,
    /// The `DPoP` fields.
    proofs: Vec<Box<[u8]>>,
    method: String,
    url: String,
    certificate: Option<Arc<ClientCertificate>>,
    client: IpAddr,
    now: Instant,
    shared: Option<Arc<SharedState>>,
}

impl Evidence {
    /// Copies what a request has.
    pub fn new(
        token: &[u8],
        presentation: Presentation,
        exchange: &Exchange,
        shared: Option<&Arc<SharedState>>,
    ) -> Evidence {
        let request = &exchange.request;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let scheme = if exchange.client.is_tls { "https" } else { "http" };
        let host = text(request.get_known(KnownHeader::Host).unwrap_or_default());
        Evidence {
            token: token.into(),
            presentation,
            proofs: request.get_all(b"dpop").map(Into::into).collect(),
            method: text(request.method()),
            url: format!("{scheme}://{host}{}", text(request.original_path())),
            certificate: exchange.client.certificate.clone(),
            client: exchange.client.ip,
            now: exchange.now,
            shared: shared.cloned(),
        }
    }
}

impl Possession {
    /// `clock` decides about the age of proofs; `pool` verifies their signatures.
    pub fn new(settings: PossessionSettings, clock: Clock, pool: Arc<VerificationPool>) -> Possession {
        let used = ReplayStore::new(settings.proof_lifetime * 2, clock.now());
        Possession { nonces: NonceSource::new(&settings), used, settings, clock, pool }
    }

    /// Whether tokens after `DPoP` are read.
    pub fn has_dpop(&self) -> bool {
        self.settings.dpop != PossessionMode::Off
    }

    /// Whether bindings are ignored.
    pub fn is_off(&self) -> bool {
        self.settings.is_off()
    }

    /// Decides whether the client may use a token that was verified.
    pub fn check(
        self: &Arc<Self>,
        user: Arc<Identity>,
        token: &[u8],
        presentation: Presentation,
        exchange: &Exchange,
        shared: Option<&Arc<SharedState>>,
    ) -> AuthOutcome {
        if self.needs_no_proof(&user, presentation) {
            return AuthOutcome::Authenticated(user);
        }
        let evidence = Evidence::new(token, presentation, exchange, shared);
        match self.check_binding(&user, &evidence) {
            Err(cause) => AuthOutcome::Rejected(cause),
            Ok(None) => AuthOutcome::Authenticated(user),
            Ok(Some(proof)) if exchange.is_dry_run => match self.check_dry(&proof, &evidence) {
                Ok(()) => AuthOutcome::Authenticated(user),
                Err(cause) => AuthOutcome::Rejected(cause),
            },
            Ok(Some(proof)) => {
                let possession = self.clone();
                AuthOutcome::Pending(Box::pin(async move {
                    possession.verify(proof, &evidence).await.map(|()| user)
                }))
            }
        }
    }

    /// The same for a token whose verification had to wait.
    ///
    /// # Errors
    ///
    /// `identity.binding`, `identity.proof`, `identity.nonce`, `identity.replayed`.
    pub async fn check_later(
        self: Arc<Self>,
        user: Arc<Identity>,
        evidence: Evidence,
    ) -> Result<Arc<Identity>, GatewayError> {
        if let Some(proof) = self.check_binding(&user, &evidence)? {
            self.verify(proof, &evidence).await?;
        }
        Ok(user)
    }

    fn needs_no_proof(&self, user: &Identity, presentation: Presentation) -> bool {
        let is_free = |mode: PossessionMode, claim: &str| match mode {
            PossessionMode::Off => true,
            PossessionMode::IfBound => user.claim_value(claim).is_none(),
            PossessionMode::Required => false,
        };
        presentation != Presentation::Dpop
            && is_free(self.settings.dpop, "cnf.jkt")
            && is_free(self.settings.certificate, "cnf.x5t#S256")
    }

    /// Everything but the signature of the proof, which is returned if there must be one.
    fn check_binding(&self, user: &Identity, evidence: &Evidence) -> Result<Option<DpopProof>, GatewayError> {
        self.check_certificate(user, evidence)?;
        if !self.has_dpop() {
            return Ok(None);
        }
        let Some(thumbprint) = user.claim_value("cnf.jkt") else {
            let is_required = self.settings.dpop == PossessionMode::Required;
            return match is_required || evidence.presentation == Presentation::Dpop {
                true => Err(binding("the token is not bound to a key of the client (`cnf.jkt`)")),
                false => Ok(None),
            };
        };
        if evidence.presentation == Presentation::Bearer {
            return Err(binding("the token is bound to a key: it must be sent as `Authorization: DPoP`"));
        }
        let [proof] = evidence.proofs.as_slice() else {
            return Err(invalid_proof(match evidence.proofs.len() {
                0 => "the request has no `DPoP` field",
                _ => "the request has several `DPoP` fields",
            }));
        };
        let request = ProvenRequest {
            method: &evidence.method,
            url: &evidence.url,
            token: &evidence.token,
            thumbprint,
            now: self.unix_now(),
            lifetime: self.settings.proof_lifetime.as_secs(),
        };
        let proof = DpopProof::read(proof, &request).map_err(invalid_proof)?;
        self.check_nonce(&proof)?;
        Ok(Some(proof))
    }

    fn check_certificate(&self, user: &Identity, evidence: &Evidence) -> Result<(), GatewayError> {
        let bound = user.claim_value("cnf.x5t#S256");
        match (self.settings.certificate, bound, &evidence.certificate) {
            (PossessionMode::Off, _, _) | (PossessionMode::IfBound, None, _) => Ok(()),
            (PossessionMode::Required, None, _) => {
                Err(binding("the token is not bound to a certificate of the client (`cnf.x5t#S256`)"))
            }
            (_, Some(_), None) => {
                Err(binding("the token is bound to a certificate, and the connection has none"))
            }
            (_, Some(bound), Some(certificate)) if bound == certificate.sha256_thumbprint() => Ok(()),
            _ => Err(binding("the token is bound to another certificate")),
        }
    }

    fn check_nonce(&self, proof: &DpopProof) -> Result<(), GatewayError> {
        if !self.settings.requires_nonce {
            return Ok(());
        }
        let now = self.unix_now();
        let detail = match &proof.nonce {
            Some(nonce) if self.nonces.accepts(nonce, now) => return Ok(()),
            Some(_) => "the nonce of the proof is invalid or has expired",
            None => "the proof has no nonce",
        };
        let fresh = self.nonces.issue(now);
        Err(GatewayError::new(ErrorCode::IdentityNonce, detail)
            .with_details(|details| details.headers.push(("DPoP-Nonce".into(), fresh))))
    }

    /// A dry run: nothing waits and nothing is stored.
    fn check_dry(&self, proof: &DpopProof, evidence: &Evidence) -> Result<(), GatewayError> {
        if !proof.is_signed() {
            return Err(invalid_proof("the signature of the proof is invalid"));
        }
        first_use(self.used.record(proof.digest, evidence.now, true))
    }

    /// Verifies the signature in the pool, because every proof has its own; then the proof is used up.
    async fn verify(&self, proof: DpopProof, evidence: &Evidence) -> Result<(), GatewayError> {
        let source = JobSource { client: evidence.client.into(), name: 0, priority: Priority::High };
        let digest = proof.digest;
        let verified = self.pool.run(source, proof.len(), move || proof.is_signed()).await;
        match verified {
            None => return Err(busy()),
            Some(false) => return Err(invalid_proof("the signature of the proof is invalid")),
            Some(true) => {}
        }
        self.used.record_shared(digest, evidence.now, evidence.shared.as_ref()).await
    }

    fn unix_now(&self) -> u64 {
        self.clock.unix_time().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
    }
}

fn binding(detail: &'static str) -> GatewayError {
    GatewayError::new(ErrorCode::IdentityBinding, detail)
}

fn invalid_proof(detail: &'static str) -> GatewayError {
    GatewayError::new(ErrorCode::IdentityProof, detail)
}

fn busy() -> GatewayError {
    GatewayError::new(ErrorCode::IdentityBusy, "too many proofs wait for verification")
        .with_details(|details| details.headers.push(("Retry-After".into(), "1".to_owned())))
}
