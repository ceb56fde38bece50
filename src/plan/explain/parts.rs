//! The requests of an aggregate's parts, for `explain`.

use super::report::{Explanation, PartExplanation};
use crate::{
    pipeline::exchange::Exchange,
    plan::compiled::{Aggregate, AggregatePart, Route},
};
use std::{future::Future, pin::Pin};

/// A dry run of the route of a part.
pub(super) type DryRun<'f, 'r> =
    dyn Fn(&'r Route, Exchange) -> Pin<Box<dyn Future<Output = Explanation> + 'r>> + 'f;

/// Explains all parts.
pub(super) async fn explain<'r>(
    aggregate: &'r Aggregate,
    exchange: &Exchange,
    dry_run: &DryRun<'_, 'r>,
) -> Vec<PartExplanation> {
    let mut explanations = Vec::with_capacity(aggregate.parts.len());
    for part in &aggregate.parts {
        explanations.push(explain_part(aggregate, part, exchange, dry_run).await);
    }
    explanations
}

async fn explain_part<'r>(
    aggregate: &'r Aggregate,
    part: &'r AggregatePart,
    exchange: &Exchange,
    dry_run: &DryRun<'_, 'r>,
) -> PartExplanation {
    let terms = &part.terms;
    let parameter = terms.values.as_ref().and(part.names.last()).map(|name| format!("{{{name}}}"));
    let inner =
        part.fork_for_part(exchange, parameter.as_ref().map(String::as_bytes), aggregate.shape.ocelot);
    let explanation = dry_run(&part.route, *inner).await;
    let main = aggregate.parts.first().map_or("", |main| &main.terms.key);
    let trigger = match (&terms.values, &parameter) {
        (Some(path), Some(parameter)) => format!("for each {path} of \"{main}\" as {parameter}"),
        _ => "immediately".to_owned(),
    };
    // The parameter has no value yet.
    let escaped = parameter.as_ref().map(|name| name.replace('{', "%7B").replace('}', "%7D"));
    let unescape = |line: String| match (&escaped, &parameter) {
        (Some(escaped), Some(parameter)) => line.replace(escaped, parameter),
        _ => line,
    };
    PartExplanation {
        name: terms.key.to_string(),
        trigger: if terms.optional { format!("{trigger}, optional") } else { trigger },
        optional: terms.optional,
        endpoints: explanation.endpoints,
        request: explanation.request.into_iter().map(unescape).collect(),
        response: explanation.response,
    }
}
