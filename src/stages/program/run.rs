//! The walk of an exchange through its program.

use super::{
    block::{prepare, run_block},
    context::{CallerContext, Context, RouteTarget},
    entities::{ApiOperation, Product, Shared},
    failure::{ErrorForm, Failed, Failure},
    instruction::{Flow, Instruction, Program},
    preflight::{is_preflight, preflight},
    section::{Origin, Section},
    target::{RequestUrl, ServiceUrl, Target},
    trace::{ID_HEADER, REQUEST_HEADER, Trace},
};
use crate::{
    base::expr::Usage,
    net::h1::hop_by_hop::HopByHop,
    pipeline::{
        body::{Body, ClientBody},
        error::{ErrorCode, GatewayError},
        exchange::Exchange,
        head::{Head, KnownHeader},
        response::{Response, RouteResult},
    },
};
use std::{collections::HashMap, sync::Arc, time::SystemTime};

/// A product context of an API.
#[derive(Clone, Debug)]
pub struct ProductContext {
    pub product: Arc<Product>,
    pub program: Arc<Program>,
}

/// The programs of an operation, or of an API without one.
#[derive(Debug)]
pub struct OperationTarget {
    pub operation: ApiOperation,
    /// Without product context.
    pub program: Arc<Program>,
    /// By the id of the product, in lower case.
    pub products: HashMap<String, ProductContext>,
    /// The product that is open to requests without a key.
    pub open_product: Option<String>,
    pub shared: Arc<Shared>,
}

/// The program of a route.
#[derive(Debug)]
pub enum RouteProgram {
    /// An operation of an API.
    Operation(OperationTarget),
    /// Documents that a route names.
    Route { program: Arc<Program>, shared: Arc<Shared>, names: Box<[Box<str>]> },
}

impl RouteProgram {
    /// The operation, what programs share, and the names of path values.
    fn parts(&self) -> (Option<&ApiOperation>, Arc<Shared>, &[Box<str>]) {
        match self {
            RouteProgram::Operation(target) => (Some(&target.operation), target.shared.clone(), &[]),
            RouteProgram::Route { shared, names, .. } => (None, shared.clone(), names),
        }
    }
}

/// What runs around a program.
pub struct Surroundings<'a> {
    pub exchange: &'a mut Exchange,
    pub hop: HopByHop,
    pub client: &'a mut dyn ClientBody,
    /// The target of a route with documents.
    pub route: Option<&'a dyn RouteTarget>,
    /// The failure of a stage in front of the program.
    pub failed: Option<GatewayError>,
}

/// Runs a program.
pub async fn run<'a>(program: &'a RouteProgram, surroundings: Surroundings<'a>) -> RouteResult {
    let (mut context, failed) = context_of(program, surroundings);
    context.trace = wants_trace(&context).then(Trace::default);
    let chosen = choose_program(program, &mut context);
    context.keeps_request_body = chosen.keeps_request_body;
    let response = walk(&mut context, &chosen, failed).await?;
    Ok(finish(context, response).await)
}

/// The state of a program at its start, and the failure of a stage in front of it.
pub(super) fn context_of<'a>(
    program: &'a RouteProgram,
    surroundings: Surroundings<'a>,
) -> (Context<'a>, Option<GatewayError>) {
    let Surroundings { exchange, hop, client, route, failed } = surroundings;
    let caller = take_caller(exchange);
    let original = original_url(exchange);
    let (operation, shared, names) = program.parts();
    let context = Context {
        target: target_of(operation, exchange, &original),
        exchange,
        client,
        hop,
        operation,
        route,
        route_names: names,
        shared,
        product: None,
        caller,
        section: Section::Inbound,
        variables: Vec::new(),
        response: None,
        last_error: None,
        backend: None,
        certificate: None,
        has_own_service: false,
        original,
        has_own_body: false,
        keeps_request_body: false,
        is_cache_hit: false,
        after_response: Vec::new(),
        response_fields: Vec::new(),
        guards: Vec::new(),
        notes: Vec::new(),
        now: SystemTime::now(),
        trace: None,
    };
    (context, failed)
}

/// Whether the client asks for a trace, with a subscription that may.
fn wants_trace(context: &Context<'_>) -> bool {
    let may_trace =
        context.caller.subscription.as_ref().is_some_and(|subscription| subscription.allows_tracing);
    may_trace
        && context
            .exchange
            .request
            .get(REQUEST_HEADER)
            .is_some_and(|value| value.eq_ignore_ascii_case(b"true"))
}

