//! The operation of an API, the caller and the program of a request.

use crate::{
    pipeline::{error::GatewayError, exchange::Exchange, response::RouteResult},
    plan::apis::described::{EffectivePolicy, effective},
    stages::program::{
        context::CallerContext,
        dry_run::{DryRun, dry_run},
        run::{OperationTarget, RouteProgram, missing_operation},
    },
};
use serde::Serialize;
use std::collections::BTreeMap;

/// What API management finds for a request; absent without APIs and policy documents.
#[derive(Debug, Default, Serialize, utoipa::ToSchema)]
pub struct ApiExplanation {
    pub api: Option<String>,
    pub version: Option<String>,
    pub revision: Option<String>,
    pub operation: Option<String>,
    /// The values of the placeholders of the operation.
    pub values: BTreeMap<String, String>,
    /// The id of the subscription; its keys are never shown.
    pub subscription: Option<String>,
    pub product: Option<String>,
    /// The statements that would run; absent without an operation.
    pub program: Option<EffectivePolicy>,
}

/// Explains a program and what was found in front of it. The error is the response of a program that does not run.
pub fn explain(
    program: &RouteProgram,
    exchange: &mut Exchange,
    early: Option<&RouteResult>,
) -> (ApiExplanation, Result<(), GatewayError>, Option<DryRun>) {
    match program {
        RouteProgram::Route { program: own, .. } => {
            let run = early.is_none().then(|| dry_run(program, &mut exchange.fork(exchange.now)));
            let shown = effective(own);
            let shown = run.as_ref().map_or(shown.clone(), |run| shown.with_outcomes(run));
            (ApiExplanation { program: Some(shown), ..ApiExplanation::default() }, Ok(()), run)
        }
        RouteProgram::Operation(target) => {
            let (mut found, result) = explain_operation(target, exchange, early);
            let run = (found.program.is_some() && result.is_ok()).then(|| dry_run(program, exchange));
            if let Some(run) = &run {
                found.program = found.program.map(|shown| shown.with_outcomes(run));
            }
            (found, result, run)
        }
    }
}

fn explain_operation(
    target: &OperationTarget,
    exchange: &Exchange,
    early: Option<&RouteResult>,
) -> (ApiExplanation, Result<(), GatewayError>) {
    let api = &target.operation.api;
    let known = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    let mut found = ApiExplanation {
        api: known(&api.base_id),
        version: known(&api.version),
        revision: known(&api.revision),
        ..ApiExplanation::default()
    };
    let Some(operation) = &target.operation.operation else {
        let allow = String::from_utf8_lossy(&exchange.routing.allowed_methods).into_owned();
        return (found, Err(*missing_operation(&allow).error));
    };
    found.operation = Some(operation.id.clone());
    found.values = values(target, exchange);
    let caller = exchange.response.caller_context.as_ref();
    let caller = caller.and_then(|caller| caller.downcast_ref::<CallerContext>());
    found.subscription =
        caller.and_then(|caller| caller.subscription.as_ref()).map(|subscription| subscription.id.clone());
    let product = caller.and_then(|caller| target.products.get(caller.product.as_ref()?));
    found.product = product.map(|product| product.product.id.clone());
    if early.is_none() {
        found.program = Some(effective(product.map_or(&*target.program, |product| &*product.program)));
    }
    (found, Ok(()))
}

fn values(target: &OperationTarget, exchange: &Exchange) -> BTreeMap<String, String> {
    let names = target.operation.operation.iter().flat_map(|operation| operation.template.names());
    let request = exchange.request.target();
    let value = |name: &str| {
        let value = exchange.routing.path_params.get_by_name(name, &[], request)?;
        Some((name.to_owned(), String::from_utf8_lossy(value.bytes).into_owned()))
    };
    names.filter_map(value).collect()
}

impl ApiExplanation {
    /// The rows of the text form: the operation, the caller, and each statement with its origin.
    pub(super) fn rows(&self) -> Vec<Vec<String>> {
        let row = |name: &str, value: &Option<String>| {
            value.as_ref().map(|value| vec![name.to_owned(), value.clone()])
        };
        let mut rows: Vec<Vec<String>> = [
            row("API", &self.api),
            row("version", &self.version),
            row("revision", &self.revision),
            row("operation", &self.operation),
            row("subscription", &self.subscription),
            row("product", &self.product),
        ]
        .into_iter()
        .flatten()
        .collect();
        if let Some(program) = &self.program {
            let sections = [
                ("inbound", &program.inbound),
                ("backend", &program.backend),
                ("outbound", &program.outbound),
                ("on-error", &program.on_error),
            ];
            for (section, statements) in sections {
                rows.extend(statements.iter().map(|one| {
                    let origin = format!("{} {}", one.file, one.pointer);
                    let outcome = one.outcome.unwrap_or_default().to_owned();
                    vec![section.to_owned(), one.path.clone(), outcome, one.scope.clone(), origin]
                }));
            }
        }
        rows
    }
}
