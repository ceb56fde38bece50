//! Compiles the entities and the policy documents.

use super::{
    api::ApiCompiler,
    blueprint::{ApiBlueprint, ApisBlueprint},
    documents::{DocumentCompiler, Documents, Owners},
    lints,
    named_values::NamedValues,
    paths::table,
    programs::ProgramBuilder,
    services,
    sources::{ApiSource, api_sources, read_operations},
    subscriptions::{self, choice},
};
use crate::{
    config::{Diagnostics, Node, Spanned, codes, ids::Ids, policies::Policies},
    plan::{
        blueprint::RouteBlueprint,
        check::CheckContext,
        compile::route_compiler::DocumentContext,
        document::{Document, apis::StoreDocument},
    },
    stages::{
        program::{
            entities::{Deployment, Operation, Product, Subscription},
            subscription::SubscriptionIndex,
        },
        statements::compiler::Facts,
    },
    state::database::Durability,
};
use std::{
    collections::{HashMap, HashSet},
    path::PathBuf,
    sync::Arc,
};

const DEFAULT_MAX_BODY_BYTES: u64 = 4 << 20;
/// The file of the store in the data directory.
const DEFAULT_STORE_FILE: &str = "margay.db";

/// The compiled API management, and the programs of documents that routes name.
pub struct CompiledApis {
    pub apis: Option<ApisBlueprint<RouteBlueprint>>,
    pub documents: Documents,
}

/// Compiles everything; `None` without entities and documents.
pub fn compile(
    scope: &CheckContext,
    context: &DocumentContext,
    policies: &Policies,
    root: Option<&Node>,
    diagnostics: &mut Diagnostics,
) -> CompiledApis {
    let document = scope.document;
    if document.apis.is_none() && policies.documents.is_empty() && document.api_management.is_none() {
        return CompiledApis { apis: None, documents: Documents::default() };
    }
    let values = NamedValues::read(document, diagnostics);
    let entities = Entities::read(document, root, diagnostics);
    let facts = Facts {
        apis: Some(entities.api_names()),
        operations: entities.operation_names(),
        ..services::facts(scope, &values, diagnostics)
    };
    let (owners, sources) = (&entities.owners, scope.sources);
    let compiler = DocumentCompiler { policies, sources, owners, facts: &facts, named_values: &values };
    let documents = compiler.compile(diagnostics);
    let mut builder = ProgramBuilder::new(&documents);
    let products = &entities.products;
    let apis = {
        let (values, documents, builder) = (&values, &documents, &mut builder);
        entities.compile(ApiCompiler { scope, context, values, products, builder, documents }, diagnostics)
    };
    check_open_products(products, diagnostics, document);
    lints::products(&documents, products, &entities.subscriptions, diagnostics);
    let table = Arc::new(table(scope, &entities.sources, &apis, diagnostics));
    let backends = services::backends(scope, &values, &facts.certificates, diagnostics);
    let unmatched = builder.program(vec!["global".to_owned()]);
    let subscriptions = Arc::new(entities.index);
    let settings = settings(scope, &values, diagnostics);
    let apis = ApisBlueprint { apis, table, backends, subscriptions, unmatched, ..settings };
    CompiledApis { apis: Some(apis), documents }
}

/// The entities that documents and keys belong to.
struct Entities {
    sources: Vec<ApiSource>,
    /// Of each API.
    operations: Vec<Vec<Arc<Operation>>>,
    products: Vec<Arc<Product>>,
    subscriptions: Vec<Arc<Subscription>>,
    index: SubscriptionIndex,
    owners: Owners,
}

impl Entities {
    /// Compiles the APIs.
    fn compile(
        &self,
        mut compiler: ApiCompiler<'_, '_, '_>,
        diagnostics: &mut Diagnostics,
    ) -> Vec<ApiBlueprint<RouteBlueprint>> {
        let all = self.sources.iter().zip(&self.operations);
        all.map(|(source, operations)| compiler.api(source, operations, diagnostics)).collect()
    }

    /// Ids and display names.
    fn api_names(&self) -> Ids {
        let names = self.sources.iter().filter(|api| api.is_current).flat_map(|api| {
            let name = api.own.display_name.as_ref().map(|name| name.value.as_str());
            [Some(api.base_id.as_str()), name].into_iter().flatten()
        });
        Ids::new(names)
    }

    /// The operations by the ids and the display names of their APIs, in lower case; those of revisions too.
    fn operation_names(&self) -> HashMap<String, Vec<Arc<Operation>>> {
        let mut all: HashMap<String, Vec<Arc<Operation>>> = HashMap::new();
        for (api, operations) in self.sources.iter().zip(&self.operations) {
            let name = api.own.display_name.as_ref().map(|name| name.value.as_str());
            for known in [Some(api.base_id.as_str()), name].into_iter().flatten() {
                let of_api = all.entry(known.to_lowercase()).or_default();
                of_api.extend(operations.iter().cloned());
            }
        }
        all
    }

