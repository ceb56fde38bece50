//! One API: its entity, its service, its options, its programs.

use super::{
    blueprint::{ApiBlueprint, ApiService, OperationBlueprint},
    documents::Documents,
    lints,
    named_values::{NamedValues, service_url},
    programs::{ApiChain, ProgramBuilder},
    services,
    sources::ApiSource,
    subscriptions::choice,
};
use crate::{
    config::{
        Diagnostics, Node, Span, Spanned, codes, de,
        ids::report_unknown,
        node::{Member, Value as NodeValue},
    },
    plan::{
        blueprint::RouteBlueprint,
        check::CheckContext,
        compile::{route::compile_part, route_compiler::DocumentContext},
        document::{RouteDocument, apis::ApiDocument},
    },
    stages::program::{
        Program, Section,
        entities::{Api, Operation, Product},
        failure::ErrorForm,
        target::ServiceUrl,
    },
};
use std::sync::Arc;

const DEFAULT_HEADER: &str = "Ocp-Apim-Subscription-Key";
const DEFAULT_QUERY: &str = "subscription-key";

/// What an API is compiled with.
pub(super) struct ApiCompiler<'c, 'd, 'b> {
    pub(super) scope: &'c CheckContext<'d>,
    pub(super) context: &'c DocumentContext<'d>,
    pub(super) values: &'c NamedValues,
    pub(super) products: &'c [Arc<Product>],
    pub(super) builder: &'c mut ProgramBuilder<'b>,
    pub(super) documents: &'b Documents,
}

impl ApiCompiler<'_, '_, '_> {
    /// Compiles an API.
    pub(super) fn api(
        &mut self,
        source: &ApiSource,
        operations: &[Arc<Operation>],
        diagnostics: &mut Diagnostics,
    ) -> ApiBlueprint<RouteBlueprint> {
        let (service, url) = self.service(source, diagnostics);
        let route = self.route(source, &service, diagnostics);
        let api = Arc::new(self.entity(source, url.as_deref(), diagnostics));
        let chain = self.chain(source);
        let products: Vec<Arc<Product>> = self
            .products
            .iter()
            .filter(|product| product.apis.iter().any(|id| id.eq_ignore_ascii_case(&api.base_id)))
            .cloned()
            .collect();
        let mut compiled = Vec::with_capacity(operations.len());
        for operation in operations {
            let programs = self.builder.programs(&api, Some(&operation.id), &chain, &products);
            compiled.push(OperationBlueprint { operation: operation.clone(), programs });
        }
        let missing = self.builder.programs(&api, None, &chain, &products);
        self.lint(&api, &chain, &missing.plain, diagnostics);
        let open = products.iter().find(|product| !product.requires_subscription);
        ApiBlueprint {
            api,
            route,
            service,
            operations: compiled,
            missing,
            open_product: open.map(|product| product.id.to_lowercase()),
        }
    }

    fn lint(&self, api: &Api, chain: &ApiChain, program: &Program, diagnostics: &mut Diagnostics) {
        let mut names = chain.api.clone();
        names.extend(chain.policies.iter().rev().cloned());
        names.extend(chain.workspace.iter().map(|workspace| format!("workspaces/{workspace}")));
        names.push("global".to_owned());
        lints::protections(&names, self.documents, diagnostics);
        if chain.api.iter().any(|name| self.documents.all.contains_key(name)) {
            let own = names.iter().filter_map(|name| self.documents.all.get(name));
            let backend = own.filter_map(|document| document.section_spans[Section::Backend as usize]).next();
            lints::program(api, program, backend, diagnostics);
        }
    }

    fn entity(&self, source: &ApiSource, url: Option<&ServiceUrl>, diagnostics: &mut Diagnostics) -> Api {
        let own = &source.own;
        let text = |setting: &Option<Spanned<String>>, default: &str| {
            setting.as_ref().map_or_else(|| default.to_owned(), |text| text.value.clone())
        };
        let on = |setting: &Option<Spanned<bool>>, default| setting.as_ref().map_or(default, |on| on.value);
        let names = own.subscription_key_parameter_names.as_ref();
        let default_form =
            self.scope.document.api_management.as_ref().and_then(|api| api.error_bodies.clone());
        let form = own.error_bodies.clone().or(default_form);
        let form = choice(&form, &["Problem", "ApiManagement"], diagnostics);
        report_unsupported(own, diagnostics);
        let header =
            names.map_or_else(|| DEFAULT_HEADER.to_owned(), |names| text(&names.header, DEFAULT_HEADER));
        let query = names.map_or_else(|| DEFAULT_QUERY.to_owned(), |names| text(&names.query, DEFAULT_QUERY));
        Api {
            id: source.id.clone(),
            base_id: source.base_id.clone(),
            name: text(&own.display_name, &source.base_id),
            path: text(&own.path, &source.base_id).trim_matches('/').to_owned(),
            version: text(&own.version, ""),
            revision: source.revision.clone(),
            is_current: source.is_current,
            service_url: url.map(ServiceUrl::with_query).unwrap_or_default(),
            key_header: header,
            key_query: query,
            forwards_key: on(&own.forward_subscription_key, false),
            requires_subscription: on(&own.subscription_required, true),
            error_form: if form == "ApiManagement" { ErrorForm::ApiManagement } else { ErrorForm::Problem },
        }
    }

    fn service(
        &self,
        source: &ApiSource,
        diagnostics: &mut Diagnostics,
    ) -> (ApiService, Option<Arc<ServiceUrl>>) {
        let own = &source.own;
        if let (Some(_), Some(backend)) = (&own.service_url, &own.backend) {
            let message = format!("the API \"{}\" has both ServiceUrl and Backend", source.id);
            diagnostics.error(codes::API_ENTITY, backend.span, message).help("remove one of them");
        }
        match (&own.service_url, &own.backend) {
            (Some(url), _) => match service_url(url, self.values, diagnostics) {
                Some(url) => (ApiService::Url(url.clone()), Some(url)),
                None => (ApiService::Cluster, None),
            },
            (None, Some(name)) => {
                let ids = services::backend_ids(self.scope);
                if let Some(known) = ids.get(name) {
                    return (ApiService::Backend(known.to_lowercase()), None);
                }
                let clusters = self.scope.document.clusters.iter().flat_map(|map| map.iter());
                if !clusters.into_iter().any(|(id, _)| id.value == name.value) {
                    report_unknown("backend", name, name.span, &ids, diagnostics);
                }
                (ApiService::Cluster, None)
            }
            (None, None) => {
                let message = format!("the API \"{}\" needs either ServiceUrl or Backend", source.id);
                diagnostics
                    .error(codes::API_ENTITY, source.key_span, message)
                    .help("add \"ServiceUrl\": \"https://service.example.com\"");
                (ApiService::Cluster, None)
            }
        }
    }

    /// The options of the API, compiled as those of a route to its service.
    fn route(
        &self,
        source: &ApiSource,
        service: &ApiService,
        diagnostics: &mut Diagnostics,
    ) -> RouteBlueprint {
        let span = source.key_span;
        let text = |value: &str| Node::new(span, NodeValue::String(value.into()));
        let member = |name: &str, value: Node| Member { key: Spanned::new(name.into(), span), value };
        let mut node = source.node.clone();
        let mut members: Vec<Member> = node.members_mut().map(std::mem::take).unwrap_or_default();
        members.push(member("UpstreamPathTemplate", text("/{anything}")));
        members.push(member("DownstreamPathTemplate", text("/{anything}")));
        match (service, &source.own.backend) {
            (ApiService::Cluster, Some(name)) => members.push(member("DownstreamCluster", text(name))),
            (ApiService::Url(url), _) => members.extend(endpoint(url, span)),
            _ => members.extend(endpoint(&placeholder_url(), span)),
        }
        let node = Node::new(span, NodeValue::Object(members));
        let document: RouteDocument = de::read(&node, diagnostics, de::Options { ocelot: false });
        let document = Spanned::new(document, span);
        let mut route =
            compile_part(self.scope, self.context, &["anything".into()], usize::MAX, &document, diagnostics);
        route.name = source.id.clone();
        // Equal options of two APIs do not share their state.
        route.state_key = format!("api {}", source.id);
        route
    }

    fn chain(&self, source: &ApiSource) -> ApiChain {
        let own = |id: &str| format!("apis/{}", id.to_lowercase());
        let candidates = [own(&source.id), own(&source.base_id)];
        let api = candidates.into_iter().find(|name| self.documents.all.contains_key(name));
        let policies = source.node.get_ignore_case("Policies").map_or(&[][..], Node::items);
        ApiChain {
            api: api.into_iter().collect(),
            policies: policies.iter().filter_map(|name| Some(name.as_str()?.to_lowercase())).collect(),
            workspace: source.own.workspace.as_ref().map(|name| name.to_lowercase()),
        }
    }
}

