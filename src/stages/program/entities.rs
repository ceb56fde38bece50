//! What programs read of APIs, products, subscriptions and users.

use crate::telemetry::policies::PolicyMetrics;

use super::{backend::Backend, failure::ErrorForm, target::OperationTemplate};
use std::{
    collections::HashMap,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

/// An API.
#[derive(Clone, Debug, Default)]
pub struct Api {
    /// With the suffix of its revision, if it has one.
    pub id: String,
    /// The id of the current revision, by which products and subscriptions name it.
    pub base_id: String,
    pub name: String,
    /// The path in front of the operations, without slashes at its ends.
    pub path: String,
    pub version: String,
    pub revision: String,
    pub is_current: bool,
    pub service_url: String,
    pub key_header: String,
    pub key_query: String,
    pub forwards_key: bool,
    pub requires_subscription: bool,
    pub error_form: ErrorForm,
}

/// An operation of an API.
#[derive(Debug)]
pub struct Operation {
    pub id: String,
    pub name: String,
    pub method: String,
    pub url_template: String,
    pub template: OperationTemplate,
    /// Status, media type and body of the examples, in the order of the document.
    pub examples: Vec<Example>,
}

/// An example of a response.
#[derive(Clone, Debug)]
pub struct Example {
    pub status: u16,
    /// Empty: a response without a body.
    pub media_type: String,
    pub bodies: Vec<String>,
}

/// A product.
#[derive(Clone, Debug, Default)]
pub struct Product {
    pub id: String,
    pub name: String,
    pub apis: Vec<String>,
    pub groups: Vec<String>,
    pub approval_required: bool,
    pub state: String,
    pub subscription_limit: Option<i64>,
    pub requires_subscription: bool,
}

/// A user.
#[derive(Clone, Debug, Default)]
pub struct User {
    pub id: String,
    pub email: String,
    pub first_name: String,
    pub last_name: String,
    pub note: String,
    /// Id and display name.
    pub groups: Vec<(String, String)>,
    pub is_blocked: bool,
}

/// What a subscription opens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SubscriptionScope {
    Product(String),
    Api(String),
    AllApis,
}

/// A subscription.
#[derive(Clone, Debug)]
pub struct Subscription {
    pub id: String,
    pub name: String,
    pub scope: SubscriptionScope,
    pub is_active: bool,
    /// Nanoseconds since 1970.
    pub start: Option<i128>,
    pub end: Option<i128>,
    pub created: i128,
    pub owner: Option<Arc<User>>,
    pub allows_tracing: bool,
}

impl Subscription {
    /// Whether its keys open anything now.
    pub fn is_open(&self, now: SystemTime) -> bool {
        let at = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as i128);
        self.is_active
            && self.start.is_none_or(|start| start <= at)
            && self.end.is_none_or(|end| at < end)
            && self.owner.as_ref().is_none_or(|owner| !owner.is_blocked)
    }
}

/// The name and the place of the gateway.
#[derive(Clone, Debug, Default)]
pub struct Deployment {
    pub name: String,
    pub region: String,
}

/// An operation of an API, and its service.
#[derive(Debug)]
pub struct ApiOperation {
    pub api: Arc<Api>,
    /// `None`: no operation matches.
    pub operation: Option<Arc<Operation>>,
    pub backend: Arc<Backend>,
}

/// What all programs of a plan share.
#[derive(Debug)]
pub struct Shared {
    pub deployment: Deployment,
    pub max_body_bytes: usize,
    pub backends: HashMap<String, Arc<Backend>>,
    pub services: Arc<super::backend::Services>,
    pub counters: Arc<super::counters::Counters>,
    pub tokens: Arc<super::token_schemes::TokenSchemes>,
    pub traces: Arc<super::trace::Traces>,
    /// The secret named values, for masks.
    pub secrets: Vec<Arc<str>>,
    /// The counters of `emit-metric`.
    pub metrics: Arc<PolicyMetrics>,
}
