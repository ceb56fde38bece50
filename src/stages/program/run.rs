//! The walk of an exchange through its program.

use super::{
    body,
    context::{CallerContext, Context, RouteTarget},
    entities::{ApiOperation, Product, Shared},
    failure::{ErrorForm, Failure},
    instruction::{Flow, Instruction, Program, Statement},
    preflight::{is_preflight, preflight},
    section::{Origin, Section},
    target::{RequestUrl, ServiceUrl, Target},
};
use crate::{
    net::h1::hop_by_hop::HopByHop,
    pipeline::{
        body::{Body, ClientBody},
        error::{ErrorCode, GatewayError},
        exchange::Exchange,
        head::{Head, KnownHeader},
        response::{Response, RouteResult},
    },
};
use std::{collections::HashMap, future::Future, pin::Pin, sync::Arc, time::SystemTime};

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

/// A failure and the statement that caused it.
pub type Failed = (Failure, Option<Arc<Origin>>);

/// Runs a program.
pub async fn run(program: &RouteProgram, surroundings: Surroundings<'_>) -> RouteResult {
    let Surroundings { exchange, hop, client, route, failed } = surroundings;
    let caller = take_caller(exchange);
    let original = original_url(exchange);
    let (operation, shared, names): (_, _, &[Box<str>]) = match program {
        RouteProgram::Operation(target) => (Some(&target.operation), target.shared.clone(), &[]),
        RouteProgram::Route { shared, names, .. } => (None, shared.clone(), names),
    };
    let mut context = Context {
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
    };
    let chosen = choose_program(program, &mut context);
    context.keeps_request_body = chosen.keeps_request_body;
    let response = walk(&mut context, &chosen, failed).await?;
    Ok(finish(context, response))
}

/// What the subscription check left.
fn take_caller(exchange: &mut Exchange) -> CallerContext {
    let left = exchange.response.caller_context.take();
    left.and_then(|left| left.downcast::<CallerContext>().ok()).map(|caller| *caller).unwrap_or_default()
}

/// The program of the product context.
fn choose_program(program: &RouteProgram, context: &mut Context<'_>) -> Arc<Program> {
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
fn preset(context: &Context<'_>, failure: Failure) -> Response {
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

/// Runs instructions; boxed, because statements contain blocks.
pub fn run_block<'f>(
    context: &'f mut Context<'_>,
    instructions: &'f [Instruction],
) -> Pin<Box<dyn Future<Output = Result<Flow, Failed>> + Send + 'f>> {
    Box::pin(run_instructions(context, instructions))
}

async fn run_instructions(context: &mut Context<'_>, instructions: &[Instruction]) -> Result<Flow, Failed> {
    let mut at = 0;
    while let Some(instruction) = instructions.get(at) {
        at += 1;
        match instruction {
            Instruction::Skip(n) => at += n,
            Instruction::Unless(condition, n, origin) => {
                let failed = |failure| (failure, Some(origin.clone()));
                prepare(context, condition.usage()).await.map_err(failed)?;
                if !condition.bool_value(context).map_err(failed)? {
                    at += n;
                }
            }
            Instruction::Run(statement, origin) => match run_statement(context, &**statement).await {
                Ok(Flow::Next) => {}
                Ok(flow) => return Ok(flow),
                Err(failure) => return Err((failure, Some(innermost(context, origin)))),
            },
        }
    }
    Ok(Flow::Next)
}

/// The statement in a block that failed, rather than the block.
fn innermost(context: &mut Context<'_>, origin: &Arc<Origin>) -> Arc<Origin> {
    let at = context.notes.iter().position(|(name, _)| *name == "failed-origin");
    let inner = at.map(|at| context.notes.remove(at).1);
    inner
        .and_then(|inner| inner.downcast::<Arc<Origin>>().ok())
        .map_or_else(|| origin.clone(), |inner| *inner)
}

/// Hands the failure of a statement in a block to the statement that contains it.
pub fn raise(context: &mut Context<'_>, (failure, origin): Failed) -> Failure {
    if let Some(origin) = origin {
        context.notes.push(("failed-origin", Box::new(origin)));
    }
    failure
}

async fn run_statement(context: &mut Context<'_>, statement: &dyn Statement) -> Result<Flow, Failure> {
    if context.exchange.is_dry_run && !statement.runs_dry() {
        return Ok(Flow::Next);
    }
    let mut usage = statement.usage();
    if statement.reads_message_body() {
        let is_response = context.section.is_response();
        usage.request_body |= !is_response;
        usage.response_body |= is_response;
    }
    prepare(context, usage).await?;
    if statement.waits() { statement.start(context).await } else { statement.run(context) }
}

/// Collects the bodies that a statement reads.
pub async fn prepare(context: &mut Context<'_>, usage: crate::base::expr::Usage) -> Result<(), Failure> {
    let exchange = &*context.exchange;
    let is_coded = || exchange.request.get(b"Content-Encoding").is_some();
    if usage.request_body && (exchange.body.collected.is_none() || is_coded()) {
        body::collect_request(context).await?;
    }
    if usage.response_body && context.response.is_some() {
        body::collect_backend_response(context).await?;
    }
    Ok(())
}

/// What follows the last statement: counts that waited for the response, and the fields that statements add.
fn finish(mut context: Context<'_>, response: Response) -> Response {
    context.response = Some(response);
    for change in std::mem::take(&mut context.after_response) {
        change.finish(&mut context);
    }
    let mut response = context.response.take().unwrap_or_default();
    for (name, value) in &context.response_fields {
        response.head.set(name.as_bytes(), value.as_bytes());
    }
    mend_length(&mut response.head, &response.body);
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