    fn read(document: &Document, root: Option<&Node>, diagnostics: &mut Diagnostics) -> Entities {
        let sources = api_sources(root, diagnostics);
        let ids = Ids::new(sources.iter().filter(|api| api.is_current).map(|api| api.base_id.as_str()));
        let products = subscriptions::products(document, &ids, diagnostics);
        let users = subscriptions::users(document, diagnostics);
        let product_ids = Ids::new(products.iter().map(|product| product.id.as_str()));
        let (index, subscriptions) =
            subscriptions::subscriptions(document, (&ids, &product_ids), &users, diagnostics);
        let operations: Vec<_> = sources.iter().map(|api| read_operations(api, diagnostics)).collect();
        let owners = owners(&sources, &operations, product_ids);
        Entities { sources, operations, products, subscriptions, index, owners }
    }
}

/// The settings that hold for all APIs.
fn settings(
    scope: &CheckContext,
    values: &NamedValues,
    diagnostics: &mut Diagnostics,
) -> ApisBlueprint<RouteBlueprint> {
    let management = scope.document.api_management.as_ref().map(|api| &api.value);
    let text = |setting: Option<&Option<Spanned<String>>>, default: &str| {
        setting.and_then(Option::as_ref).map_or_else(|| default.to_owned(), |text| text.value.clone())
    };
    let size = management
        .and_then(|api| api.max_body_size.as_ref())
        .map_or(DEFAULT_MAX_BODY_BYTES, |size| size.value.0);
    let (allow, deny) = services::callouts(scope);
    ApisBlueprint {
        deployment: Deployment {
            name: text(management.map(|api| &api.name), "margay"),
            region: text(management.map(|api| &api.region), ""),
        },
        max_body_bytes: usize::try_from(size).unwrap_or(usize::MAX),
        store: store(management.and_then(|api| api.store.as_ref()).map(|store| &store.value), diagnostics),
        secrets: values.secrets(),
        allow,
        deny,
        ..ApisBlueprint::default()
    }
}

/// The file of the store.
fn store(document: Option<&StoreDocument>, diagnostics: &mut Diagnostics) -> Option<(PathBuf, Durability)> {
    let unset = StoreDocument::default();
    let document = document.unwrap_or(&unset);
    let durability = match &*choice(&document.durability, &["Batched", "Strict"], diagnostics) {
        "Strict" => Durability::Strict,
        _ => Durability::Batched,
    };
    let file = document.file.as_ref().map_or(DEFAULT_STORE_FILE, |file| file.trim());
    if let Some(set) = document.file.as_ref().filter(|_| file.is_empty() || file.contains('\0')) {
        diagnostics.error(codes::API_ENTITY, set.span, "invalid File: must be the path of a file");
    }
    let is_sqlite = choice(&document.store_type, &["Sqlite", "Memory"], diagnostics) == "Sqlite";
    is_sqlite.then(|| (PathBuf::from(file), durability))
}

fn owners(sources: &[ApiSource], operations: &[Vec<Arc<Operation>>], products: Ids) -> Owners {
    let by_api = sources.iter().zip(operations).map(|(api, operations)| {
        let ids = Ids::new(operations.iter().map(|operation| operation.id.as_str()));
        let names: HashSet<String> = operations
            .iter()
            .flat_map(|operation| operation.template.names().map(str::to_owned).collect::<Vec<_>>())
            .collect();
        (api.id.to_lowercase(), (ids, names))
    });
    Owners {
        apis: Ids::new(sources.iter().map(|api| api.id.as_str())),
        operations: by_api.collect(),
        products,
        workspaces: Ids::new(
            sources.iter().filter_map(|api| api.own.workspace.as_ref()).map(|name| name.as_str()),
        ),
    }
}

/// An API is in at most one open product.
fn check_open_products(products: &[Arc<Product>], diagnostics: &mut Diagnostics, document: &Document) {
    let mut open: HashMap<String, &str> = HashMap::new();
    for product in products.iter().filter(|product| !product.requires_subscription) {
        for api in &product.apis {
            if let Some(other) = open.insert(api.to_lowercase(), &product.id) {
                let entries = document.products.iter().flat_map(|map| map.iter());
                let span = entries.into_iter().find(|(id, _)| id.value == product.id).map(|(id, _)| id.span);
                let message =
                    format!("the API \"{api}\" is in two open products, {other} and {}", product.id);
                diagnostics
                    .error(codes::API_ENTITY, span, message)
                    .help("set SubscriptionRequired on one of them");
            }
        }
    }
}
