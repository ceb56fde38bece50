//! `HmacSignature`: requests that their sender signs with a shared secret, such as the webhooks of GitHub, Stripe, Slack and
//! Shopify.
//!
//! - Entry point: [`Webhook::authenticate`], once the body is collected.
//! - Owns: the signatures that were used within the window of the scheme.

pub mod senders;
pub mod settings;
mod signature;
#[cfg(test)]
mod tests;

use super::{
    cpu_budget::CpuBudget,
    outcome::AuthOutcome,
    replay::{ReplayStore, first_use},
    verification_pool::{JobSource, Priority, VerificationPool},
};
use crate::{
    base::clock::Clock,
    pipeline::{
        error::{ErrorCode, GatewayError},
        exchange::Exchange,
        head::KnownHeader,
        identity::Identity,
    },
    state::SharedState,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use ring::hmac;
use settings::{ContentPart, SecretFormat, SignatureFormat, SignatureHash, WebhookSettings};
use sha2::{Digest, Sha256};
use signature::SignedFields;
use std::{
    sync::Arc,
    time::{Instant, UNIX_EPOCH},
};

/// Bytes that are hashed in a microsecond, rounded down.
const BYTES_PER_MICROSECOND: usize = 200;

/// The compiled scheme.
#[derive(Debug)]
pub struct Webhook {
    name: Arc<str>,
    settings: WebhookSettings,
    keys: Arc<[hmac::Key]>,
    user: Arc<Identity>,
    clock: Clock,
    used: Option<Arc<ReplayStore>>,
    /// Verifies what exceeds the budget of a worker.
    pool: Arc<VerificationPool>,
}

impl Webhook {
    /// `clock` decides about timestamps.
    pub fn new(name: &str, settings: WebhookSettings, clock: Clock, pool: Arc<VerificationPool>) -> Webhook {
        let algorithm = match settings.format.hash {
            SignatureHash::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            SignatureHash::Sha256 => hmac::HMAC_SHA256,
            SignatureHash::Sha384 => hmac::HMAC_SHA384,
            SignatureHash::Sha512 => hmac::HMAC_SHA512,
        };
        let keys = settings.secrets.iter().filter_map(|secret| {
            let bytes = key_bytes(settings.format.secret, secret.reveal()).ok()?;
            Some(hmac::Key::new(algorithm, &bytes))
        });
        let keys = keys.collect();
        let name: Arc<str> = name.into();
        let mut user = Identity::new(name.clone());
        user.add("sub", &settings.sender);
        let window = settings.replay_window;
        let used = (!window.is_zero()).then(|| Arc::new(ReplayStore::new(window, clock.now())));
        Webhook { name, settings, keys, user: Arc::new(user), clock, used, pool }
    }

    /// The number of bytes of the body that the signature needs, if the request has one.
    pub fn body_limit(&self, exchange: &Exchange) -> Option<usize> {
        let has_signature = exchange.request.get(self.settings.format.header.as_bytes()).is_some();
        has_signature.then_some(self.settings.max_body_bytes)
    }

    /// Authenticates a request by its signature.
    pub fn authenticate(&self, exchange: &Exchange, shared: Option<&Arc<SharedState>>) -> AuthOutcome {
        let format = &self.settings.format;
        let fields = match SignedFields::read(format, &exchange.request) {
            None => return AuthOutcome::NoCredentials,
            Some(Ok(fields)) => fields,
            Some(Err(why)) => return rejection(ErrorCode::IdentityMalformed, why),
        };
        if let Some(Err(cause)) = fields.timestamp.map(|text| self.check_timestamp(text)) {
            return AuthOutcome::Rejected(cause);
        }
        let content = content(format, &fields, exchange);
        let cost = 3 + content.len() / BYTES_PER_MICROSECOND * self.keys.len();
        let budget = if exchange.is_dry_run { CpuBudget::Unlimited } else { CpuBudget::Worker };
        let verification = Verification { keys: self.keys.clone(), content, signatures: fields.signatures };
        match budget.try_spend(u32::try_from(cost).unwrap_or(u32::MAX)) {
            true => self.finish(verification.run(), exchange, shared),
            false => self.verify_in_pool(verification, exchange, shared),
        }
    }

    /// Continues after the verification on the worker.
    fn finish(
        &self,
        verified: Option<[u8; 16]>,
        exchange: &Exchange,
        shared: Option<&Arc<SharedState>>,
    ) -> AuthOutcome {
        let Some(digest) = verified else { return AuthOutcome::Rejected(wrong_signature()) };
        let user = self.user.clone();
        match (&self.used, shared) {
            (None, _) => AuthOutcome::Authenticated(user),
            (Some(used), Some(shared)) if !exchange.is_dry_run => {
                let (used, shared, now) = (used.clone(), shared.clone(), exchange.now);
                AuthOutcome::Pending(Box::pin(async move {
                    used.record_shared(digest, now, Some(&shared)).await.map(|()| user)
                }))
            }
            (Some(used), _) => match first_use(used.record(digest, exchange.now, exchange.is_dry_run)) {
                Ok(()) => AuthOutcome::Authenticated(user),
                Err(cause) => AuthOutcome::Rejected(cause),
            },
        }
    }

    fn verify_in_pool(
        &self,
        verification: Verification,
        exchange: &Exchange,
        shared: Option<&Arc<SharedState>>,
    ) -> AuthOutcome {
        let source = JobSource { client: exchange.client.ip.into(), name: 0, priority: Priority::High };
        let job = self.pool.run(source, verification.content.len(), move || verification.run());
        let (user, used, shared) = (self.user.clone(), self.used.clone(), shared.cloned());
        let now: Instant = exchange.now;
        AuthOutcome::Pending(Box::pin(async move {
            let digest = job.await.ok_or_else(busy)?.ok_or_else(wrong_signature)?;
            if let Some(used) = used {
                used.record_shared(digest, now, shared.as_ref()).await?;
            }
            Ok(user)
        }))
    }

    fn check_timestamp(&self, text: &str) -> Result<(), GatewayError> {
        let malformed =
            || GatewayError::new(ErrorCode::IdentityMalformed, "the timestamp is not a Unix time");
        let is_number = text.len() <= 15 && text.bytes().all(|byte| byte.is_ascii_digit());
        let number: u64 = text.parse().ok().filter(|_| is_number).ok_or_else(malformed)?;
        // Seconds have at most 11 digits until the year 5138; some senders use milliseconds.
        let seconds = if number >= 100_000_000_000 { number / 1000 } else { number };
        let now = self.clock.unix_time().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let tolerance = self.settings.tolerance.as_secs();
        if seconds + tolerance < now {
            let detail = format!("the request was signed {} s ago", now - seconds);
            return Err(GatewayError::new(ErrorCode::IdentityExpired, detail));
        }
        if seconds > now + tolerance {
            let detail = format!("the request is signed for a time in {} s", seconds - now);
            return Err(GatewayError::new(ErrorCode::IdentityNotYetValid, detail));
        }
        Ok(())
    }

    /// For `explain` and challenges.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// Everything that is compared.
struct Verification {
    keys: Arc<[hmac::Key]>,
    content: Vec<u8>,
    signatures: Vec<Vec<u8>>,
}

impl Verification {
    /// A digest of the signature that one of the keys verifies.
    fn run(&self) -> Option<[u8; 16]> {
        let expected: Vec<hmac::Tag> = self.keys.iter().map(|key| hmac::sign(key, &self.content)).collect();
        let is_valid = |signature: &&Vec<u8>| {
            let same =
                |tag: &hmac::Tag| bool::from(subtle::ConstantTimeEq::ct_eq(tag.as_ref(), &signature[..]));
            expected.iter().filter(|tag| same(tag)).count() > 0
        };
        let signature = self.signatures.iter().find(is_valid)?;
        let digest = Sha256::digest(signature);
        let mut key = [0; 16];
        key.copy_from_slice(&digest[..16]);
        Some(key)
    }
}

/// The key of a secret.
///
/// # Errors
///
/// What is wrong with it.
pub fn key_bytes(format: SecretFormat, secret: &str) -> Result<Vec<u8>, &'static str> {
    let bytes = match format {
        SecretFormat::Plain => secret.as_bytes().to_vec(),
        SecretFormat::StandardWebhooks => {
            let text = secret.strip_prefix("whsec_").unwrap_or(secret);
            STANDARD.decode(text).map_err(|_| "expected `whsec_` and base64")?
        }
    };
    if bytes.len() < 16 { Err("it is shorter than 16 bytes") } else { Ok(bytes) }
}

fn content(format: &SignatureFormat, fields: &SignedFields, exchange: &Exchange) -> Vec<u8> {
    let body = exchange.body.collected.as_deref().unwrap_or_default();
    let mut content = Vec::with_capacity(body.len() + 64);
    for part in &format.content {
        match part {
            ContentPart::Text(text) => content.extend_from_slice(text.as_bytes()),
            ContentPart::Body => content.extend_from_slice(body),
            ContentPart::Timestamp => {
                content.extend_from_slice(fields.timestamp.unwrap_or_default().as_bytes());
            }
            ContentPart::Id => content.extend_from_slice(fields.id.unwrap_or_default().as_bytes()),
            ContentPart::Method => content.extend_from_slice(exchange.request.method()),
            ContentPart::Url => put_url(exchange, &mut content),
        }
    }
    content
}

/// The URL as the sender called it.
fn put_url(exchange: &Exchange, content: &mut Vec<u8>) {
    content.extend_from_slice(if exchange.client.is_tls { b"https://" } else { b"http://" });
    content.extend_from_slice(exchange.request.get_known(KnownHeader::Host).unwrap_or_default());
    content.extend_from_slice(exchange.request.original_target());
}

fn rejection(code: ErrorCode, detail: &'static str) -> AuthOutcome {
    AuthOutcome::Rejected(GatewayError::new(code, detail))
}

fn wrong_signature() -> GatewayError {
    GatewayError::new(ErrorCode::IdentitySignature, "no secret of the scheme verifies the signature")
}

fn busy() -> GatewayError {
    GatewayError::new(ErrorCode::IdentityBusy, "too many signatures wait for verification")
        .with_details(|details| details.headers.push(("Retry-After".into(), "1".to_owned())))
}
