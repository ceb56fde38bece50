//! The subscription check: one hash, and one look-up in an index.

use super::{
    context::CallerContext,
    entities::{Api, Subscription, SubscriptionScope},
    preflight::is_preflight,
    run::{OperationTarget, RouteProgram},
    target::{decoded, query_value},
};
use crate::{
    pipeline::{
        error::{ErrorCode, GatewayError},
        exchange::Exchange,
        head::KnownHeader,
        stage::{Stage, Step},
    },
    stages::feature::{BuildContext, StageConfig},
};
use ring::{
    digest, hmac,
    rand::{SecureRandom, SystemRandom},
};
use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, LazyLock},
    time::SystemTime,
};

/// Subscriptions by the hash of their keys.
pub type SubscriptionIndex = HashMap<[u8; 32], Arc<Subscription>>;

/// Name of the stage.
pub const NAME: &str = "subscription";
/// Longest key.
const MAX_KEY_BYTES: usize = 256;

/// The key of the process under which hashes are looked up, so that the time of a look-up tells nothing.
static PROCESS_KEY: LazyLock<hmac::Key> = LazyLock::new(|| {
    let mut bytes = [0; 32];
    // Without randomness the look-ups still work; their time could then be predicted.
    if SystemRandom::new().fill(&mut bytes).is_err() {
        log::error!("the system provides no random bytes");
    }
    hmac::Key::new(hmac::HMAC_SHA256, &bytes)
});

/// The SHA-256 of a key.
pub fn key_sha256(key: &[u8]) -> [u8; 32] {
    let hashed = digest::digest(&digest::SHA256, key);
    let mut bytes = [0; 32];
    bytes.copy_from_slice(hashed.as_ref());
    bytes
}

/// The place of a key in the index.
pub fn index_key(sha256: &[u8; 32]) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(hmac::sign(&PROCESS_KEY, sha256).as_ref());
    bytes
}

/// The subscription check of an API.
#[derive(Clone)]
pub struct SubscriptionCheck {
    pub program: Arc<RouteProgram>,
    pub index: Arc<SubscriptionIndex>,
}

impl fmt::Debug for SubscriptionCheck {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("SubscriptionCheck")
    }
}

impl StageConfig for SubscriptionCheck {
    type State = ();

    fn build(&self, (): &(), _: &BuildContext) -> Vec<crate::pipeline::stage::BoxStage> {
        vec![Box::new(self.clone())]
    }
}

impl Stage for SubscriptionCheck {
    fn name(&self) -> &'static str {
        NAME
    }

    fn on_request(&self, exchange: &mut Exchange) -> Step {
        let RouteProgram::Operation(target) = &*self.program else { return Step::Next };
        if is_preflight(exchange, &target.operation) || target.operation.operation.is_none() {
            return Step::Next;
        }
        match self.check(exchange, target) {
            Ok(caller) => {
                exchange.response.caller_context = Some(Box::new(caller));
                Step::Next
            }
            Err(error) => Step::Fail(error),
        }
    }

    fn describe(&self) -> String {
        "checks the subscription key".to_owned()
    }
}

impl SubscriptionCheck {
    fn check(&self, exchange: &Exchange, target: &OperationTarget) -> Result<CallerContext, GatewayError> {
        let api = &target.operation.api;
        let Some(key) = key_of(exchange, api)? else {
            return match &target.open_product {
                Some(product) => {
                    Ok(CallerContext { product: Some(product.clone()), ..CallerContext::default() })
                }
                None if !api.requires_subscription => Ok(CallerContext::default()),
                None => Err(denied(exchange, api, ErrorCode::SubscriptionMissing)),
            };
        };
        let found = self.index.get(&index_key(&key_sha256(key.as_bytes())));
        let product =
            found.filter(|found| found.is_open(SystemTime::now())).and_then(|found| opens(found, target));
        match (found, product) {
            (Some(subscription), Some(product)) => {
                Ok(CallerContext { subscription: Some(subscription.clone()), key: Some(key.into()), product })
            }
            _ => Err(denied(exchange, api, ErrorCode::SubscriptionInvalid)),
        }
    }
}

/// Whether a subscription opens the API, and the product context.
fn opens(subscription: &Subscription, target: &OperationTarget) -> Option<Option<String>> {
    match &subscription.scope {
        SubscriptionScope::AllApis => Some(None),
        SubscriptionScope::Api(id) => id.eq_ignore_ascii_case(&target.operation.api.base_id).then_some(None),
        SubscriptionScope::Product(id) => {
            let id = id.to_lowercase();
            target.products.contains_key(&id).then_some(Some(id))
        }
    }
}

/// The key of the request. Several header lines, or one that is too long, are
/// a wrong key.
fn key_of(exchange: &Exchange, api: &Api) -> Result<Option<String>, GatewayError> {
    let lines: Vec<String> = exchange
        .request
        .get_all(api.key_header.as_bytes())
        .map(|value| String::from_utf8_lossy(value).trim().to_owned())
        .collect();
    let in_query = || {
        let target = String::from_utf8_lossy(exchange.request.target());
        let query = target.split_once('?').map_or("", |(_, query)| query);
        query_value(query, &api.key_query).map(|value| decoded(value, true))
    };
    let key = match lines.as_slice() {
        [] => in_query().filter(|key| !key.is_empty()),
        [key] if key.is_empty() => None,
        [key] => Some(key.clone()),
        _ => return Err(denied(exchange, api, ErrorCode::SubscriptionInvalid)),
    };
    match key {
        Some(key) if key.len() > MAX_KEY_BYTES => Err(denied(exchange, api, ErrorCode::SubscriptionInvalid)),
        key => Ok(key),
    }
}

fn denied(exchange: &Exchange, api: &Api, code: ErrorCode) -> GatewayError {
    let detail = match code {
        ErrorCode::SubscriptionMissing => {
            "Access denied due to missing subscription key. Make sure to include subscription key when making requests to an API."
        }
        _ => {
            "Access denied due to invalid subscription key. Make sure to provide a valid key for an active subscription."
        }
    };
    let scheme = if exchange.client.is_tls { "https" } else { "http" };
    let host = exchange.request.get_known(KnownHeader::Host).map(String::from_utf8_lossy).unwrap_or_default();
    let host: String = host.chars().filter(|c| !matches!(c, '"' | '\\') && !c.is_control()).collect();
    let challenge = format!(
        "AzureApiManagementKey realm=\"{scheme}://{host}/{}\",name=\"{}\",type=\"header\"",
        api.path, api.key_header
    );
    GatewayError::new(code, detail)
        .with_details(|details| details.headers.push(("WWW-Authenticate".into(), challenge)))
}