/// What the subscription check left.
fn take_caller(exchange: &mut Exchange) -> CallerContext {
    let left = exchange.response.caller_context.take();
    left.and_then(|left| left.downcast::<CallerContext>().ok()).map(|caller| *caller).unwrap_or_default()
}

/// The program of the product context.
pub(super) fn choose_program(program: &RouteProgram, context: &mut Context<'_>) -> Arc<Program> {
    match program {
        RouteProgram::Route { program, .. } => program.clone(),
        RouteProgram::Operation(target) => {
            let product = context.caller.product.as_ref().and_then(|product| target.products.get(product));
            match product {
                Some(found) => {
                    context.product = Some(found.product.clone());
                    found.program.clone()
                }
                None => target.program.clone(),
            }
        }
    }
}

fn original_url(exchange: &Exchange) -> RequestUrl {
    let host = exchange.request.get_known(KnownHeader::Host).map(String::from_utf8_lossy).unwrap_or_default();
    let target = String::from_utf8_lossy(exchange.request.original_target()).into_owned();
    let target = match target.is_empty() {
        true => String::from_utf8_lossy(exchange.request.target()).into_owned(),
        false => target,
    };
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let is_https = exchange.client.is_tls;
    let url = ServiceUrl::parse(&format!("http://{host}"));
    let port = url.as_ref().filter(|_| host.contains(':')).map(|url| url.port);
    RequestUrl {
        is_https,
        host: url.map_or_else(|| host.to_string(), |url| url.host),
        port: port.unwrap_or(if is_https { 443 } else { 80 }),
        path: path.to_owned(),
        query: query.to_owned(),
    }
}

/// Where the request goes without statements.
fn target_of(operation: Option<&ApiOperation>, exchange: &Exchange, original: &RequestUrl) -> Target {
    let Some(operation) = operation else {
        let target = String::from_utf8_lossy(exchange.request.target()).into_owned();
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        return Target { url: None, path: path.to_owned(), query: query.to_owned() };
    };
    let query = match operation.api.forwards_key {
        true => original.query.clone(),
        false => without_parameter(&original.query, &operation.api.key_query),
    };
    let url = match &*operation.backend {
        super::backend::Backend::Single(service) => service.url.clone(),
        super::backend::Backend::Pool(_) => None,
    };
    Target { url, path: String::from_utf8_lossy(&exchange.routing.operation_path).into_owned(), query }
}

/// A query without a parameter.
pub fn without_parameter(query: &str, name: &str) -> String {
    let is_other =
        |part: &&str| super::target::decoded(part.split('=').next().unwrap_or_default(), true) != name;
    query.split('&').filter(is_other).collect::<Vec<_>>().join("&")
}

/// The sections in their order; a failure leads to `on-error`.
async fn walk(
    context: &mut Context<'_>,
    program: &Program,
    failed: Option<GatewayError>,
) -> Result<Response, GatewayError> {
    if let Some(error) = failed {
        return on_error(context, program, (stage_failure(error), None), None).await;
    }
    if let Some(target) = context.operation {
        if is_preflight(context.exchange, target) {
            if let Some(response) = preflight(context, program) {
                return Ok(response);
            }
            let allow = String::from_utf8_lossy(&context.exchange.routing.allowed_methods).into_owned();
            return on_error(context, program, (missing_operation(&allow), None), None).await;
        }
        if target.operation.is_none() {
            if let Some(response) = policy_file(context, program) {
                return Ok(response);
            }
            let allow = String::from_utf8_lossy(&context.exchange.routing.allowed_methods).into_owned();
            return on_error(context, program, (missing_operation(&allow), None), None).await;
        }
    }
    for section in [Section::Inbound, Section::Backend, Section::Outbound] {
        context.section = section;
        if section == Section::Backend && context.is_cache_hit {
            continue;
        }
        if section == Section::Outbound && context.response.is_none() {
            context.response = Some(Response::local(200, "", ""));
        }
        match run_block(context, &program.section(section).instructions).await {
            Ok(Flow::End(response)) => return Ok(*response),
            Ok(_) => {}
            Err(failed) => return on_error(context, program, failed, Some(section)).await,
        }
    }
    Ok(context.response.take().unwrap_or_default())
}

/// The policy file of a `cross-domain` statement.
fn policy_file(context: &Context<'_>, program: &Program) -> Option<Response> {
    program.section(Section::Inbound).instructions.iter().find_map(|instruction| match instruction {
        Instruction::Run(statement, _) => statement.policy_file(context),
        _ => None,
    })
}

