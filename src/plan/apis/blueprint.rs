//! What is compiled of API management: plain data.

use super::table::ApiTable;
use crate::stages::program::{
    Program,
    backend::{BreakerRule, Credentials, HostRule},
    entities::{Api, Deployment, Operation},
    run::ProductContext,
    subscription::SubscriptionIndex,
    target::ServiceUrl,
};
use crate::state::database::Durability;
use std::{collections::HashMap, path::PathBuf, sync::Arc};

/// The compiled entities.
#[derive(Clone, Debug)]
pub struct ApisBlueprint<Route> {
    pub apis: Vec<ApiBlueprint<Route>>,
    pub table: Arc<ApiTable>,
    pub backends: Vec<BackendBlueprint>,
    pub subscriptions: Arc<SubscriptionIndex>,
    pub deployment: Deployment,
    pub max_body_bytes: usize,
    /// The file of the store and its durability; `None`: in memory.
    pub store: Option<(PathBuf, Durability)>,
    /// The secret named values.
    pub secrets: Vec<Arc<str>>,
    pub allow: Vec<HostRule>,
    pub deny: Vec<HostRule>,
    /// The program of requests that no API takes; `None`: there is no global `on-error`.
    pub unmatched: Arc<Program>,
}

impl<Route> Default for ApisBlueprint<Route> {
    fn default() -> Self {
        ApisBlueprint {
            apis: Vec::new(),
            table: Arc::default(),
            backends: Vec::new(),
            subscriptions: Arc::default(),
            deployment: Deployment::default(),
            max_body_bytes: 0,
            store: None,
            secrets: Vec::new(),
            allow: Vec::new(),
            deny: Vec::new(),
            unmatched: Arc::default(),
        }
    }
}

/// An API or a revision.
#[derive(Clone, Debug)]
pub struct ApiBlueprint<Route> {
    pub api: Arc<Api>,
    /// Stages, cluster and terms.
    pub route: Route,
    pub service: ApiService,
    pub operations: Vec<OperationBlueprint>,
    /// The programs without an operation.
    pub missing: Programs,
    /// The product that is open to requests without a key.
    pub open_product: Option<String>,
}

/// The service of an API.
#[derive(Clone, Debug)]
pub enum ApiService {
    /// The cluster of the route.
    Url(Arc<ServiceUrl>),
    /// One of `Backends`.
    Backend(String),
    /// The cluster of the route, named in `Clusters`.
    Cluster,
}

/// An operation and its programs.
#[derive(Clone, Debug)]
pub struct OperationBlueprint {
    pub operation: Arc<Operation>,
    pub programs: Programs,
}

/// The programs of an operation: without product, and for each product.
#[derive(Clone, Debug)]
pub struct Programs {
    pub plain: Arc<Program>,
    pub products: HashMap<String, ProductContext>,
}

/// One of `Backends`.
#[derive(Clone, Debug)]
pub struct BackendBlueprint {
    pub id: String,
    pub kind: BackendKind,
}

/// The kind of a backend.
#[derive(Clone, Debug)]
pub enum BackendKind {
    Single {
        url: Arc<ServiceUrl>,
        credentials: Credentials,
        breaker: Option<BreakerRule>,
        accepts_any_certificate: bool,
    },
    /// Members: id, priority and weight.
    Pool { members: Vec<(String, u32, u32)>, affinity_cookie: Option<String> },
}