/// Reports settings that this version does not have.
fn report_unsupported(own: &ApiDocument, diagnostics: &mut Diagnostics) {
    if let Some(wsdl) = own.open_api.as_ref().or(own.wsdl.as_ref()) {
        diagnostics
            .error(codes::POLICY_NOT_YET, wsdl.span, "OpenApi and Wsdl are not supported yet")
            .help("write the operations in Operations");
    }
    if let Some(kind) = own.kind.as_ref().filter(|kind| !kind.eq_ignore_ascii_case("Http")) {
        diagnostics
            .error(codes::POLICY_NOT_YET, kind.span, "APIs of this Type are not supported yet")
            .help("write \"Http\", or route WebSockets with Routes");
    }
}

/// The cluster of an API whose service is one of `Backends`: it is never called.
fn placeholder_url() -> ServiceUrl {
    ServiceUrl {
        is_https: false,
        host: "localhost".into(),
        port: 80,
        base: String::new(),
        query: String::new(),
    }
}

/// The settings of a route for the endpoint of a URL.
fn endpoint(url: &ServiceUrl, span: Span) -> [Member; 2] {
    let text = |value: &str| Node::new(span, NodeValue::String(value.into()));
    let member = |name: &str, value: Node| Member { key: Spanned::new(name.into(), span), value };
    let port = Node::new(span, NodeValue::Number(url.port.to_string().into()));
    let host = url.host.trim_start_matches('[').trim_end_matches(']');
    let address = NodeValue::Object(vec![member("Host", text(host)), member("Port", port)]);
    let list = NodeValue::Array(vec![Node::new(span, address)]);
    [member("DownstreamScheme", text(url.scheme())), member("DownstreamHostAndPorts", Node::new(span, list))]
}