/// The failure of a request that no operation takes; `allow`: the methods of its path.
pub fn missing_operation(allow: &str) -> Failure {
    let (code, detail) = match allow.is_empty() {
        true => (ErrorCode::OperationNotFound, "Resource not found".to_owned()),
        false => (ErrorCode::OperationMethodNotAllowed, "Resource not found".to_owned()),
    };
    let failure = Failure::new("OperationNotFound", code, detail)
        .with_message("Unable to match incoming request to an operation.");
    let failure = Failure { source: Some("configuration"), ..failure };
    if allow.is_empty() { failure } else { failure.with_header("Allow", allow.to_owned()) }
}

/// The failure of a stage in front of the program.
fn stage_failure(error: GatewayError) -> Failure {
    let (source, reason) = match error.code {
        ErrorCode::SubscriptionMissing => ("authorization", "SubscriptionKeyNotFound"),
        ErrorCode::SubscriptionInvalid => ("authorization", "SubscriptionKeyInvalid"),
        code if code.name().starts_with("identity.") || code.name().starts_with("access.") => {
            ("authorization", code.name())
        }
        code => ("configuration", code.name()),
    };
    let failure = Failure::from_gateway(error);
    Failure { source: Some(source), reason: reason.into(), ..failure }
}

/// Runs `on-error`; a failure in it is the response.
async fn on_error(
    context: &mut Context<'_>,
    program: &Program,
    (failure, origin): Failed,
    section: Option<Section>,
) -> Result<Response, GatewayError> {
    if failure.error.code == ErrorCode::ClientClosed {
        return Err(*failure.error);
    }
    log_failure(context, &failure, origin.as_deref());
    context.last_error = Some(failure.last_error(section, origin.as_deref()));
    context.exchange.record.error_code = failure.response.is_none().then_some(failure.error.code);
    context.response = Some(preset(context, failure));
    context.section = Section::OnError;
    let result = run_block(context, &program.section(Section::OnError).instructions).await;
    match result {
        Ok(Flow::End(response)) => Ok(*response),
        Ok(_) => Ok(context.response.take().unwrap_or_default()),
        Err((failure, origin)) => {
            log_failure(context, &failure, origin.as_deref());
            context.exchange.record.error_code = Some(failure.error.code);
            Ok(preset(context, failure))
        }
    }
}

/// The response of a failure.
pub(super) fn preset(context: &Context<'_>, failure: Failure) -> Response {
    let form = context.operation.map_or(ErrorForm::default(), |target| target.api.error_form);
    failure.into_response(form, context.exchange.request.original_path(), &context.exchange.record.id)
}

/// Statement, place and reason; never a value.
fn log_failure(context: &Context<'_>, failure: &Failure, origin: Option<&Origin>) {
    if failure.log.is_empty() {
        return;
    }
    let id = String::from_utf8_lossy(&context.exchange.record.id);
    let (statement, file, pointer) =
        origin.map_or(("", "", ""), |origin| (origin.statement, &*origin.file, origin.pointer.as_str()));
    log::warn!("request {id}: {statement} in {file} at {pointer}: {}", failure.log);
}

/// What follows the last statement: counts that waited for the response, and the fields that statements add.
async fn finish(mut context: Context<'_>, response: Response) -> Response {
    context.response = Some(response);
    let usage = context.after_response.iter().fold(Usage::default(), |all, change| all.and(change.usage()));
    if let Err(failure) = prepare(&mut context, usage).await {
        log_failure(&context, &failure, None);
        context.exchange.record.error_code = Some(failure.error.code);
        context.response = Some(preset(&context, failure));
    }
    for change in std::mem::take(&mut context.after_response) {
        change.finish(&mut context);
    }
    let mut response = context.response.take().unwrap_or_default();
    for (name, value) in &context.response_fields {
        response.head.set(name.as_bytes(), value.as_bytes());
    }
    mend_length(&mut response.head, &response.body);
    if let Some(trace) = context.trace.take() {
        let id = String::from_utf8_lossy(&context.exchange.record.id).into_owned();
        let key = context.caller.key.clone();
        let secrets: Vec<Arc<str>> = context.shared.secrets.iter().cloned().chain(key).collect();
        context.shared.traces.keep(&id, &trace, &secrets);
        response.head.set(ID_HEADER, id.as_bytes());
    }
    context.exchange.response.guards.extend(context.guards);
    response
}

/// The length of a body that is known.
fn mend_length(head: &mut Head, body: &Body) {
    if let (Body::Bytes(_) | Body::Empty, Some(length)) = (body, body.length())
        && head.get_known(KnownHeader::ContentLength).is_some()
    {
        head.remove_known(KnownHeader::ContentLength);
        head.append_number(b"Content-Length", length);
    }
}
